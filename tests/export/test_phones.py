"""A recognizer of words by their phones, exported: the file writes the phones of the eager model."""

import warnings

import pytest
from exports import export

from asrlib.data.corpora import clips
from asrlib.export.comparison import compare
from asrlib.recognizer import Recognizer

pytest.importorskip("onnxscript")


def test_the_commands_model_as_onnx(tmp_path):
    recognizer = Recognizer.load("commands-model")
    words = recognizer.config.decoding.words
    with pytest.warns(UserWarning, match="writes phones, not words"):
        files = export(recognizer, tmp_path / "m.onnx", "onnx")
    cuts = clips().subset(first=3)  # whose words it has not: nothing is scored
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        eager, file = compare(recognizer, 1, files, "onnx", cuts, score=False)
    assert eager.same == file.same == 3 and file.wer is None
    assert recognizer.config.decoding.words == words
