"""The command line as a whole: usage, warnings, and the one line on standard error about an error."""

import sys
import warnings

import pytest
import tiny
import torch
import yaml
from commandline import one_line, program, spoiled

from asrlib import cli, recognizer
from asrlib.decoding import beam
from asrlib.errors import InputError
from asrlib.recognizer import Recognizer


@pytest.fixture(autouse=True)
def one_thread():
    with tiny.one_thread():
        yield


def test_an_unknown_key_is_refused_before_anything_is_written(fails, config, corpus, tmp_path):
    content = tiny.settings(max_steps=1)
    content["training"]["warmup_step"] = 3
    config.write_text(yaml.safe_dump(content))
    named = [config, "unknown key training.warmup_step (did you mean training.warmup_steps?)"]
    fails("train", config, "--corpus", corpus, "--out", tmp_path / "out", naming=named)
    assert not (tmp_path / "out").exists()


def test_warnings_of_every_asrlib_package_are_shown_and_no_others(asrlib, model, monkeypatch):
    def load(*_):
        for name, module in {"cli": cli, "torch": torch, "recognizer": recognizer, "beam": beam}.items():
            warnings.warn_explicit(f"from {name}", UserWarning, module.__file__, 1)
        raise InputError("the end")

    monkeypatch.setattr(Recognizer, "load", load)
    err = asrlib("transcribe", model, "a.wav")[2]
    prefix = "asrlib: warning: from"
    assert err == f"{prefix} cli\n{prefix} recognizer\n{prefix} beam\nasrlib: error: the end\n"


@pytest.mark.parametrize("kind, cause", [("truncated", "truncated"), ("text", "cannot be read as audio")])
def test_the_mp3_library_does_not_chatter(model, tmp_path, kind, cause):
    """libmpg123 prints its own remarks about damaged files, from C."""
    path = tmp_path / "speech.mp3"
    spoiled(path, kind)
    done = program("transcribe", model, path)
    one_line(done.returncode, done.stderr, [path, cause])
    assert done.stdout == ""


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
    one_line(code, err, [cause, "--help lists what there is"])
    assert out == ""


def test_help(asrlib):
    code, out, err = asrlib("--help")
    assert code == 0 and err == ""
    assert all(command in out for command in ("data", "train", "test", "transcribe", "lm"))


def test_a_message_of_several_lines_becomes_one(fails, model, monkeypatch):
    def load(*_):
        raise InputError("first\n  second")

    monkeypatch.setattr(Recognizer, "load", load)
    fails("transcribe", model, "a.wav", naming=["first second"])


def test_too_little_memory_is_one_line(fails, model, monkeypatch):
    def load(*_):
        raise MemoryError

    monkeypatch.setattr(Recognizer, "load", load)
    fails("transcribe", model, "a.wav", naming=["not enough memory: give less at once"])


def test_a_defect_of_asrlib_keeps_its_traceback(monkeypatch, model):
    monkeypatch.setattr(sys, "argv", ["asrlib", "transcribe", str(model), "a.wav"])
    monkeypatch.setattr(Recognizer, "load", lambda *_: 1 / 0)
    with warnings.catch_warnings(), pytest.raises(ZeroDivisionError):
        cli.main()
