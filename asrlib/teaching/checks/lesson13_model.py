"""Checkers of assignment 13, your own voice: wrong texts, confidence, and the choice of a model."""

from __future__ import annotations

import math

import numpy as np
import torch

from asrlib.losses import textbook
from asrlib.teaching.check import Examiner, task
from asrlib.teaching.exercise_data.draws import integer, labels, log_probs

LESSON = "lesson 13, "


def _forced(log_probs, target, blank):
    states = [blank, *(s for label in target.tolist() for s in (label, blank))]
    best = {0: float(log_probs[0, blank]), 1: float(log_probs[0, states[1]])}
    for y in log_probs[1:].tolist():
        new = {}
        for s, label in enumerate(states):
            ways = [best[p] for p in (s, s - 1) if p in best]
            if s - 2 in best and label != blank and label != states[s - 2]:
                ways.append(best[s - 2])
            if ways:
                new[s] = max(ways) + y[label]
        best = new
    return max(best.get(len(states) - 1, -math.inf), best.get(len(states) - 2, -math.inf))


def _gap(log_probs, target, blank=0):
    return (sum(max(y) for y in log_probs.tolist()) - _forced(log_probs, target, blank)) / len(target)


def draw_gap(g):
    V, U = integer(g, 2, 4), integer(g, 1, 3)
    blank = integer(g, 0, V - 1)
    return log_probs(g, integer(g, 2 * U, 8), V), labels(g, U, V, blank), blank


@task("13.gap", LESSON + "'Find the wrong text'", _gap, draw_gap, 40)
def gap(ask: Examiner):
    g = torch.Generator().manual_seed(1)
    y, target = log_probs(g, 7, 4), torch.tensor([2, 3, 3])
    right, free = _gap(y, target), float(y.amax(1).sum())

    all_paths = float(textbook.ctc_alphas(y, target)[-1, -2:].logsumexp(0))
    ask(y, target).equals(
        right,
        suspects={
            "the whole gap; nats *a label* are wanted": 3 * right,
            "divided by the frames, not by the labels": 3 * right / 7,
            "the sign is turned: the recogniser's own best path comes first": -right,
            "the target's best path alone: compare it with the best of all paths": right - free / 3,
            "all paths of the target, as in the loss; the best one is wanted": (free - all_paths) / 3,
            "the greedy path's probability alone": free / 3,
        },
    )
    sure = torch.full((4, 3), 0.05, dtype=torch.float64)
    sure[torch.arange(4), [1, 0, 2, 2]] = 0.9
    ask(sure.log(), torch.tensor([1, 2])).equals(
        0.0, "the target is what the best path reads: the two are the same path, and the gap is 0"
    )
    ask(y, target - 1, blank=3).equals(
        _gap(y, target - 1, 3), "the blank is the argument `blank`, not always 0"
    )


def _separation(right, wrong):
    ranks = [*right, *wrong]
    below = sum(float(np.mean([np.sign(r - w) for w in wrong])) for r in ranks[: len(right)]) / len(right)
    return (1 + below) / 2


def draw_confidences(g):
    # one decimal, so that ties occur
    return tuple([integer(g, 0, 10) / 10 for _ in range(integer(g, 1, 8))] for _ in range(2))


@task("13.separation", LESSON + "'Confidence: does it know when it is wrong?'", _separation, draw_confidences)
def separation(ask: Examiner):
    ask([0.9, 0.8], [0.8, 0.3]).equals(
        0.875,
        suspects={
            "a tie counts nothing; it counts half": 0.75,
            "a tie counts whole; it counts half": 1.0,
            "the number of pairs; their share is wanted": 3.5,
            "the wrong way round: right words should be the surer ones": 0.125,
            "the difference of the means": 0.3,
            "words are compared place by place; every right word meets every wrong one": 1.0,
        },
    )
    ask([0.9, 0.6, 0.5], [0.7]).equals(
        1 / 3,
        suspects={
            "divided by the wrong number of pairs: right words times wrong words": 1 / 9,
            "the wrong way round: right words should be the surer ones": 2 / 3,
            "only the best right word counts": 1.0,
        },
    )
    ask([0.5, 0.5], [0.5]).equals(0.5, "all the same: confidence says nothing, and a tie counts half")


def _rates(errors, words, speakers, draws):
    names = sorted(set(speakers))
    rates = []
    for row in draws.tolist():
        chosen = [i for k in row for i, name in enumerate(speakers) if name == names[k]]
        rates.append(100 * sum(int(errors[i]) for i in chosen) / sum(int(words[i]) for i in chosen))
    return np.array(rates)


def _interval(errors, words, speakers, draws, low=2.5, high=97.5):
    return np.percentile(_rates(errors, words, speakers, draws), [low, high]).tolist()


def draw_interval(g):
    people = ["anna", "ben", "carla", "dan"][: integer(g, 1, 4)]
    speakers = people + [people[integer(g, 0, len(people) - 1)] for _ in range(integer(g, 0, 6))]
    speakers = [speakers[i] for i in torch.randperm(len(speakers), generator=g).tolist()]
    N, S = len(speakers), len(people)
    errors, words = torch.randint(0, 6, (N,), generator=g), torch.randint(1, 12, (N,), generator=g)
    return errors, words, speakers, torch.randint(0, S, (integer(g, 1, 9), S), generator=g)


