"""What cannot be exported, and a file that stays until the new one is complete.

TFLite's converter lives in an environment of its own: ``make test-export``, which also
compares both formats with eager on the whole test split of ``digits``.
"""

import os

import pytest
from exports import INSTALLED, export

from asrlib.errors import InputError
from asrlib.export import convert
from asrlib.export.runner import Runner


def test_what_cannot_stream(recognizer, exported, tmp_path):
    _, path, _ = exported
    with pytest.raises(InputError, match="cannot stream, it needs the whole utterance: .*normalize"):
        export(recognizer, tmp_path / f"m{path.suffix}", path.suffix[1:], stream=True)
    with pytest.raises(InputError, match="export the model with --stream"):
        Runner.load(path).stream()
    assert not list(tmp_path.iterdir())


def test_an_unknown_format(recognizer, tmp_path):
    with pytest.raises(InputError, match="format is 'coreml'; use one of onnx, tflite"):
        export(recognizer, tmp_path / "m.coreml", "coreml")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format, extra", [("onnx", "export"), ("tflite", "tflite")])
def test_a_package_that_is_not_installed(recognizer, tmp_path, monkeypatch, format, extra):
    def missing(name):
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr("asrlib.export.formats.importlib.import_module", missing)
    with pytest.raises(InputError, match=rf'which is not installed: pip install "asrlib\[{extra}\]"'):
        export(recognizer, tmp_path / f"m.{format}", format)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", INSTALLED)
def test_a_failed_write_leaves_the_old_file(recognizer, tmp_path, monkeypatch, format):
    path = tmp_path / f"m.{format}"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(convert, f"write_{format}", lambda *_: {"float32": b"new"})
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        export(recognizer, path, format, seconds=[1])
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
