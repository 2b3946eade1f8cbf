"""asrlib.data.dictionary: words that are drawn only if the synthesizer says what the dictionary writes."""

import random

import pytest

from asrlib.data.dictionary import agree, dictionary_text
from asrlib.data.espeak import synthesize
from asrlib.text.lexicon import ARPABET, cmu_lexicon, cmu_words


def spoken(word):
    return [phone for phone, _, _ in synthesize(word).phones]


@pytest.mark.parametrize("word", ["clinging", "weekly", "thumbing", "vouching", "voids", "gayton", "picture"])
def test_words_whose_sound_is_as_written(word):
    assert agree(spoken(word), cmu_lexicon([word]).pronunciations(word)[0])


@pytest.mark.parametrize("word", ["corbello", "apc", "leland", "thoene", "mows", "schiavi"])
def test_words_that_are_read_wrongly(word):
    assert not agree(spoken(word), cmu_lexicon([word]).pronunciations(word)[0])


def test_phones_are_compared_one_by_one():
    assert agree(["k", "æ", "t"], ["K", "AE", "T"]) and agree(["ə", "l", "aɪ"], ["IH", "L", "AY"])
    assert agree(["k", "ɑːɹ"], ["K", "AA", "R"])  # one phone there, two here
    for other in (["K", "AE", "D"], ["K", "AE"], ["K", "AE", "T", "S"], ["AE", "K", "T"]):
        assert not agree(["k", "æ", "t"], other)
    assert not agree(["k", "x"], ["K", "K"])  # no phone of English


def test_texts_are_pronounceable_and_many():
    texts = [dictionary_text(random.Random(seed)) for seed in range(60)]
    assert texts[:9] == [dictionary_text(random.Random(seed)) for seed in range(9)]
    words = [word for text in texts for word in text.split()]
    assert {len(text.split()) for text in texts} == {1, 2} and len({*words}) > 50
    assert {*words} <= {*cmu_words()} and {len(word) for word in words} <= {*range(2, 9)}
    for word in words:
        assert agree(spoken(word), cmu_lexicon([word]).pronunciations(word)[0])
    phones = {phone for word in words for phone in cmu_lexicon([word]).transcribe(word)}
    assert len(phones) > 0.8 * len(ARPABET)
