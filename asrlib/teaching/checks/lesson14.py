"""Checkers of assignment 14, phonemes: label maps, error rates, axes, pronunciations, words of a list."""

from __future__ import annotations

import math
from functools import cache

import torch
import torch.nn.functional as F

from asrlib.teaching.check import Examiner, task
from asrlib.teaching.exercise_data.draws import integer, log_probs, normal
from asrlib.text.articulation import ARTICULATION

LESSON = "lesson 14, "
WORDS = "yes no up down left right on off stop go".split()


def draw_relabel(g):
    order = torch.randperm(10, generator=g).tolist()
    listed = [WORDS[i] for i in order[: integer(g, 2, 10)]]
    words = [WORDS[i] for i in torch.randperm(10, generator=g).tolist()[: integer(g, 1, 10)]]
    return [integer(g, 0, len(listed) - 1) for _ in range(integer(g, 0, 8))], listed, words


def _relabel(numbers, listed, words):
    places = {word: place for place, word in enumerate(words)}
    return [places.get(listed[number], -1) for number in numbers]


@task("14.relabel", LESSON + "'The label map in directory order'", _relabel, draw_relabel)
def relabel(ask: Examiner):
    ask([0, 1, 2, 2], ["stop", "yes", "go"], ["go", "stop", "yes"]).equals(
        [1, 2, 0, 0],
        suspects={
            "the numbers are returned as they were": [0, 1, 2, 2],
            "the wrong way round: a number is a place in `listed`, and a place in `words` is wanted": [
                2,
                0,
                1,
                1,
            ],
            "words, not their numbers": ["stop", "yes", "go", "go"],
            "each word once; a number for each recording is wanted": [1, 2, 0],
        },
    )
    ask([1, 0], ["no", "yes"], ["yes", "no"]).equals([0, 1], "`words` is in the order it has, not sorted")
    ask([0, 1, 0], ["sheila", "go"], ["go"]).equals(
        [-1, 0, -1], "a word that is not in `words` gets -1, and keeps its place"
    )
    ask([], ["go"], ["go"]).equals([], "no recordings, no numbers")


def draw_rates(g):
    words = [WORDS[integer(g, 0, 3)] for _ in range(integer(g, 1, 9))]
    phones = [integer(g, 1, 7) for _ in words]
    return words, [integer(g, 0, n + 1) for n in phones], phones


def _rates(words, errors, phones):
    rates = [100 * e / n for e, n in zip(errors, phones, strict=True)]
    by_word = []
    for word in set(words):
        e, n = zip(*[(e, n) for w, e, n in zip(words, errors, phones, strict=True) if w == word], strict=True)
        by_word.append(100 * sum(e) / sum(n))
    return 100 * sum(errors) / sum(phones), sum(rates) / len(rates), sum(by_word) / len(by_word)


@task("14.rates", LESSON + "'The average of the error rates'", _rates, draw_rates)
def rates(ask: Examiner):
    words, errors, phones = ["go", "go", "stop"], [1, 0, 4], [2, 2, 4]
    right = _rates(words, errors, phones)
    pooled, mean, macro = right
    ask(words, errors, phones).equals(
        right,
        suspects={
            "shares; percent are wanted": [value / 100 for value in right],
            "the mean of the utterances' rates stands where the pooled rate is wanted": [mean, mean, macro],
            "the second is the mean over utterances, the third the mean over words": [pooled, macro, mean],
            "the third weighs each utterance alike; each word is wanted to": [pooled, mean, mean],
            "errors per utterance, not per phone": [100 * 5 / 3, mean, macro],
        },
    )
    words, errors, phones = ["zero", "zero", "no"], [3, 0, 1], [3, 5, 2]
    pooled, mean, macro = _rates(words, errors, phones)
    ask(words, errors, phones).equals(
        (pooled, mean, macro),
        suspects={
            "a word's rate is pooled over its utterances, not the mean of their rates": [pooled, mean, 50.0],
        },
    )
    ask(["go"], [5], [2]).equals((250.0,) * 3, "insertions count: a rate may be above 100 percent")
    ask(["up"], [0], [2]).equals((0.0,) * 3)


def draw_frames_first(g):
    return (normal(g, *(integer(g, 1, 4) for _ in range(4))),)


def _frames_first(x):
    N, C, bins, T = x.shape
    rows = [torch.stack([x[n, :, :, t].reshape(C * bins) for n in range(N)]) for t in range(T)]
    return torch.stack(rows)


