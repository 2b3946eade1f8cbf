"""``asrlib export``: its table, and one line for what is wrong."""

import pytest
from exports import INSTALLED, thorough, unchecked

from asrlib.export import convert


@pytest.mark.parametrize(
    "words, naming",
    [
        (["--format", "coreml"], "format is 'coreml'; use one of onnx, tflite"),
        (["--format", "onnx", "--output", "nowhere/m.onnx"], "--output nowhere/m.onnx: there is no folder"),
        (["--format", "onnx", "--stream"], "this model cannot stream"),
        (["--format", "onnx", "--corpus", "no-such-corpus"], "no-such-corpus"),
        (["--format", "onnx", "--seconds", "0"], "seconds is [0]"),
    ],
)
def test_one_line_for_what_is_wrong(asrlib, tiny_model, words, naming):
    pytest.importorskip("onnxscript", reason="needs onnxscript")
    code, _, err = asrlib("export", tiny_model, *words)
    assert code == 2 and err.startswith("asrlib: error: ") and err.count("\n") == 1 and naming in err
    assert not list(tiny_model.glob("model*.onnx*"))


@thorough
@pytest.mark.parametrize("format", INSTALLED)
def test_the_command_prints_a_table(asrlib, tiny_model, tiny_corpus, tmp_path, monkeypatch, format):
    monkeypatch.setattr(convert, "export", lambda *a, export=convert.export: unchecked(export, *a))
    out = tmp_path / f"m.{format}"
    words = ["--format", format, "--output", out, "--int8", "--seconds", 3, "--corpus", tiny_corpus]
    code, printed, err = asrlib("export", tiny_model, *words)
    assert code == 0 and not err
    for name in ("eager", f"{format} float32", f"{format} int8"):
        (line,) = (line for line in printed.splitlines() if line.startswith(name + " "))
        assert "12/12" in line and "WER 0.00 %" in line
    assert f"{out}: int8, {out.stat().st_size:,} bytes" in printed


@pytest.mark.parametrize("format", ["onnx", "web"])
def test_a_model_that_ships_is_not_written_into(asrlib, format):
    pytest.importorskip("onnxscript", reason="needs onnxscript")
    code, _, err = asrlib("export", "digits-streaming-model", "--format", format)
    assert code == 2 and err.count("\n") == 1 and "say with --output where to write" in err
