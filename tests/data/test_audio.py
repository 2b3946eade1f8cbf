"""asrlib.data.audio: every format decodes, and what cannot be read is named."""

import io
import os
import random

import numpy as np
import pytest
import soundfile
from folders import fails, make_folder, tone
from soundfiles import encoded, id3v1, id3v2, mp3, speechlike, without_xing

from asrlib.data import audio
from asrlib.data.audio import audio_blocks, audio_info, cut_audio, read_audio
from asrlib.data.containers.mpeg import mpeg_pieces
from asrlib.data.manifest import load_folder
from asrlib.errors import InputError


@pytest.mark.parametrize(
    "name, subtype",
    [("a.wav", "PCM_16"), ("a.wav", "FLOAT"), ("a.wav", "PCM_24"), ("a.flac", None), ("a.ogg", "VORBIS"),
     ("a.opus", "OPUS"), ("a.mp3", None)],
)  # fmt: skip
@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_every_format_mono_and_stereo(tmp_path, name, subtype, rate):
    for channels in (1, 2):
        path = tmp_path / f"{channels}{name}"
        file_format = "OGG" if name.endswith("opus") else None
        soundfile.write(path, tone(1.0, rate, channels), rate, subtype=subtype, format=file_format)
        samples, found = read_audio(path)
        assert samples.dtype == np.float32 and samples.ndim == 1
        assert found == rate and len(samples) == soundfile.info(path).frames
        level = np.sqrt((samples[rate // 4 : rate // 2] ** 2).mean())
        # one silent channel: the average is half as loud
        assert level == pytest.approx(0.3 / np.sqrt(2) / channels, rel=0.1)


def test_audio_that_is_missing_empty_or_no_audio(tmp_path):
    fails("nowhere.wav: there is no such audio file", read_audio, tmp_path / "nowhere.wav")
    fails("this is a folder", read_audio, tmp_path)
    (tmp_path / "empty.wav").touch()
    fails(r"empty.wav: the file is empty \(0 bytes\)", read_audio, tmp_path / "empty.wav")
    (tmp_path / "text.wav").write_text("this is no sound at all")
    fails("text.wav: cannot be read as audio", read_audio, str(tmp_path / "text.wav"))
    soundfile.write(tmp_path / "header.wav", np.zeros(0), 16_000)
    fails("header.wav: the file holds no samples", read_audio, tmp_path / "header.wav")
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), 16_000, subtype="FLOAT")
    fails("nan.wav: contains NaN or infinite samples", read_audio, tmp_path / "nan.wav")


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.opus", "a.mp3"])
@pytest.mark.parametrize("keep", [0.3, 0.7, 0.95])
def test_truncated_audio(tmp_path, name, keep):
    path = tmp_path / name
    noise = 0.1 * np.random.default_rng(0).standard_normal(3 * 16_000)
    soundfile.write(path, noise, 16_000, format="OGG" if name == "a.opus" else None,
                    subtype="OPUS" if name == "a.opus" else None)  # fmt: skip
    read_audio(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    fails(f"{name}: .*(truncated|decoded to its end|read as audio)", read_audio, path)


def test_a_wav_written_into_a_pipe_has_no_length_and_is_read(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(), 16_000, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert len(read_audio(path)[0]) == 8_000


# lhotse leaves the file open when it moves audio into memory
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_cut_audio_equals_lhotse(tmp_path):
    folder = make_folder(tmp_path, ["a.wav\ts\tone"])
    soundfile.write(folder / "stereo.flac", tone(0.5, 16_000, 2), 16_000)
    (folder / "manifest.tsv").write_text("path\ttext\na.wav\tone\nstereo.flac\ttwo\n")
    mono, stereo = load_folder(folder)
    np.testing.assert_array_equal(cut_audio(mono), mono.load_audio()[0])
    np.testing.assert_allclose(cut_audio(stereo), stereo.load_audio().mean(axis=0), atol=1e-7)
    part = mono.truncate(offset=0.1, duration=0.2)
    np.testing.assert_array_equal(cut_audio(part), part.load_audio()[0])
    changed = mono.perturb_speed(1.1)
    np.testing.assert_array_equal(cut_audio(changed), changed.load_audio()[0])
    in_memory = mono.move_to_memory(audio_format="wav")
    np.testing.assert_array_equal(cut_audio(in_memory), cut_audio(mono))


def test_cut_audio_names_the_file_that_is_cut_off_later(tmp_path):
    folder = make_folder(tmp_path, ["a.flac\ts\tone"])
    soundfile.write(folder / "a.flac", np.random.default_rng(0).uniform(-0.5, 0.5, 40_000), 16_000)
    (cut,) = load_folder(folder)
    data = (folder / "a.flac").read_bytes()
    (folder / "a.flac").write_bytes(data[: len(data) // 2])
    fails("a.flac: ", cut_audio, cut)
    fails("a.flac_sp1.1: its audio cannot be read|a.flac", cut_audio, cut.perturb_speed(1.1))
    (folder / "a.flac").unlink()
    fails("a.flac: ", cut_audio, cut)


def joined_and_odd():
    """Return the content of files that libsndfile reads in part, and how many samples they have."""
    bare, vorbis = without_xing(mp3(speechlike(3.0))), encoded(speechlike(1.0), format="OGG")
    flac = encoded(speechlike(1.0), format="FLAC")
    return {
        "bare.mp3": (bare, len(bare_frames(bare)) * 576),
        "tagged.mp3": (id3v2(30_000) + bare + id3v1(), len(bare_frames(bare)) * 576),
        "joined.mp3": (mp3(speechlike(3.0)) * 2, 96_000),
        "chained.ogg": (vorbis * 3, 48_000),
        "concatenated.flac": (flac * 2, 32_000),
    }


def bare_frames(data):
    return mpeg_pieces(io.BytesIO(data), "")[0].places


@pytest.mark.parametrize("name", ["bare.mp3", "tagged.mp3", "joined.mp3", "chained.ogg", "concatenated.flac"])
def test_all_of_a_file_is_read_and_any_part_of_it(tmp_path, name):
    content, count = joined_and_odd()[name]
    path = tmp_path / name
    path.write_bytes(content)
    assert audio_info(path).frames == count
    samples, _ = read_audio(path)
    assert len(samples) == count
    for seconds in (0.01, 0.3, 10):
        np.testing.assert_allclose(np.concatenate(list(audio_blocks(path, seconds))), samples, atol=1e-6)
    (tmp_path / "manifest.tsv").write_text(f"path\ttext\n{name}\tone\n")
    (cut,) = load_folder(tmp_path)
    np.testing.assert_array_equal(cut_audio(cut), samples)
    for start, duration in ((0.0, 0.2), (0.9, 0.3), (1.7, 0.25)):
        part = cut.truncate(offset=start, duration=duration)
        first = round(start * 16_000)
        expected = samples[first : first + part.num_samples]
        np.testing.assert_allclose(cut_audio(part), expected, atol=1e-6)


def test_blocks_of_an_mp3_file_are_those_of_the_whole(tmp_path):
    """soundfile seeks after each read, and then the decoder garbles frames."""
    path = tmp_path / "a.mp3"
    path.write_bytes(mp3(speechlike(5.0)))
    whole = soundfile.read(path, dtype="float32")[0]
    np.testing.assert_allclose(np.concatenate(list(audio_blocks(path, 0.5))), whole, atol=1e-6)


def test_channels_of_opposite_phase_are_not_averaged(tmp_path):
    wave = speechlike(2.0)
    opposite = np.stack([0.5 * wave, -0.55 * wave], axis=1)
    soundfile.write(tmp_path / "a.wav", opposite, 16_000, subtype="FLOAT")
    with pytest.warns(UserWarning, match="a.wav: its channels cancel each other.*: channel 2 alone is used"):
        samples, _ = read_audio(tmp_path / "a.wav")
    np.testing.assert_allclose(samples, -0.55 * wave, atol=1e-6)
    with pytest.warns(UserWarning, match="cancel each other"):
        blocks = np.concatenate(list(audio_blocks(tmp_path / "a.wav", 0.3)))
    np.testing.assert_array_equal(blocks, samples)
    (tmp_path / "manifest.tsv").write_text("path\ttext\na.wav\tone\n")
    (cut,) = load_folder(tmp_path)
    with pytest.warns(UserWarning, match="cancel each other"):
        np.testing.assert_array_equal(cut_audio(cut), samples)


@pytest.mark.parametrize("channels", [2, 3, 6])
def test_other_channels_are_averaged(tmp_path, channels):
    draw = np.random.default_rng(0)
    noise = 0.1 * draw.standard_normal((20_000, channels))
    one = np.zeros_like(noise)
    one[:, -1] = noise[:, -1]
    for samples in (noise, one, np.zeros_like(noise), np.repeat(noise[:, :1], channels, axis=1)):
        soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
        expected = samples.astype(np.float32).mean(axis=1)
        np.testing.assert_array_equal(read_audio(tmp_path / "a.wav")[0], expected)
        np.testing.assert_array_equal(np.concatenate(list(audio_blocks(tmp_path / "a.wav", 0.4))), expected)


def test_headers_that_claim_too_much(tmp_path):
    wav, flac = (encoded(speechlike(1.0), format=kind) for kind in ("WAV", "FLAC"))
    fast = wav[:24] + (400_000_001).to_bytes(4, "little") + wav[28:]
    slow = wav[:24] + (399).to_bytes(4, "little") + wav[28:]
    long = flac[:21] + bytes([flac[21] | 15]) + b"\xff" * 4 + flac[26:]  # 2^36 - 1 samples
    for content, message in (
        (fast, "header says 400,000,001 Hz, not 4,000 to 400,000 Hz"),
        (slow, "header says 399 Hz"),
        (long, "truncated, the file ends before its last sample"),
    ):
        (tmp_path / "a").write_bytes(content)
        fails(f"a: .*{message}", read_audio, tmp_path / "a")
        fails(f"a: .*{message}", lambda: list(audio_blocks(tmp_path / "a")))


def test_rates_that_change(tmp_path):
    (tmp_path / "a.mp3").write_bytes(mp3(speechlike(1.0)) + mp3(speechlike(1.0, 44_100), 44_100))
    fails("a.mp3: joined from sound at 16,000 Hz and at 44,100 Hz", read_audio, tmp_path / "a.mp3")


def test_what_is_no_file(tmp_path):
    fails("there is no such audio file", read_audio, "a\0b.wav")
    fails("there is no such audio file", read_audio, tmp_path / ("a" * 5000))
    os.mkfifo(tmp_path / "pipe")
    fails("pipe: this is a pipe or a device, not a file", read_audio, tmp_path / "pipe")


def test_too_little_memory_is_one_line(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", tone(), 16_000)

    def full(*_):
        raise MemoryError

    monkeypatch.setattr(audio, "_mono", full)
    fails("a.wav: does not fit into memory; cut it into shorter files", read_audio, tmp_path / "a.wav")


def test_a_name_that_is_no_utf8(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav")
    with open(path, "wb") as file:
        file.write(encoded(speechlike(0.5), format="WAV"))
    assert len(read_audio(path)[0]) == 8_000


def test_damaged_files_give_samples_or_one_line(tmp_path):
    """Bytes changed, cut out, put in, set to zero, cut off, in every format."""
    draw, wave = random.Random(3), speechlike(1.0)
    whole = {
        "wav": encoded(wave, format="WAV"), "adpcm": encoded(wave, format="WAV", subtype="IMA_ADPCM"),
        "flac": encoded(wave, format="FLAC") * 2, "opus": encoded(wave, format="OGG", subtype="OPUS") * 2,
        "mp3": mp3(wave), "joined": id3v2() + without_xing(mp3(wave)) + id3v1() + mp3(wave),
    }  # fmt: skip
    refused = 0
    for turn in range(240):
        data = bytearray(whole[list(whole)[turn % 6]])
        start = draw.randrange(len(data) if turn % 4 else 100)
        end = start + draw.choice([1, 4, 30, 500, 5000])
        changes = [b"", draw.randbytes(end - start), bytes(end - start), data[start : start + 9] * 2]
        data[start:end] = draw.choice(changes)
        (tmp_path / "a").write_bytes(data if turn % 10 else data[:start])
        try:
            samples, _ = read_audio(tmp_path / "a")
            blocks = np.concatenate(list(audio_blocks(tmp_path / "a", 0.2)))
            np.testing.assert_allclose(blocks, samples, atol=1e-6)
        except InputError as error:
            refused += 1
            assert "\n" not in str(error)
    assert 60 < refused < 240
