"""FLAC files are read whole: concatenated, without a length, between tags."""

import io

import numpy as np
import pytest
import soundfile
from folders import fails
from soundfiles import decoded, encoded, id3v1, id3v2, speechlike

from asrlib.data.containers.flac import crc8, crc16, flac_pieces


def flac(samples, rate=16_000, **kind):
    return encoded(samples, rate, format="FLAC", **kind)


def with_length(data, samples):
    """Return a FLAC file whose header says it has so many samples."""
    data = bytearray(data)
    data[21] = data[21] & 0xF0 | samples >> 32
    data[22:26] = (samples & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(data)


def read(data, first=0):
    file = io.BytesIO(data)
    pieces = flac_pieces(file, "a.flac")
    blocks = [b for p in pieces for b in p.blocks(file, None, first, p.samples - first, 5_000)]
    return pieces, np.concatenate(blocks)


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_the_last_frame_confirms_the_length(subtype, channels):
    for seconds in (1 / 16_000, 0.3, 2.7):
        samples = speechlike(seconds, channels=channels)
        data = flac(samples, subtype=subtype)
        (piece,), found = read(data)
        assert (piece.samples, piece.rate, piece.channels) == (len(samples), 16_000, channels)
        np.testing.assert_array_equal(found, decoded(data))


def test_silence_and_other_rates():
    for rate, samples in (
        (8_000, np.zeros(100_000)),
        (96_000, speechlike(1.0, 96_000)),
        (12_345, speechlike(1)),
    ):
        (piece,), found = read(flac(samples, rate))
        assert piece.samples == len(samples) == len(found) and piece.rate == rate


def test_concatenated_files_are_read_one_after_another():
    first, second = flac(speechlike(1.0)), flac(speechlike(2.0, channels=2, seed=1), compression_level=0.9)
    pieces, _ = read(first + first)
    assert [piece.samples for piece in pieces] == [16_000, 16_000]
    pieces = flac_pieces(io.BytesIO(second + first + second), "a.flac")
    assert [piece.samples for piece in pieces] == [32_000, 16_000, 32_000]
    np.testing.assert_array_equal(read(first + first)[1], np.concatenate([decoded(first)] * 2))


def test_a_header_without_a_length_is_completed_by_the_last_frame():
    """As encoders write it into a pipe."""
    data = flac(speechlike(2.3))
    unknown = with_length(data, 0)
    assert soundfile.info(io.BytesIO(unknown)).frames == 2**63 - 1  # libsndfile's infinity
    for form in (unknown, unknown + id3v1()):
        pieces, found = read(form)
        np.testing.assert_array_equal(found, decoded(data))
    np.testing.assert_array_equal(read(unknown, 20_000)[1], decoded(data)[20_000:])
    pieces, _ = read(unknown + data)
    assert [piece.samples for piece in pieces] == [36_800, 36_800]
    fails("a.flac: truncated", flac_pieces, io.BytesIO(unknown[:-3]), "a.flac")


def test_tags_are_not_sound():
    data = flac(speechlike(1.0))
    for tagged in (id3v2() + data, data + id3v1(), id3v2() + data + id3v1()):
        np.testing.assert_array_equal(read(tagged)[1], decoded(data))


@pytest.mark.parametrize("claim", [16_001, 20_000, 2**32 + 16_000, 2**36 - 1])
def test_a_header_that_claims_more_than_there_is(claim):
    data = with_length(flac(speechlike(1.0)), claim)
    fails("a.flac: truncated, the file ends before its last sample", flac_pieces, io.BytesIO(data), "a.flac")


def test_files_that_end_early():
    data = flac(speechlike(3.0))
    for keep in (4, 30, 0.2, 0.5, 0.8):  # within the last frame, the decoder notices
        cut = data[: keep if keep > 1 else int(keep * len(data))]
        fails("a.flac: truncated", flac_pieces, io.BytesIO(cut), "a.flac")
    fails("a.flac: damaged at byte 0", flac_pieces, io.BytesIO(b"fLaC\x84" + bytes(3) + data), "a.flac")


def test_the_checksums_are_those_of_the_format():
    assert crc8(b"123456789") == 0xF4 and crc16(b"123456789") == 0xFEE8
