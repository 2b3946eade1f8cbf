"""The reader of English that ships: its size, its language model, and its rate on a reader never heard."""

import pytest
from recordings import REAL

from asrlib.evaluate import evaluate
from asrlib.files import assets
from asrlib.recognizer import Recognizer
from asrlib.training.english_recipe import TEST_READERS, readers


@pytest.fixture(scope="module")
def recognizer():
    return Recognizer.load("english-model")


def test_it_is_small_and_searches_with_its_language_model(recognizer):
    folder = assets() / "english-model"
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 12_000_000
    assert (folder / "README.md").is_file() and recognizer.tokenizer.kind == "characters"
    assert recognizer.lm is not None and recognizer.config.decoding.beam_width == 16


@pytest.mark.real
def test_readers_that_it_has_not_heard(recognizer):
    cuts = readers(REAL, TEST_READERS).subset(first=25)
    # 64.8 here; the card has the rate of all 277 utterances; words on the edge differ between processors
    assert evaluate(recognizer, cuts).words.rate < 70
