"""Bad command lines, terminals and disks. The numbers of entries are those of the review."""

import os
import shutil
import subprocess
import sys

import pytest
import soundfile
import tiny
from commandline import one_line, program

from asrlib import cli
from asrlib.recognizer import Recognizer


@pytest.fixture
def wav(tmp_path):
    soundfile.write(tmp_path / "a.wav", tiny.tones("low mid"), tiny.RATE)
    return tmp_path / "a.wav"


# ----------------------------------------------------------------------------- entry 18


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: 1 GB"
        ),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    ],
)
def test_entry_18_too_little_memory_is_one_line(fails, model, wav, monkeypatch, error):
    def load(*_):
        raise error

    monkeypatch.setattr(Recognizer, "load", load)
    fails("transcribe", model, wav, naming=[cli.NO_MEMORY])


def test_entry_18_a_huge_beam_is_refused(fails, model, wav):
    fails("transcribe", model, wav, "--beam", 10**9, naming=["decoding.beam_width is 1000000000", "at most"])


# ----------------------------------------------------------------------------- entry 19


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
@pytest.mark.parametrize("option", ["--label-bonus", "--lm-weight"])
def test_entry_19_options_are_finite_numbers(asrlib, model, wav, option, value):
    code, out, err = asrlib("transcribe", model, wav, "--beam", 2, f"{option}={value}")
    one_line(code, err, [option])
    assert out == ""


@pytest.mark.parametrize(
    "words",
    [
        ["test", "MODEL", "--corpus", "CORPUS", "--output", ""],
        ["test", "MODEL", "--corpus", "CORPUS", "--output="],
        ["test", "MODEL", "--corpus", "", "--output", "r.tsv"],
        ["train", "", "--corpus", "CORPUS", "--out", "out"],
        ["train", "tiny.yml", "--corpus", "CORPUS", "--out", ""],
        ["transcribe", ""],
        ["data", ""],
    ],
)
def test_entry_19_an_empty_argument_is_named(fails, model, corpus, words):
    words = [{"MODEL": model, "CORPUS": corpus}.get(word, word) for word in words]
    fails(*words, naming=["is empty: leave it out, or give a value"])


def test_entry_19_an_output_that_is_a_folder(fails, model, corpus, tmp_path):
    words = ["test", model, "--corpus", corpus, "--output", tmp_path]
    fails(*words, naming=[f"--output {tmp_path} is a folder: give a file"])


# ----------------------------------------------------------------------------- entry 21


def run(*words, **environment):
    command = [sys.executable, "-m", "asrlib.cli", *words]
    env = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    return subprocess.run(command, env=env, capture_output=True, timeout=300)


@pytest.mark.processes
def test_entry_21_names_that_are_not_utf8_and_plain_terminals(model, corpus, tmp_path, wav):
    """Both of good recordings and of a bad one, in one command each."""
    name = os.fsencode(tmp_path) + b"/caf\xe9 \xe4\xbd\xa0.wav"
    shutil.copy(wav, name)
    missing = os.fsencode(tmp_path) + b"/\xff.wav"
    for environment in ({}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}):
        done = run("transcribe", os.fsencode(model), name, os.fsencode(wav), **environment)
        assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr
        lines = done.stdout.splitlines()
        assert len(lines) == 2 and b"caf\xe9" in lines[0] and lines[0].endswith(b"low mid")
        done = run("transcribe", os.fsencode(model), missing, **environment)
        assert done.returncode == 2 and b"Traceback" not in done.stderr
        assert b"\xff.wav" in done.stderr and done.stderr.count(b"\n") == 1


# ----------------------------------------------------------------------------- entry 24


@pytest.mark.parametrize(
    "words, cause",
    [
        (["train"], "Missing argument"),
        (["train", "x", "--corpus", "c"], "Missing option '--out'"),
        (["train", "x", "--corpus", "c", "--out", "o", "--resum"], "No such option: --resum"),
        (["transcribe", "a.wav", "--beam", "many"], "--beam"),
        (["transcribe", "a.wav", "--beam", "-1"], "--beam"),
        (["test", "a", "b", "--corpus", "c", "--output", "o"], "extra argument"),
        (["recipe", "nosuch"], "No such command 'nosuch'"),
        (["bench", "train", "--repeats", "0"], "--repeats"),
        (["--version"], "--version"),
    ],
)
def test_entry_24_a_usage_error_is_one_line(asrlib, words, cause):
    code, out, err = asrlib(*words)
    one_line(code, err, [cause, "--help lists what there is"])
    assert out == ""


def test_entry_24_no_command_at_all_shows_the_help(asrlib):
    code, out, err = asrlib()
    assert code == 2 and "transcribe" in out + err and "Traceback" not in err


def test_find_a_device_that_is_none(fails):
    fails("bench", "losses", "--quick", "--device", "gpu", naming=["device 'gpu' cannot be used"])


def test_entry_24_shards_on_a_full_disk_are_one_line(corpus, tmp_path):
    """A file may have some thousand bytes only, which is what a full disk looks like to a program."""
    no_more = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))"
    done = program("data", corpus, "--shar", tmp_path / "shards", before=no_more)
    one_line(done.returncode, done.stderr, [tmp_path / "shards"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [corpus.name]


def test_unclear_a_home_that_cannot_be_written_names_the_variable(fails, monkeypatch, tmp_path):
    (tmp_path / "home").write_text("a file")
    monkeypatch.delenv("ASRLIB_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    fails("data", "digits", naming=[tmp_path / "home", "ASRLIB_CACHE"])
    fails("data", "yesno", naming=[tmp_path / "home", "ASRLIB_CACHE"])
