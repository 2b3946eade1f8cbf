"""The command line: what it prints, and the one line on standard error about whatever is wrong."""

import os
import shutil
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
import soundfile
import streams
import tiny
import yaml

from asrlib import cli
from asrlib.errors import InputError
from asrlib.recognizer import Recognizer

QUICK = ["--set", "training.max_steps=1"]


@pytest.fixture(autouse=True)
def one_thread():
    with tiny.one_thread():
        yield


@pytest.fixture
def asrlib(monkeypatch, capsys):
    """``asrlib("train", ...)`` in this process: exit code, standard output, standard error."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["asrlib", *map(str, words)])
        monkeypatch.setattr(threading, "excepthook", threading.excepthook)
        capsys.readouterr()
        with warnings.catch_warnings(), pytest.raises(SystemExit) as exit:
            warnings.simplefilter("default")  # as in a program of its own
            cli.main()
        return exit.value.code or 0, *capsys.readouterr()

    return run


@pytest.fixture
def fails(asrlib):
    """The one line that a command ends with; it must hold all ``parts``."""

    def run(*words, naming=()):
        code, _, err = asrlib(*words)
        return one_line(code, err, naming)

    return run


def one_line(code, err, naming):
    assert code == 2, err
    assert err.startswith("asrlib: error: ") and err.count("\n") == 1 and err.endswith("\n"), err
    assert "Traceback" not in err
    for part in naming:
        assert str(part) in err
    return err


def program(*words, before=""):
    """``asrlib`` as a program of its own, which first does what ``before`` says."""
    return subprocess.run(
        [sys.executable, "-c", f"{before}\nfrom asrlib.cli import main\nmain()", *map(str, words)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "tiny.yml"
    path.write_text(yaml.safe_dump(tiny.settings(max_steps=2)))
    return path


@pytest.fixture
def corpus(tmp_path):
    """A small corpus that a test may spoil."""
    return tiny.write_corpus(tmp_path / "tones", 4, 2, 2)


@pytest.fixture
def model(tiny_model, tmp_path):
    """A model directory that a test may spoil."""
    return shutil.copytree(tiny_model, tmp_path / "model")


# ------------------------------------------------------------------------------------------ what works


def test_train_test_transcribe(asrlib, config, tiny_corpus, tmp_path):
    out, table = tmp_path / "out", tmp_path / "results.tsv"
    code, printed, err = asrlib("train", config, "--corpus", tiny_corpus, "--out", out, *QUICK)
    assert (code, err) == (0, "") and printed.splitlines()[-1].startswith(f"model directory: {out} (7,")
    assert {"config.yml", "model.safetensors", "tokenizer.json", "metrics.json"} <= {
        p.name for p in out.iterdir()
    }

    code, printed, err = asrlib("test", out, "--corpus", tiny_corpus, "--output", table)
    assert (code, err) == (0, "")
    assert "WER " in printed and f"12 utterances in {table}" in printed
    assert len(table.read_text().splitlines()) == 13


def test_test_prints_rates_and_writes_a_row_an_utterance(asrlib, model, corpus, tmp_path):
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
    fails(*usual, "--lm", arpa, naming=["--lm is for beam search", "--beam 5"])
    fails(*usual, "--beam", "4", "--lm", tmp_path / "no.arpa", naming=["no.arpa"])
    fails("lm", model, "--corpus", corpus, "--output", tmp_path / "no" / "lm.arpa", naming=["No such file"])


def test_transcribe_a_stream(asrlib, fails, model, tmp_path):
    """The network has random weights: what it says is of no interest, but that it comes bit by bit."""
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


def test_transcribe_without_a_model_uses_the_one_that_ships(asrlib, model, tmp_path, monkeypatch):
    monkeypatch.setenv("ASRLIB_DATA", str(tmp_path))
    model.rename(tmp_path / "digits-model")
    soundfile.write(tmp_path / "a.wav", tiny.tones("mid low"), tiny.RATE)
    assert asrlib("transcribe", tmp_path / "a.wav") == (0, "mid low\n", "")


def test_two_corpora_whose_files_have_the_same_names(asrlib, model, tmp_path):
    """Each utterance keeps its own audio and its own text."""
    for name, text in (("a", "low high"), ("b", "mid")):
        folder = tiny.write_corpus(tmp_path / name, 1, 1, 1)
        for split in ("train", "dev", "test"):
            soundfile.write(folder / f"{split}-0.wav", tiny.tones(text), tiny.RATE)
        rows = [f"{split}-0.wav\t{text}\t{split}" for split in ("train", "dev", "test")]
        (folder / "manifest.tsv").write_text("\n".join(["path\ttext\tsplit", *rows]) + "\n")
    both = ["--corpus", tmp_path / "a", "--corpus", tmp_path / "b"]
    code, printed, _ = asrlib("test", model, *both, "--output", tmp_path / "r.tsv")
    assert code == 0 and "WER 0.00 %" in printed
    assert [row.split("\t")[2] for row in (tmp_path / "r.tsv").read_text().splitlines()[1:]] == [
        "low high",
        "mid",
    ]
    (tmp_path / "c.yml").write_text(yaml.safe_dump(tiny.settings(max_steps=2)))
    assert asrlib("train", tmp_path / "c.yml", *both, "--out", tmp_path / "out")[0] == 0


def test_a_corpus_without_dev_trains_and_keeps_the_last_weights(asrlib, config, corpus, tmp_path):
    lines = [line for line in (corpus / "manifest.tsv").read_text().splitlines() if not line.endswith("dev")]
    (corpus / "manifest.tsv").write_text("\n".join(lines) + "\n")
    assert asrlib("train", config, "--corpus", corpus, "--out", tmp_path / "out")[0] == 0
    assert "dev_wer" not in (tmp_path / "out" / "metrics.json").read_text()


def test_an_unknown_key_warns_and_works(config, corpus, tmp_path):
    content = tiny.settings(max_steps=1)
    content["training"]["warmth"] = 3
    config.write_text(yaml.safe_dump(content))
    done = program("train", config, "--corpus", corpus, "--out", tmp_path / "out")
    assert done.returncode == 0
    assert done.stderr == f"asrlib: warning: {config}: unknown key training.warmth ignored\n"
    assert Recognizer.load(tmp_path / "out")


# ------------------------------------------------------------------------------------------ audio


def spoilt(path, kind):
    if kind == "missing":
        return
    soundfile.write(path, np.tile(tiny.tones("low mid high", 16000), 4), 16000)
    content = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "truncated": content[: len(content) // 2],
            "header only": content[:20],
            "text": b"These are words, not sounds. " * 100,
        }[kind]
    )


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("kind", ["missing", "empty", "truncated", "header only", "text"])
def test_audio_that_cannot_be_used(fails, model, tmp_path, kind, ending):
    path = tmp_path / f"speech.{ending}"
    spoilt(path, kind)
    fails("transcribe", model, path, naming=[path])


@pytest.mark.parametrize("kind, cause", [("truncated", "truncated"), ("text", "no audio")])
def test_the_mp3_library_does_not_chatter(model, tmp_path, kind, cause):
    """libmpg123 prints its own remarks about damaged files, from C."""
    path = tmp_path / "speech.mp3"
    spoilt(path, kind)
    done = program("transcribe", model, path)
    one_line(done.returncode, done.stderr, [path, cause])
    assert done.stdout == ""


def test_a_folder_instead_of_audio_and_no_audio_at_all(fails, model, tmp_path):
    fails("transcribe", model, tmp_path, naming=[tmp_path, "folder"])
    fails("transcribe", model, naming=["no audio file is given"])


# ------------------------------------------------------------------------------------------ corpora


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    "spoil, cause",
    [
        (lambda f: edit(f / "manifest.tsv", "path\t", "file\t"), "'path'"),
        (lambda f: edit(f / "manifest.tsv", "\ttext\t", "\ttranscript\t"), "'text'"),
        (lambda f: (f / "train-1.wav").unlink(), "train-1.wav"),
        (lambda f: (f / "train-1.wav").write_bytes(b""), "train-1.wav"),
        (lambda f: (f / "train-1.wav").write_bytes((f / "train-1.wav").read_bytes()[:-500]), "truncated"),
        (lambda f: (f / "manifest.tsv").unlink(), "no such file"),
    ],
    ids=["no path column", "no text column", "missing file", "empty file", "truncated file", "no manifest"],
)
def test_a_corpus_that_is_not_whole(fails, config, corpus, tmp_path, spoil, cause):
    spoil(corpus)
    words = ["--corpus", corpus, "--out", tmp_path / "out"]
    fails("train", config, *words, naming=[corpus / "manifest.tsv", cause])
    assert not (tmp_path / "out").exists()


def test_an_empty_transcript(fails, config, corpus, tmp_path):
    lines = (corpus / "manifest.tsv").read_text().splitlines()
    fields = lines[2].split("\t")
    lines[2] = "\t".join([*fields[:3], "", fields[4]])
    (corpus / "manifest.tsv").write_text("\n".join(lines) + "\n")
    words = ["--corpus", corpus, "--out", tmp_path / "out"]
    fails("train", config, *words, naming=[corpus / "manifest.tsv", "line 3", "transcript is empty"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind, label", [("words", "word 'eleven'"), ("characters", "character 'e'")])
def test_what_the_tokenizer_does_not_know(fails, asrlib, config, corpus, tmp_path, kind, label):
    keys = [*QUICK, "--set", f"tokenizer.kind={kind}"]
    assert asrlib("train", config, "--corpus", corpus, "--out", tmp_path / "first", *keys)[0] == 0
    lines = (corpus / "manifest.tsv").read_text().splitlines()
    path, speaker, seconds, _, split = lines[1].split("\t")
    lines[1] = "\t".join([path, speaker, seconds, "low eleven", split])
    (corpus / "manifest.tsv").write_text("\n".join(lines) + "\n")
    words = ["--corpus", corpus, "--out", tmp_path / "out", "--init", tmp_path / "first"]
    fails("train", config, *words, *keys, naming=["utterance train-0", label, "'low eleven'"])
    assert not (tmp_path / "out").exists()


def test_unknown_names(fails, asrlib, config, corpus, model, tmp_path):
    out, table = tmp_path / "out", tmp_path / "r.tsv"
    fails("train", "nosuch", "--corpus", corpus, "--out", out, naming=["nosuch", "contextnet-digits"])
    fails("train", config, "--corpus", "nosuch", "--out", out, naming=["nosuch", "digits"])
    fails("train", config, "--corpus", corpus, "--corpus", "nosuch", "--out", out, naming=["nosuch"])
    fails(
        "train", config, "--corpus", corpus, "--out", out, "--init", tmp_path / "no", naming=[tmp_path / "no"]
    )
    fails("test", model, "--corpus", corpus, "--output", table, "--split", "exam", naming=["exam", "train"])
    fails("test", tmp_path / "no", "--corpus", corpus, "--output", table, naming=[tmp_path / "no"])
    fails("test", model, "--corpus", corpus, "--output", tmp_path / "no" / "r", naming=["there is no folder"])
    fails("data", "nosuch", naming=["nosuch", "librispeech"])
    assert not out.exists() and not table.exists()


def test_a_public_corpus_that_was_not_fetched(fails, config, tmp_path, monkeypatch):
    monkeypatch.setenv("ASRLIB_CACHE", str(tmp_path / "cache"))
    fails(
        "train", config, "--corpus", "yesno", "--out", tmp_path / "out", naming=["yesno", "asrlib data yesno"]
    )


# ------------------------------------------------------------------------------------------ configurations


@pytest.mark.parametrize(
    "section, key, value",
    [
        ("training", "max_lr", "fast"),
        ("training", "max_steps", 1.5),
        ("training", "precision", "fp8"),
        ("features", "mels", "forty"),
        ("augment", "speed", [2.0]),
        ("encoder", "blocks", "many"),
    ],
)
def test_a_key_of_the_wrong_type(fails, config, corpus, tmp_path, section, key, value):
    content = tiny.settings()
    content[section] = content[section] | {key: value}
    config.write_text(yaml.safe_dump(content))
    words = ["--corpus", corpus, "--out", tmp_path / "out"]
    fails("train", config, *words, naming=[config, f"{section}.{key}", str(value)])
    assert not (tmp_path / "out").exists()


def test_text_that_is_no_yaml(fails, config, corpus, tmp_path):
    config.write_text("training: {max_lr: 1\nfeatures: [")
    fails("train", config, "--corpus", corpus, "--out", tmp_path / "out", naming=[config, "line 2"])


@pytest.mark.parametrize(
    "assignment",
    ["training.max_lr", "training.warmth=1", "training.max_lr=fast", "nosuch.key=1", "training.max_lr=["],
)
def test_a_bad_override(fails, config, corpus, tmp_path, assignment):
    words = ["--corpus", corpus, "--out", tmp_path / "out", "--set", assignment]
    fails("train", config, *words, naming=["--set", assignment.partition("=")[0]])


# ------------------------------------------------------------------------------------------ model directories


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


def test_a_used_directory_and_a_changed_configuration(fails, asrlib, config, corpus, tmp_path):
    words = ["train", config, "--corpus", corpus, "--out", tmp_path / "out"]
    assert asrlib(*words)[0] == 0
    fails(*words, naming=[tmp_path / "out", "--resume"])
    fails(*words, "--resume", "--set", "training.max_lr=0.5", naming=["training.max_lr", "0.5", "0.01"])
    assert asrlib(*words, "--resume")[0] == 0


# ------------------------------------------------------------------------------------------ disk and network


def test_a_folder_that_cannot_be_made(fails, config, corpus, tmp_path):
    (tmp_path / "file").write_text("")
    fails("train", config, "--corpus", corpus, "--out", tmp_path / "file" / "out", naming=[tmp_path / "file"])


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


def test_files_that_may_not_grow_while_training(asrlib, config, corpus, tmp_path):
    """The optimiser's state is larger than the weights: it is what no longer fits."""
    words = ["train", config, "--corpus", corpus, "--out", tmp_path / "out"]
    more = ["--resume", "--set", "training.max_steps=4"]
    assert asrlib(*words)[0] == 0
    limit = 2 * (tmp_path / "out" / "model.safetensors").stat().st_size
    no_more = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))"
    done = program(*words, *more, before=no_more)
    one_line(done.returncode, done.stderr, [tmp_path / "out" / "checkpoints", "disk full", "--resume"])
    assert [path.name for path in (tmp_path / "out" / "checkpoints").iterdir()] == ["step-00000002"]
    assert Recognizer.load(tmp_path / "out")
    assert asrlib(*words, *more)[0] == 0