@task("13.interval", LESSON + "'How sure is that?'", _interval, draw_interval, 30)
def interval(ask: Examiner):
    errors, words = torch.tensor([1, 0, 3, 2, 0]), torch.tensor([10, 8, 10, 4, 7])
    speakers = ["ben", "anna", "ben", "carla", "anna"]
    draws = torch.tensor([[0, 1, 2], [1, 1, 2], [0, 0, 1], [2, 2, 0], [2, 2, 2], [0, 1, 1]])
    rates = _rates(errors, words, speakers, draws)
    expected = _interval(errors, words, speakers, draws)
    # ben is the first to appear, anna the second
    swapped = ["anna" if s == "ben" else "ben" if s == "anna" else s for s in speakers]
    of_one = _rates(errors, words, speakers, torch.arange(3)[:, None])
    each = of_one[draws.numpy()].mean(1)
    of_recordings = (100 * errors[draws].sum(1) / words[draws].sum(1)).numpy()
    sets = [torch.tensor([sorted(set(row))]) for row in draws.tolist()]
    once = np.array([_rates(errors, words, speakers, row)[0] for row in sets])
    whole = np.array([100 * _errors(errors, speakers, r) / int(words.sum()) for r in draws.tolist()])

    def middle(values, low=2.5, high=97.5):
        return np.percentile(values, [low, high]).tolist()

    ask(errors, words, speakers, draws).items(2, "two numbers must be returned: low, high")
    ask(errors, words, speakers, draws).equals(
        expected,
        suspects={
            "a ratio; per cent are wanted": [x / 100 for x in expected],
            "recordings are drawn; all recordings of the drawn *speakers* are wanted": middle(of_recordings),
            "the mean of the speakers' rates; errors and words are summed first": middle(each),
            "speakers are numbered as they appear; alphabetical order is wanted": _interval(
                errors, words, swapped, draws
            ),
            "a speaker drawn twice counts twice": middle(once),
            "divided by the words of the whole set, not by those drawn": middle(whole),
            "the smallest and the largest; 2.5 % are left out on each side": middle(rates, 0, 100),
            "5 % are left out on each side; 2.5 % make 95 in the middle": middle(rates, 5, 95),
            "high before low": expected[::-1],
            "the nearest of the values; interpolate between two of them": np.percentile(
                rates, [2.5, 97.5], method="nearest"
            ).tolist(),
            "one sum over all rows; each row is a test set of its own": [100 * float(np.mean(rates))] * 2,
        },
    )
    one = torch.tensor([[1, 1]])
    ask(torch.tensor([1, 0, 3]), torch.tensor([10, 10, 10]), ["ben", "anna", "ben"], one).equals(
        [20.0, 20.0], "ben drawn twice: 8 errors in 40 words, and one row alone is its own interval"
    )


def _errors(errors, speakers, row):
    names = sorted(set(speakers))
    return sum(int(errors[i]) for k in row for i, name in enumerate(speakers) if name == names[k])


def _choose(models, allowed):
    best = 0
    for n, (own, others) in enumerate(models):
        if others <= models[0][1] + allowed and (own, others) < tuple(models[best]):
            best = n
    return best


def draw_models(g):
    # few values, so that equal ones occur
    models = [(float(integer(g, 0, 4)), float(integer(g, 0, 4))) for _ in range(integer(g, 1, 6))]
    return models, float(integer(g, 0, 2))


@task("13.choose", LESSON + "'Fine-tune'", _choose, draw_models, 80)
def choose(ask: Examiner):
    models = [(15.3, 1.4), (0.9, 11.7), (2.7, 2.9), (9.0, 3.0), (6.0, 1.2), (4.0, 1.9)]
    ask(models, 2.0).equals(
        2,
        suspects={
            "the best on your voice has forgotten the others: more than `allowed` points": 1,
            "the one that has forgotten least; of those allowed the best on your voice is wanted": 4,
            "`allowed` is by how much the others' WER may *rise* above that of models[0]": 5,
            "the index counts from 0": 3,
            "the model before fine-tuning: one of the others is allowed and better": 0,
        },
    )
    ask([(9.0, 4.0), (2.0, 5.5), (3.0, 1.0)], 2.0).equals(
        1,
        "`allowed` is by how much the others' WER may *rise* above that of models[0], not the WER itself",
    )
    ask([(9.0, 1.0), (2.0, 3.0)], 2.0).equals(1, "*at most* `allowed` points: exactly so many are allowed")
    ask([(9.0, 1.0), (2.0, 8.0)], 2.0).equals(0, "none of the tuned ones is allowed: models[0] always is")
    ask([(1.0, 1.0), (9.0, 1.0)], 2.0).equals(0, "models[0] takes part, too: here tuning made it worse")
    ask([(9.0, 1.0), (2.0, 3.0), (2.0, 1.5)], 2.0).equals(
        2, "two are equally good on your voice: the one that is better on other voices is wanted"
    )
    ask([(9.0, 1.0), (2.0, 1.5), (2.0, 1.5)], 2.0).equals(1, "all equal: the first one is wanted")
