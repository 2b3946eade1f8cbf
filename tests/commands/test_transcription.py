"""``asrlib transcribe``: texts, times, JSON, and what is wrong with some of the files."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import soundfile
import streams
import tiny
from commandline import edit, spoiled
from soundfiles import encoded, mp3, without_xing

from asrlib.recognizer import Recognizer


def test_transcribe_one_and_several(asrlib, model, tmp_path):
    for name in ("low high", "mid"):
        soundfile.write(tmp_path / f"{name}.wav", tiny.tones(name, 16000), 16000)
    files = [tmp_path / "low high.wav", tmp_path / "mid.wav"]
    assert asrlib("transcribe", model, files[0]) == (0, "low high\n", "")
    assert asrlib("transcribe", model, *files)[1] == f"{files[0]}\tlow high\n{files[1]}\tmid\n"
    lines = asrlib("transcribe", model, files[0], "--times")[1].splitlines()
    assert lines[0] == "low high" and lines[1].endswith("low") and " s " in lines[1] and "%" in lines[1]


def test_transcribe_window_by_window(asrlib, fails, model, tmp_path):
    path, text = tmp_path / "long.wav", "low high mid low high low mid high"
    soundfile.write(path, tiny.tones(text), tiny.RATE)
    ctc = tmp_path / "ctc"
    shutil.copytree(model, ctc)
    edit(ctc / "config.yml", "head: null", "head: ctc")
    for folder, options in (
        (model, ["--window", "1.5"]),
        (model, ["--window", "2", "--overlap", "0.5", "--join", "middle"]),
        (ctc, ["--window", "1.5", "--overlap", "0.875"]),
        (ctc, ["--window", "20", "--beam", "3"]),
        (model, ["--window", "1.5", "--cut", "windows"]),
        (ctc, ["--window", "1.5", "--cut", "pauses"]),
    ):
        assert asrlib("transcribe", folder, path, *options) == (0, f"{text}\n", "")
    lines = asrlib("transcribe", model, path, "--window", "1.5", "--words")[1].splitlines()
    assert lines[0] == text and [line.split(" s  ")[1] for line in lines[1:]] == text.split()
    seconds = [float(line.split()[0]) for line in lines[1:]]
    assert seconds == sorted(seconds)
    usual = ["transcribe", model, path]
    fails(*usual, "--overlap", "0.5", naming=["--overlap is for recordings heard piece by", "--window 20"])
    fails(*usual, "--window", "2", "--stream", naming=["--window is for recordings", "drop it or --stream"])
    fails(*usual, "--window", "-1", naming=["window is -1.0 s; it must be positive"])
    fails(*usual, "--window", "2", "--overlap", "1", naming=["overlap is 1.0"])
    fails(
        *usual, "--window", "2", "--join", "sum", naming=["join is 'sum'; use one of average, middle, whole"]
    )
    fails(*usual, "--window", "2", "--cut", "words", naming=["cut is 'words'; use one of pauses, windows"])
    fails(*usual, "--cut", "pauses", naming=["--cut is for recordings heard piece by piece"])
    fails(*usual, "--window", "2", "--join", "average", naming=["a transducer has no probabilities"])
    fails(*usual, "--window", "2", "--join", "whole", naming=["ContextNetEncoder has no attention"])
    fails(*usual, "--window", "2", "--join", "whole", "--overlap", "0.5", naming=["--overlap is set by"])
    fails("transcribe", model, tmp_path / "no.wav", "--window", "2", naming=["no.wav: there is no such"])
    spoiled(tmp_path / "cut.flac", "truncated")
    fails("transcribe", model, tmp_path / "cut.flac", "--window", "2", naming=["cut.flac", "copy it again"])


def test_words_that_a_stream_writes_at_the_end_have_a_line_of_their_own(asrlib, tmp_path):
    recognizer = streams.recognizer(features={"tail_ms": 700})
    recognizer.save(tmp_path / "causal", {})
    samples = tiny.tones("low high mid low high", 8000)
    soundfile.write(tmp_path / "a.wav", samples, 8000)
    _, printed, _ = asrlib("transcribe", tmp_path / "causal", tmp_path / "a.wav", "--stream")
    *_, partial, last = printed.splitlines()
    assert partial == f"  {len(samples) / 8000:7.2f} s  {last}"


def test_transcribe_a_stream(asrlib, fails, model, tmp_path):
    """The network has random weights: its text does not matter, only that it grows bit by bit."""
    streams.recognizer(0).save(tmp_path / "causal", {})
    soundfile.write(tmp_path / "a.wav", tiny.tones("low high mid low high", 8000), 8000)
    offline = asrlib("transcribe", tmp_path / "causal", tmp_path / "a.wav")[1]
    code, printed, err = asrlib("transcribe", tmp_path / "causal", tmp_path / "a.wav", "--stream")
    assert err == "", err
    *partial, last = printed.splitlines(keepends=True)
    assert (code, err, last) == (0, "", offline) and len(partial) > 1
    seconds = [float(line.split()[0]) for line in partial]
    assert seconds == sorted(set(seconds)) and seconds[-1] <= 1.6
    for line in partial:
        assert offline.startswith(line.split(" s  ")[1].strip())
    fails("transcribe", model, tmp_path / "a.wav", "--stream", naming=["features.normalize is bin", "causal"])
    fails(
        "transcribe",
        tmp_path / "causal",
        tmp_path / "a.wav",
        "--stream",
        "--beam",
        "2",
        naming=["beam_width"],
    )


def test_transcribe_with_a_model_of_the_kit_by_its_name(asrlib, fails, model, tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", tiny.tones("mid low"), tiny.RATE)
    monkeypatch.setenv("ASRLIB_DATA", str(tmp_path))
    model.rename(tmp_path / "tones-model")
    assert asrlib("transcribe", "tones-model", tmp_path / "a.wav") == (0, "mid low\n", "")
    fails(
        "transcribe",
        "no-model",
        tmp_path / "a.wav",
        naming=["no-model", "shipped models: tones-model"],
    )


def test_transcribe_without_a_model_uses_the_one_that_ships(asrlib, model, tmp_path, monkeypatch):
    monkeypatch.setenv("ASRLIB_DATA", str(tmp_path))
    model.rename(tmp_path / "digits-model")
    soundfile.write(tmp_path / "a.wav", tiny.tones("mid low"), tiny.RATE)
    code, out, err = asrlib("transcribe", tmp_path / "a.wav")
    assert (code, out) == (0, "mid low\n")
    assert err.startswith("asrlib: no model is named, so digits-model transcribes") and err.count("\n") == 1
    shutil.copytree(tmp_path / "digits-model", tmp_path / "tones-model")
    code, out, err = asrlib("transcribe", tmp_path / "a.wav", tmp_path / "a.wav", "--json")
    assert len(out.splitlines()) == 2 and err.count("such as tones-model, or") == err.count("\n") == 1


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("kind", ["missing", "empty", "truncated", "header only", "text"])
def test_audio_that_cannot_be_used(fails, model, tmp_path, kind, ending):
    path = tmp_path / f"speech.{ending}"
    spoiled(path, kind)
    fails("transcribe", model, path, naming=[path])


def test_a_folder_instead_of_audio_and_no_audio_at_all(fails, model, tmp_path):
    fails("transcribe", model, tmp_path, naming=[tmp_path, "folder"])
    fails("transcribe", model, naming=["no audio file is given"])


def test_bad_files_do_not_stop_the_good_ones(asrlib, model, tmp_path):
    names = [tmp_path / f"{number:03}.wav" for number in range(100)]
    for number, path in enumerate(names):
        soundfile.write(path, tiny.tones("mid low" if number % 2 else "high"), tiny.RATE)
    spoiled(names[10], "text")
    spoiled(names[50], "truncated")
    names[99].unlink()
    code, out, err = asrlib("transcribe", model, *names)
    bad = [names[10], names[50], names[99]]
    assert code == 2 and len(err.splitlines()) == 3
    for path, line in zip(bad, err.splitlines(), strict=True):
        assert line.startswith(f"asrlib: error: {path}: ")
    good = [path for path in names if path not in bad]
    assert out.splitlines() == [f"{p}\t{'mid low' if int(p.stem) % 2 else 'high'}" for p in good]


def test_json_has_an_object_per_file(asrlib, fails, model, tmp_path):
    soundfile.write(tmp_path / "a.wav", tiny.tones("mid low"), tiny.RATE)
    soundfile.write(tmp_path / "b.wav", tiny.tones("high"), tiny.RATE)
    files = [tmp_path / "a.wav", tmp_path / "no.wav", tmp_path / "b.wav"]
    code, out, err = asrlib("transcribe", model, *files, "--json")
    first, missing, last = map(json.loads, out.splitlines())
    assert code == 2 and err == f"asrlib: error: {missing['error']}\n"
    assert list(first) == list(missing) == ["path", "text", "words", "error"]
    assert [each["path"] for each in (first, missing, last)] == [str(file) for file in files]
    assert (first["text"], first["error"], last["text"]) == ("mid low", None, "high")
    assert [word["word"] for word in first["words"]] == ["mid", "low"]
    assert 0 <= first["words"][0]["time"] < first["words"][1]["time"] < 1
    assert missing["text"] is missing["words"] is None and "there is no such audio file" in missing["error"]
    code, out, err = asrlib("transcribe", model, files[0], "--json", "--times")
    tokens = json.loads(out)["tokens"]
    assert (code, err) == (0, "") and [token["token"] for token in tokens] == ["mid", "low"]
    assert all(0 < token["confidence"] <= 1 for token in tokens)
    fails("transcribe", model, files[0], "--json", "--stream", naming=["--json is for the final text"])


def test_what_is_wrong_with_the_options_is_told_once(fails, model, tmp_path):
    for name in ("a.wav", "b.wav", "c.wav"):
        soundfile.write(tmp_path / name, tiny.tones("mid low"), tiny.RATE)
    files = [tmp_path / "a.wav", tmp_path / "b.wav", tmp_path / "c.wav"]
    fails("transcribe", model, *files, "--window", "-1", naming=["window is -1.0 s"])
    fails("transcribe", model, *files, "--window", "2", "--join", "whole", naming=["has no attention"])
    fails("transcribe", model, *files, "--stream", naming=["this model cannot stream"])


def test_a_mistyped_model_is_not_called_an_audio_file(fails, model, tmp_path, monkeypatch):
    monkeypatch.setenv("ASRLIB_DATA", str(tmp_path))
    model.rename(tmp_path / "tones-model")
    soundfile.write(tmp_path / "a.wav", tiny.tones("mid low"), tiny.RATE)
    for files in ([tmp_path / "a.wav"], []):
        fails("transcribe", "tone-model", *files, naming=["no model directory", "did you mean tones-model?"])
        fails("transcribe", "runs/v1.2", *files, naming=["no model directory", "runs/v1.2", "tones-model"])
    shutil.copytree(tmp_path / "tones-model", tmp_path / "digits-model")
    fails("transcribe", "missing.mp3", naming=["missing.mp3: there is no such audio file"])


def test_too_little_memory_names_the_file(asrlib, model, tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", tiny.tones("mid low"), tiny.RATE)
    for error in (MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")):

        def full(self, audio, rate=None, error=error):
            raise error

        monkeypatch.setattr(Recognizer, "transcribe", full)
        code, out, err = asrlib("transcribe", model, tmp_path / "a.wav")
        assert (code, out) == (2, "") and err.count("\n") == 1
        assert "a.wav: transcribing it at once takes more memory than there is" in err


@pytest.mark.processes
@pytest.mark.skipif(os.name == "nt", reason="file names are not bytes there")
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_names_that_are_no_utf8_and_terminals_that_lack_letters(model, tmp_path, encoding):
    content = encoded(tiny.tones("mid low", 8000), 8000, format="WAV")
    names = [os.fsencode(tmp_path) + name for name in (b"/caf\xe9.wav", "/caf\u00e9 \u4f60.wav".encode())]
    for name in names:
        with open(name, "wb") as file:
            file.write(content)
    run = "from asrlib.cli import main; main()"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-c", run, "transcribe", model, *names]
    done = subprocess.run(command, env=environment, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    first, second = done.stdout.splitlines()
    assert first == names[0] + b"\tmid low"
    shown = {"utf-8": "caf\u00e9 \u4f60", "ascii": r"caf\xe9 \u4f60", "latin-1": "caf\u00e9 \\u4f60"}
    assert second.endswith(f"/{shown[encoding]}.wav\tmid low".encode(encoding))
    done = subprocess.run([*command, "--json"], env=environment, capture_output=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [os.fsencode(each["path"]) for each in found] == names and done.returncode == 0


def test_an_mp3_file_that_says_nothing_of_its_length(asrlib, model, tmp_path):
    bare = without_xing(mp3(tiny.tones("low high mid low high low mid high " * 3, 16_000), 16_000))
    (tmp_path / "a.mp3").write_bytes(bare)
    (tmp_path / "b.mp3").write_bytes(bare + bare)
    code, out, err = asrlib("transcribe", model, tmp_path / "a.mp3", tmp_path / "b.mp3")
    once, twice = (line.split("\t")[1].split() for line in out.splitlines())
    assert (code, err) == (0, "") and abs(len(once) - 24) <= 2 and abs(len(twice) - 48) <= 4