@task("14.frames_first", LESSON + "'`view` for `permute`'", _frames_first, draw_frames_first)
def frames_first(ask: Examiner):
    x = torch.arange(48.0).reshape(2, 3, 2, 4)
    ask(x).equals(
        _frames_first(x),
        suspects={
            "the numbers were not moved: view and reshape read them as they lie; permute moves": x.reshape(
                4, 2, 6
            ),
            "in the wrong order: within a frame, channels come before bins": x.permute(3, 0, 2, 1).flatten(2),
            "utterances first; the LSTM and CTC want frames first": x.permute(0, 3, 1, 2).flatten(2),
            "frames and utterances are exchanged only as a shape": x.flatten(1, 2).reshape(4, 2, 6),
            "channels and bins are still two axes": x.permute(3, 0, 1, 2),
            "flattened before the frames were moved in front": x.flatten(1).reshape(4, 2, 6),
        },
    )
    y = torch.arange(24.0).reshape(1, 2, 3, 4)
    ask(y).equals(_frames_first(y), "with a single utterance, too, the numbers must move: T is the last axis")
    z = torch.arange(36.0).reshape(3, 1, 4, 3)
    ask(z).equals(_frames_first(z), "three utterances of three frames: the shape alone proves nothing")


def _score(y, phones):
    """ln P(phones | sound), -inf where there is no path."""
    loss = F.ctc_loss(y[:, None], torch.tensor([phones]), [len(y)], [len(phones)], reduction="sum")
    return -float(loss)


def draw_posteriors(g):
    y = log_probs(g, integer(g, 3, 7), 5)
    words = [
        [[integer(g, 1, 4) for _ in range(integer(g, 1, 3))] for _ in range(integer(g, 1, 2))]
        for _ in range(integer(g, 1, 4))
    ]
    words[0] = [[1], [2, 3]]  # there is always one that fits
    return y, words


def _posteriors(y, words):
    joint = torch.tensor([sum(math.exp(_score(y, way)) for way in ways) for ways in words]).double()
    return joint / joint.sum()


@task("14.posteriors", LESSON + "'Back to words'", _posteriors, draw_posteriors)
def posteriors(ask: Examiner):
    y = log_probs(torch.Generator().manual_seed(14), 6, 4)
    words = [[[1, 2]], [[3], [1, 3]], [[2, 2, 1]]]
    joint = torch.tensor([sum(math.exp(_score(y, way)) for way in ways) for ways in words]).double()
    first = torch.tensor([math.exp(_score(y, ways[0])) for ways in words]).double()
    best = torch.tensor([max(math.exp(_score(y, way)) for way in ways) for ways in words]).double()
    mean = torch.tensor(
        [sum(math.exp(_score(y, way)) for way in ways) / len(ways) for ways in words]
    ).double()
    logs = torch.tensor([sum(_score(y, way) for way in ways) for ways in words]).double()
    ask(y, words).equals(
        joint / joint.sum(),
        suspects={
            "P(word | sound) before it is divided by the sum over the list": joint,
            "logarithms; probabilities are wanted": (joint / joint.sum()).log(),
            "only the first pronunciation of each word counts": first / first.sum(),
            "only the best pronunciation of each word counts; all are summed": best / best.sum(),
            "the mean over a word's pronunciations; the sum is wanted": mean / mean.sum(),
            "probabilities are multiplied, as logarithms add; pronunciations are alternatives": logs.softmax(
                0
            ),
            "the sign is turned: ctc_loss is minus the logarithm": (-joint.log()).softmax(0),
        },
    )
    ask(y[:2], [[[1, 2, 3]], [[1]]]).equals(
        [0.0, 1.0], "two frames cannot hold three phones: P is 0 there, without nan elsewhere"
    )
    ask(y, [[[2]]]).equals([1.0], "in a list of one word that word is certain")
    long = torch.cat([y] * 60) - 4.0  # as of a network that is unsure: its probabilities are tiny
    ask(long, [[[1, 2]], [[1, 3]]]).equals(
        torch.tensor([_score(long, [1, 2]), _score(long, [1, 3])]).double().softmax(0),
        "the probabilities of a long sound are too small for a float: stay with logarithms until the end",
    )


FEATURES = {phone: tuple(made) for phone, made in ARTICULATION.items()}
SOME = "P B T D S Z M N IY IH".split()


def draw_distance(g):
    one, other = ([SOME[integer(g, 0, 9)] for _ in range(integer(g, 0, 5))] for _ in range(2))
    return one, other, FEATURES


