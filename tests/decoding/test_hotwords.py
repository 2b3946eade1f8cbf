"""Hotwords against their definition: a bonus for every label inside an occurrence of a phrase."""

import itertools

import pytest
import torch
from searches import D, V, random_transducer

from asrlib.decoding.beam import BeamOptions, beam_ctc, beam_rnnt
from asrlib.decoding.hotwords import Hotwords
from asrlib.errors import InputError

LISTS = [
    [[1]],
    [[1, 2]],
    [[1, 1, 2], [1, 2]],
    [[2], [1, 2, 3], [3, 1]],
    [[1, 2, 1, 2, 3], [2, 1]],
    [[1, 2], [2, 3], [3, 4, 1], [4]],
]


def covered(text, phrases):
    """Return the places of the text that lie inside a phrase, from the definition."""
    inside = set()
    for phrase in phrases:
        for start in range(len(text) - len(phrase) + 1):
            if list(text[start : start + len(phrase)]) == list(phrase):
                inside.update(range(start, start + len(phrase)))
    return inside


def longest_beginning(text, phrases):
    """The length of the longest end of the text with which a phrase begins."""
    fits = [n for p in phrases for n in range(len(p) + 1) if n == 0 or list(text[-n:]) == list(p[:n])]
    return max(fits)


def written(hotwords, text):
    """The state after a text, and the sum of what its labels gained."""
    state, total = hotwords.start(), 0.0
    for label in text:
        total += float(hotwords.gains(state, V)[label])
        state = hotwords.advance(state, label)
    return state, total


@pytest.mark.parametrize("phrases", LISTS)
def test_a_text_has_a_bonus_for_each_label_inside_a_phrase(phrases):
    hotwords = Hotwords(phrases, 0.5)
    for text in itertools.product(range(1, V), repeat=5):
        state, total = written(hotwords, text)
        assert total + hotwords.end(state) == pytest.approx(0.5 * len(covered(text, phrases))), text


@pytest.mark.parametrize("phrases", LISTS)
def test_what_has_begun_is_paid_in_advance(phrases):
    """Else a search would have dropped the phrase before it is complete."""
    hotwords = Hotwords(phrases, 1.0)
    for text in itertools.product(range(1, V), repeat=4):
        _, total = written(hotwords, text)
        n = longest_beginning(text, phrases)
        begun = set(range(len(text) - n, len(text)))
        assert total == pytest.approx(len(covered(text, phrases) | begun)), text


@torch.no_grad()
def test_the_beam_finds_the_best_sum_of_score_and_bonus():
    """An exhaustive beam without hotwords knows all scores; the bonus by definition must rank them alike."""
    phrases = [[2, 1], [1, 1, 2]]
    hotwords = Hotwords(phrases, 2.0)
    for seed in range(3):
        model, frames = random_transducer(seed, vocabulary=3), 2 * torch.randn(1, 2, D)
        T = torch.tensor([2])
        (plain,) = beam_rnnt(model, frames, T, BeamOptions(200, False), 2)
        (biased,) = beam_rnnt(model, frames, T, BeamOptions(200, False, hotwords=hotwords), 2)
        best = max(plain, key=lambda path: path.score + 2.0 * len(covered(path.labels, phrases)))
        assert biased[0].labels == best.labels
        assert biased[0].score == pytest.approx(best.score, abs=1e-4)  # the bonus is no part of ln P
        log_probs = 2 * torch.randn(1, 4, 3).log_softmax(-1)
        log_probs, T = log_probs.log_softmax(-1), torch.tensor([4])
        (plain,) = beam_ctc(log_probs, T, BeamOptions(100, False))
        (biased,) = beam_ctc(log_probs, T, BeamOptions(100, False, hotwords=hotwords))
        best = max(plain, key=lambda path: path.score + 2.0 * len(covered(path.labels, phrases)))
        assert biased[0].labels == best.labels


@torch.no_grad()
def test_a_narrow_beam_finds_a_phrase_that_it_would_have_dropped():
    """Blank is sure but for two frames in which a phrase of two labels is second."""
    log_probs = torch.full((1, 5, V), -9.0)
    log_probs[0, :, 0] = 0.0
    log_probs[0, 1, 1], log_probs[0, 3, 2] = -1.0, -1.0
    log_probs, T = log_probs.log_softmax(-1), torch.tensor([5])
    labels = {}
    for bonus in (0.0, 1.5):
        options = BeamOptions(2, False, hotwords=Hotwords([[1, 2]], bonus))
        labels[bonus] = beam_ctc(log_probs, T, options)[0][0].labels
    assert labels == {0.0: [], 1.5: [1, 2]}


@pytest.mark.parametrize("phrases", [[], [[1], []]])
def test_phrases_must_have_labels(phrases):
    with pytest.raises(InputError, match="hotwords need at least one phrase"):
        Hotwords(phrases, 1.0)


def test_a_negative_bonus_is_refused():
    with pytest.raises(InputError, match=r"bonus of hotwords is -1.0; use 0 or more"):
        Hotwords([[1]], -1.0)


@pytest.mark.parametrize("bonus", [float("nan"), float("inf")])
def test_a_bonus_that_is_not_finite_is_refused(bonus):
    with pytest.raises(InputError, match=f"bonus of hotwords is {bonus}; use 0 or more"):
        Hotwords([[1]], bonus)
