"""``asrlib test`` and ``asrlib transcribe``, and the one line about whatever is wrong."""

import os
import shutil

import pytest
import soundfile
import streams
import tiny
from commandline import edit, spoiled


def test_test_prints_rates_and_writes_a_row_per_utterance(asrlib, model, corpus, tmp_path):
    manifest = corpus / "manifest.tsv"
    lines = manifest.read_text().splitlines()
    soundfile.write(corpus / "test-0.wav", tiny.tones("low mid high"), tiny.RATE)
    soundfile.write(corpus / "test-1.wav", tiny.tones("low mid"), tiny.RATE)
    texts = {"test-0.wav": "Low, high high!", "test-1.wav": "low"}  # one substitution; one insertion
    for number, line in enumerate(lines):
        fields = line.split("\t")
        lines[number] = "\t".join([*fields[:3], texts.get(fields[0], fields[3]), fields[4]])
    manifest.write_text("\n".join(lines) + "\n")
    code, printed, err = asrlib("test", model, "--corpus", corpus, "--output", tmp_path / "r.tsv")
    assert (code, err) == (0, "")
    assert "WER 50.00 % (1 substitutions, 0 deletions, 1 insertions in 4)" in printed
    assert "\nCER " in printed and "substitutions" in printed.split("CER")[1]
    header, *rows = [line.split("\t") for line in (tmp_path / "r.tsv").read_text().splitlines()]
    assert header == ["id", "reference", "hypothesis", "score"]
    assert [row[1:3] for row in rows] == [["low high high", "low mid high"], ["low", "low mid"]]
    assert all(float(row[3]) < 0 for row in rows)


@pytest.mark.parametrize("split, count", [("train", 4), ("dev", 2), ("test", 2), ("all", 8)])
def test_splits(asrlib, model, corpus, tmp_path, split, count):
    code, printed, _ = asrlib("test", model, "--corpus", corpus, "--output", tmp_path / "r", "--split", split)
    assert code == 0 and f"{count} utterances" in printed


def test_transcribe_one_and_several(asrlib, model, tmp_path):
    for name in ("low high", "mid"):
        soundfile.write(tmp_path / f"{name}.wav", tiny.tones(name, 16000), 16000)
    files = [tmp_path / "low high.wav", tmp_path / "mid.wav"]
    assert asrlib("transcribe", model, files[0]) == (0, "low high\n", "")
    assert asrlib("transcribe", model, *files)[1] == f"{files[0]}\tlow high\n{files[1]}\tmid\n"
    lines = asrlib("transcribe", model, files[0], "--times")[1].splitlines()
    assert lines[0] == "low high" and lines[1].endswith("low") and " s " in lines[1] and "%" in lines[1]


def test_beam_and_language_model(asrlib, fails, model, corpus, tmp_path):
    arpa, table = tmp_path / "lm.arpa", tmp_path / "r.tsv"
    code, printed, err = asrlib("lm", model, "--corpus", corpus, "--output", arpa, "--order", "2")
    assert (code, err) == (0, "") and printed.startswith(f"{arpa}: order 2, ")
    assert "n-grams of 4 texts" in printed and "perplexity of the dev texts: " in printed
    usual = ["test", model, "--corpus", corpus, "--output", table]
    for search in (["--beam", "4"], ["--beam", "4", "--lm", arpa], ["--beam", "0"]):
        code, printed, err = asrlib(*usual, *search)
        assert (code, err) == (0, "") and "WER 0.00 %" in printed
    # nothing but what the language model expects: the end
    printed = asrlib(*usual, "--beam", "4", "--lm", arpa, "--lm-weight", "100")[1]
    assert "WER 100.00 % (0 substitutions, " in printed or "deletions" in printed
    assert "WER 0.00 %" not in printed
    soundfile.write(tmp_path / "a.wav", tiny.tones("mid low"), tiny.RATE)
    assert asrlib("transcribe", model, tmp_path / "a.wav", "--beam", "3", "--lm", arpa)[1] == "mid low\n"
    fails(*usual, "--lm", arpa, naming=["--lm needs beam search", "--beam 5"])
    fails(*usual, "--beam", "4", "--lm", tmp_path / "no.arpa", naming=["no.arpa"])
    fails("lm", model, "--corpus", corpus, "--output", tmp_path / "no" / "lm.arpa", naming=["No such file"])


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
    fails("transcribe", "no-model", tmp_path / "a.wav", naming=["no model", "digits-model", "tones-model"])


def test_transcribe_without_a_model_uses_the_one_that_ships(asrlib, model, tmp_path, monkeypatch):
    monkeypatch.setenv("ASRLIB_DATA", str(tmp_path))
    model.rename(tmp_path / "digits-model")
    soundfile.write(tmp_path / "a.wav", tiny.tones("mid low"), tiny.RATE)
    assert asrlib("transcribe", tmp_path / "a.wav") == (0, "mid low\n", "")


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("kind", ["missing", "empty", "truncated", "header only", "text"])
def test_audio_that_cannot_be_used(fails, model, tmp_path, kind, ending):
    path = tmp_path / f"speech.{ending}"
    spoiled(path, kind)
    fails("transcribe", model, path, naming=[path])


def test_a_folder_instead_of_audio_and_no_audio_at_all(fails, model, tmp_path):
    fails("transcribe", model, tmp_path, naming=[tmp_path, "folder"])
    fails("transcribe", model, naming=["no audio file is given"])


@pytest.mark.parametrize(
    "spoil, naming",
    [
        (lambda f: (f / "model.safetensors").unlink(), ["model.safetensors is missing"]),
        (lambda f: (f / "model.safetensors").write_bytes(b"\0" * 99), ["model.safetensors is damaged"]),
        (lambda f: edit(f / "config.yml", "units: 16", "units: 9"), ["model.safetensors does not fit"]),
        (lambda f: (f / "tokenizer.json").unlink(), ["tokenizer.json is missing"]),
        (lambda f: (f / "config.yml").unlink(), ["config.yml is missing"]),
        (lambda f: (f / "config.yml").write_text("[]"), ["config.yml", "expected sections"]),
    ],
    ids=["no weights", "damaged weights", "another shape", "no tokenizer", "no config", "no sections"],
)
def test_a_model_directory_that_is_not_whole(fails, model, corpus, tmp_path, spoil, naming):
    spoil(model)
    table = tmp_path / "r.tsv"
    fails("transcribe", model, corpus / "test-0.wav", naming=[model, *naming])
    fails("test", model, "--corpus", corpus, "--output", table, naming=[model, *naming])
    assert not table.exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_while_the_table_is_written(fails, model, corpus):
    fails("test", model, "--corpus", corpus, "--output", "/dev/full", naming=["/dev/full", "disk is full"])
    assert os.path.exists("/dev/full")


def test_a_disk_that_fills_up_keeps_the_old_table(fails, model, corpus, tmp_path, monkeypatch):
    table = tmp_path / "r.tsv"
    table.write_text("old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    fails("test", model, "--corpus", corpus, "--output", table, naming=[table, "disk is full"])
    assert table.read_text() == "old" and not list(tmp_path.glob("r.tsv*partial*"))
