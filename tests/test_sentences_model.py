"""The transducer that ships: its size, and that it beats its CTC head on voices that it has not heard."""

import pytest

from asrlib.data.corpora import load_corpus
from asrlib.files import assets
from asrlib.recognizer import Recognizer
from asrlib.training.sentence_recipe import score_heads


@pytest.fixture(scope="module")
def recognizer():
    return Recognizer.load("sentences-model")


def test_it_is_small_and_has_both_heads(recognizer):
    folder = assets() / "sentences-model"
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 3_000_000
    assert (folder / "README.md").is_file() and recognizer.tokenizer.kind == "wordpieces"
    assert recognizer.model.joint is not None and recognizer.model.ctc_head is not None
    assert not recognizer.uses_ctc


def test_the_transducer_beats_its_ctc_head(recognizer):
    cuts = load_corpus("sentences", "test").subset(first=100)
    rows = {row["head"]: row for row in score_heads(recognizer, cuts)}
    # words on the edge fall either way between processors, so the bound leaves room
    assert rows["transducer"]["wer_percent"] <= 0.8 * rows["ctc"]["wer_percent"]
