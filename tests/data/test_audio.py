"""asrlib.data.audio: every format decodes, and what cannot be read is named."""

import numpy as np
import pytest
import soundfile
from folders import fails, make_folder, tone

from asrlib.data.audio import cut_audio, read_audio
from asrlib.data.manifest import load_folder


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