def _distance(one, other, features, substitution=None):
    def cost(a, b):
        if substitution is not None:
            return substitution(a, b)
        different = [x != y for x, y in zip(features[a], features[b], strict=True)]
        return sum(different) / len(different)

    @cache
    def least(i, j):
        if not i or not j:
            return float(i + j)
        both = least(i - 1, j - 1) + cost(one[i - 1], other[j - 1])
        return min(both, least(i - 1, j) + 1, least(i, j - 1) + 1)

    return least(len(one), len(other))


@task("14.distance", LESSON + "'Which phones are confused?'", _distance, draw_distance)
def distance(ask: Examiner):
    one, other = ["B", "IY", "S"], ["P", "IY", "M", "S"]
    ask(one, other, FEATURES).equals(
        4 / 3,
        suspects={
            "every substitution costs 1; alike phones cost less": 2.0,
            "the number of features that differ; their share is wanted": 2.0,
            "an insertion is not considered": _distance(one, other, FEATURES) + 1,
            "features that agree are counted; those that differ cost": _distance(
                one,
                other,
                FEATURES,
                lambda a, b: sum(x == y for x, y in zip(FEATURES[a], FEATURES[b], strict=True)) / 3,
            ),
        },
    )
    ask(["P"], ["N"], FEATURES).equals(1.0, "all three features differ")
    ask(["P"], ["T"], FEATURES).equals(1 / 3, "one of three features differs")
    ask(["M"], ["D"], FEATURES).equals(2 / 3, "two of three features differ")
    ask([], ["T", "UW"], FEATURES).equals(2.0, "insertions cost 1 each")
    ask(["T", "UW"], [], FEATURES).equals(2.0, "deletions cost 1 each")
    ask([], [], FEATURES).equals(0.0, "nothing to do")
    ask(["S", "T", "P"], ["T"], FEATURES).equals(2.0, "phones before and after may be deleted")
    ask(["T"], ["S", "T", "P"], FEATURES).equals(2.0, "phones before and after may be inserted")
    ask(["a"], ["b"], {"a": (0, 1, 2, 3), "b": (0, 1, 2, 4)}).equals(
        0.25, "`features` may have any number of features: the share of them"
    )


def draw_best_word(g):
    y = log_probs(g, integer(g, 4, 9), 6)
    words = [[integer(g, 1, 5) for _ in range(integer(g, 1, 4))] for _ in range(integer(g, 1, 7))]
    words[integer(g, 0, len(words) - 1)] = [integer(g, 1, 5)]
    return y, [list(word) for word in dict.fromkeys(map(tuple, words))]


def _best_word(y, words):
    scores = [_score(y, word) for word in words]
    best = max(range(len(words)), key=scores.__getitem__)
    return best, scores[best]


@task("14.best_word", LESSON + "'Back to words'", _best_word, draw_best_word)
def best_word(ask: Examiner):
    g = torch.Generator().manual_seed(14)
    y = log_probs(g, 12, 6)
    words = [[5, 5], [1, 2, 3], [3], [2, 4, 1, 1]]
    number, score = _best_word(y, words)
    worst = min(range(4), key=lambda n: _score(y, words[n]))
    ask(y, words).equals(
        (number, score),
        suspects={
            "the loss, which is minus the logarithm": [number, -score],
            "the loss is divided by the number of phones; ln P is not": [number, score / len(words[number])],
            "the least probable word": [worst, _score(y, words[worst])],
            "the loss of the least probable word": [worst, -_score(y, words[worst])],
            "a probability; its logarithm is wanted": [number, math.exp(score)],
            "the word; its number in the list is wanted": [words[number], score],
        },
    )
    # per phone the long word is the better one, though it is less probable
    peaked = torch.full((6, 4), 0.1, dtype=torch.float64)
    peaked[:, 0] = 0.7
    pair = [[1], [1, 2, 3, 1]]
    ask(peaked.log(), pair).equals(
        _best_word(peaked.log(), pair), "the more probable word, not the one of the better mean per phone"
    )
    ask(y[:2], [[1, 2, 3], [4, 4], [2]]).equals(
        (2, _score(y[:2], [2])), "words too long for the sound have no path, and must not win"
    )
    many = [[integer(g, 1, 39) for _ in range(integer(g, 2, 8))] for _ in range(400)]
    z = log_probs(g, 30, 40)
    got = ask.count(z, many)
    got.equals(_best_word(z, many), "400 words in 30 frames")
    advice = "the words are a batch: give asrlib.ctc_loss all of them in one call"
    got.does_at_most("400 words in 30 frames", advice, 15_000, 15_000)
