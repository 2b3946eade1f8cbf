"""asrlib.data.batches: label numbers and padded batches."""

import pytest
import tiny
import torch
from cuts import utterance
from lhotse import CutSet

from asrlib.data.audio_cache import AudioCache
from asrlib.data.batches import collate, encode_corpus
from asrlib.data.corpora import load_corpus
from asrlib.errors import InputError
from asrlib.text.tokenizers import Tokenizer

TOKENIZER = Tokenizer("words", list(tiny.TONES))


@pytest.mark.parametrize(
    "second, message",
    [
        (utterance("b", 1.0, "low loud"), "utterance b: .* the word 'loud' of 'low loud'"),
        (utterance("b", 1.0, "?!"), "utterance b: its transcript '\\?!' has no labels"),
        (utterance("a", 1.0, "high"), "two utterances have the id a"),
    ],
)
def test_what_cannot_be_encoded_is_named(second, message):
    with pytest.raises(InputError, match=message):
        encode_corpus(CutSet.from_cuts([utterance("a", 1.0), second]), TOKENIZER)


def test_labels_are_those_of_the_tokenizer():
    cuts = CutSet.from_cuts([utterance("a", 1.0, "Low, high!"), utterance("b", 1.0, "mid")])
    assert encode_corpus(cuts, TOKENIZER) == {"a": [1, 3], "b": [2]}


@pytest.fixture
def three(tiny_corpus):
    return list(load_corpus(tiny_corpus, "train"))[:3]


def test_collate_pads_and_keeps_lengths(three):
    labels, audio = encode_corpus(CutSet.from_cuts(three), TOKENIZER), AudioCache(tiny.RATE)
    batch = collate(three, audio, labels)
    assert batch.ids == [cut.id for cut in three]
    assert batch.lengths.tolist() == [cut.num_samples for cut in three]
    for row, length, target, count, cut in zip(
        batch.waveforms, batch.lengths, batch.targets, batch.target_lengths, three, strict=True
    ):
        assert torch.equal(row[:length], audio.load(cut)) and not row[length:].any()
        assert target[:count].tolist() == labels[cut.id]
    faster = collate(three, audio, labels, speed=[2.0, 1.0, 1.0])
    assert faster.lengths[0].item() == pytest.approx(batch.lengths[0].item() / 2, rel=0.02)
    assert faster.lengths[1:].tolist() == pytest.approx(batch.lengths[1:].tolist(), rel=0.01)
    with pytest.raises(ValueError):
        collate(three, audio, labels, speed=[1.0])
