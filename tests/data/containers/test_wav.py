"""WAV files of all of libsndfile's encodings, with headers of programs that write into pipes."""

import io

import numpy as np
import pytest
import soundfile
from folders import fails
from soundfiles import decoded, encoded, mp3, speechlike

from asrlib.data.containers.wav import sphere_pieces, wav_pieces

# bytes and samples of a block, per channel
BLOCKS = {
    "PCM_U8": (1, 1), "PCM_16": (2, 1), "PCM_24": (3, 1), "PCM_32": (4, 1), "FLOAT": (4, 1), "DOUBLE": (8, 1),
    "ULAW": (1, 1), "ALAW": (1, 1), "IMA_ADPCM": (512, 1017), "MS_ADPCM": (512, 1012), "GSM610": (65, 320),
    "G721_32": (60, 120), "NMS_ADPCM_16": (42, 160), "NMS_ADPCM_24": (62, 160), "NMS_ADPCM_32": (82, 160),
}  # fmt: skip
# what SoX, arecord, ffmpeg and others write for a length that they do not know
UNKNOWN = (0x7FFFF000, 0x7FFFFFFF - 36, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFF - 36, 0)


def wav(seconds=1.0, channels=1, **kind):
    return encoded(speechlike(seconds, channels=channels), format="WAV", **kind)


def with_length(data, length, order="little"):
    """Return a WAV file whose header says that the sound has so many bytes."""
    at = data.index(b"data") + 4
    riff = min(length + at - 4, 0xFFFFFFFF).to_bytes(4, order)
    return data[:4] + riff + data[8:at] + length.to_bytes(4, order) + data[at + 4 :]


def read(data, first=0, pieces=wav_pieces):
    file = io.BytesIO(data)
    found = pieces(file, None, "a.wav")
    blocks = [b for p in found for b in p.blocks(file, None, first, p.samples - first, 5_000)]
    return found, np.concatenate(blocks)


def test_no_encoding_is_forgotten():
    assert {*BLOCKS} == {*soundfile.available_subtypes("WAV")} - {"MPEG_LAYER_III"}


@pytest.mark.parametrize("subtype", BLOCKS)
def test_every_encoding_has_the_samples_that_were_encoded(subtype):
    bytes_, samples = BLOCKS[subtype]
    data = wav(1.3, subtype=subtype)
    at = data.index(b"data") + 8
    (piece,), found = read(data)
    assert piece.rate == 16_000 and piece.channels == 1
    assert 20_800 <= piece.samples <= 20_800 + samples  # the last block is filled up
    assert piece.samples in (-(-(len(data) - at) // bytes_) * samples, 20_800)
    np.testing.assert_array_equal(found, decoded(data))
    np.testing.assert_array_equal(read(data, 7_000)[1], decoded(data)[7_000:])


@pytest.mark.parametrize("unknown", UNKNOWN)
@pytest.mark.parametrize("subtype", BLOCKS)
def test_a_header_from_a_pipe_is_read_to_the_end(subtype, unknown):
    data = wav(1.3, subtype=subtype)
    (piece,), found = read(with_length(data, unknown))
    assert len(found) == piece.samples
    assert 0 <= len(found) - len(decoded(data)) <= BLOCKS[subtype][1]
    np.testing.assert_array_equal(found[: len(decoded(data))], decoded(data))


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("kind", [{"endian": "BIG"}, {"format": "WAVEX"}, {"format": "RF64"}])
def test_the_other_forms_of_wav(kind, channels):
    data = encoded(speechlike(1.0, channels=channels), **{"format": "WAV", **kind})
    (piece,), found = read(data)
    assert (piece.samples, piece.channels) == (16_000, channels)
    np.testing.assert_array_equal(found, decoded(data))
    fails("a.wav: truncated", wav_pieces, io.BytesIO(data[:-100]), None, "a.wav")
    if "endian" in kind:
        np.testing.assert_array_equal(read(with_length(data, 0, "big"))[1], found)


def test_chunks_around_the_sound():
    data, note = wav(), b"LIST" + (5).to_bytes(4, "little") + b"INFOx\0"
    at = data.index(b"data")
    for form in (data + note, data[:at] + note + data[at:]):
        np.testing.assert_array_equal(read(form)[1], decoded(data))


def test_a_file_without_sound_is_no_file_from_a_pipe():
    empty = encoded(np.zeros(0), format="WAV")
    note = b"LIST" + (4).to_bytes(4, "little") + b"INFO"
    assert wav_pieces(io.BytesIO(empty), None, "a.wav") == []
    assert wav_pieces(io.BytesIO(empty + note), None, "a.wav") == []


@pytest.mark.parametrize("keep", [3, 20, 40, 0.5, 0.99])
def test_files_that_end_early(keep):
    data = wav()
    cut = data[: keep if keep > 1 else int(keep * len(data))]
    fails("a.wav: truncated, the file ends before its last", wav_pieces, io.BytesIO(cut), None, "a.wav")


def test_mp3_inside_of_wav():
    inside = mp3(speechlike(1.0))
    form = b"\x55\0\1\0\x80\x3e\0\0\xa0\x0f\0\0\1\0\0\0\x0c\0" + bytes(12)
    data = b"WAVEfmt " + len(form).to_bytes(4, "little") + form
    data += b"data" + len(inside).to_bytes(4, "little") + inside
    data = b"RIFF" + len(data).to_bytes(4, "little") + data
    (piece,), found = read(data)
    assert (piece.samples, piece.rate) == (16_000, 16_000)
    np.testing.assert_allclose(found, decoded(inside), atol=1e-6)


def test_sphere():
    data = encoded(speechlike(1.0, channels=2), format="NIST")
    (piece,), found = read(data, pieces=sphere_pieces)
    assert (piece.samples, piece.channels) == (16_000, 2)
    np.testing.assert_array_equal(found, decoded(data))
    said = data.replace(b"sample_coding", b"sample_count -i 16000\nsample_coding")[:1024] + data[1024:]
    fails("a.sph: truncated", sphere_pieces, io.BytesIO(said[:-4]), None, "a.sph")
