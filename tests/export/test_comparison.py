"""Eager and exported files side by side."""

import pytest
from exports import INSTALLED, export, thorough

from asrlib.data.corpora import load_corpus
from asrlib.export.comparison import compare, table
from asrlib.recognizer import Recognizer


def test_int8_is_smaller_and_transcribes_the_same(exported, tiny_corpus):
    eager, path, files = exported
    weights = sum(p.numel() for p in eager.model.encoder.parameters() if p.dim() > 1 and p.numel() >= 256)
    if path.suffix == ".onnx":  # in TFLite what describes so few weights takes it all back
        # each of them saves 3 bytes, and scales take some back
        assert len(files["float32"]) - len(files["int8"]) > 1.5 * weights > 3000
    rows = compare(eager, 1, files, path.suffix[1:], load_corpus(tiny_corpus, "test"))
    assert [row.name for row in rows] == ["eager", *(f"{path.suffix[1:]} {name}" for name in files)]
    assert [(row.same, row.utterances) for row in rows] == [(12, 12)] * 3
    assert all(row.wer.rate == 0 and 0 < row.factor < 1 for row in rows)
    assert "12/12" in table(rows) and "WER 0.00 %" in table(rows)


@thorough
@pytest.mark.parametrize("format", INSTALLED)
def test_the_shipped_model_on_the_digits_test_split(tmp_path, format):
    """Word for word the transcripts of the eager model, in 400 utterances."""
    eager, cuts = Recognizer.load(), load_corpus("digits", "test")
    files = export(eager, tmp_path / f"m.{format}", format, int8=True, seconds=[3, 10])
    rows = compare(eager, 1_200_000, files, format, cuts)
    print(table(rows))
    assert (rows[1].same, rows[1].utterances) == (400, 400)
    assert rows[1].wer == rows[0].wer
    assert rows[2].size < 0.65 * rows[1].size
    assert rows[2].wer.rate == pytest.approx(rows[0].wer.rate, abs=0.3)