def test_a_full_disk_while_training(config, corpus, tmp_path):
    """A disk of 256 kB, which only the program sees: room for one checkpoint, not for two."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=256k tmpfs '{disk}'"
    alone = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*alone, mount], capture_output=True).returncode:
        pytest.skip("needs to mount a small disk")
    words = [sys.executable, "-m", "asrlib.cli", "train", config, "--corpus", corpus, "--out", disk / "out"]
    words += ["--set", "training.checkpoint_every=1", "--set", "training.max_steps=9"]
    command = " ".join(f"'{word}'" for word in words)
    done = subprocess.run(
        [*alone, f"{mount} && {command}; echo code $?; ls '{disk}/out/checkpoints'"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    one_line(int(lines[-2].removeprefix("code ")), done.stderr, [disk, "disk"])
    assert lines[-1].startswith("step-0000000") and not lines[-1].endswith("partial")


def test_no_network(fails, tmp_path, monkeypatch):
    monkeypatch.setenv("ASRLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.delenv("no_proxy", raising=False)
    folder = tmp_path / "cache" / "librispeech" / "downloads"
    url = "https://www.openslr.org/resources/12/train-clean-100.tar.gz"
    fails("data", "librispeech", naming=["cannot download", url, folder])
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


# ------------------------------------------------------------------------------------------ usage


@pytest.mark.parametrize(
    "words, cause",
    [
        (["--nosuch"], "No such option"),
        (["nosuch"], "No such command"),
        (["train"], "Missing argument"),
        (["test", "model", "--corpus", "c"], "Missing option"),
        (["transcribe", "--nosuch", "a.wav"], "No such option"),
    ],
)
def test_wrong_usage(asrlib, words, cause):
    code, out, err = asrlib(*words)
    assert code == 2 and out == "" and cause in err and "Traceback" not in err


def test_help(asrlib):
    code, out, err = asrlib("--help")
    assert code == 0 and err == ""
    assert all(command in out for command in ("data", "train", "test", "transcribe", "lm"))


def test_a_message_of_several_lines_becomes_one(fails, model, monkeypatch):
    def load(*_):
        raise InputError("first\n  second")

    monkeypatch.setattr(Recognizer, "load", load)
    fails("transcribe", model, "a.wav", naming=["first second"])


def test_a_defect_of_asrlib_keeps_its_traceback(monkeypatch, model):
    monkeypatch.setattr(sys, "argv", ["asrlib", "transcribe", str(model), "a.wav"])
    monkeypatch.setattr(Recognizer, "load", lambda *_: 1 / 0)
    with warnings.catch_warnings(), pytest.raises(ZeroDivisionError):
        cli.main()
