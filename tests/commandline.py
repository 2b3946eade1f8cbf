"""The command line in tests: ``asrlib`` in this process or as a program, and files that a test may spoil."""

import os
import shutil
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
import soundfile
import tiny
import yaml

QUICK = ["--set", "training.max_steps=1"]


@pytest.fixture
def asrlib(monkeypatch, capsys):
    """``asrlib("train", ...)`` in this process: exit code, standard output, standard error."""
    from asrlib import cli

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


def spoiled(path, kind):
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


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
