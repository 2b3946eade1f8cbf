"""Checkers of assignment 09, train ContextNet: masks and batches."""

from __future__ import annotations

import itertools
import math
import operator

import torch

from asrlib.teaching.check import Examiner, task
from asrlib.teaching.exercise_data.draws import integer, number

LESSON = "lesson 09, "


def _time_mask(frames, length, fraction, draws):
    hidden = set()
    for a, b in draws.tolist():
        width = min(int(a * (int(fraction * length) + 1)), length)
        start = int(b * (length - width + 1))
        hidden |= set(range(start, start + width))
    return torch.tensor([t in hidden for t in range(frames)])


def draw_mask(g):
    length = integer(g, 1, 20)
    draws = torch.rand(integer(g, 0, 3), 2, generator=g, dtype=torch.float64)
    return length + integer(g, 0, 5), length, (0.125, 0.25, 0.5, 1.0)[integer(g, 0, 3)], draws


def _hidden(frames, *places):
    return torch.tensor([t in places for t in range(frames)])


@task("09.time_mask", LESSON + "'Augmentation: more voices than we have'", _time_mask, draw_mask, 60)
def time_mask(ask: Examiner):
    def draws(*rows):
        return torch.tensor(rows, dtype=torch.float64).reshape(-1, 2)

    ask(16, 8, 0.5, draws([0.5, 0.25])).equals(
        _hidden(16, 1, 2),
        suspects={
            "True is what is hidden, not what is left": ~_hidden(16, 1, 2),
            "`fraction` is of the utterance's own length, not of the padded one": _hidden(16, 1, 2, 3, 4),
            "`fraction` and place are of the utterance's own length, not of the padded one": _hidden(
                16, 3, 4, 5, 6
            ),
            "the place is drawn over the padding, too": _hidden(16, 3, 4),
            "the first number of a row is the width's, the second the place's": _hidden(16, 4),
            "one frame too many is hidden": _hidden(16, 1, 2, 3),
            "one frame too few is hidden": _hidden(16, 1),
        },
    )
    ask(8, 8, 0.5, draws([0.99, 0.99])).equals(
        _hidden(8, 4, 5, 6, 7),
        suspects={
            "the widest mask, here 4 frames, must be possible: there are W + 1 widths from 0 to W": _hidden(
                8, 5, 6, 7
            ),
            "a mask may end with the last frame: there are length - width + 1 places": _hidden(8, 3, 4, 5, 6),
            "the widest mask must be possible, and it may end with the last frame": _hidden(8, 4, 5, 6),
        },
    )
    ask(6, 6, 0.5, draws([0.1, 0.9])).equals(_hidden(6), "a width of 0 hides nothing")
    ask(9, 8, 0.5, draws([0.5, 0.0], [0.5, 0.9])).equals(
        _hidden(9, 0, 1, 6, 7), "every row of draws is a mask; all of them together hide"
    )
    ask(5, 4, 0.125, draws([0.9, 0.5])).equals(_hidden(5), "an eighth of 4 frames is no frame")
    ask(5, 5, 0.5, torch.zeros(0, 2).double()).equals(_hidden(5), "no draws, no masks")


@task("09.plan", LESSON + "'Batches: put like with like'")
def plan(ask: Examiner):
    ask([2.0], 10.0, 0).equals([[0]], "one utterance, one batch; no empty ones")
    small = [1.0, 5.0, 1.0, 5.0]
    _sound(ask, ask(small, 10.0, 3), small, 10.0)
    g = ask.generator
    lengths = [round(0.5 + 5 * number(g, 0, 1) ** 2 + number(g, 0, 0.5), 3) for _ in range(4000)]
    budget = 60.0
    one, again, other = (ask(lengths, budget, seed) for seed in (1, 1, 2))
    batches, same_seed, other_seed = (_sound(ask, got, lengths, budget) for got in (one, again, other))
    padded = [len(b) * max(lengths[n] for n in b) for b in batches]
    waste = 1 - sum(lengths) / sum(padded)
    if waste > 0.06:
        raise ask.because(
            f"{100 * waste:.1f} % of the frames of 4,000 utterances are padding; 6 % is asked for: which"
            " utterances should meet in a batch?"
        )
    least = math.ceil(sum(lengths) / budget)
    if len(batches) > 1.12 * least:
        raise ask.because(
            f"{len(batches)} batches for 4,000 utterances, where {least} could hold them; at most"
            f" {int(1.12 * least)} are asked for: fill them"
        )
    mean = torch.tensor([sum(lengths[n] for n in b) / len(b) for b in batches])
    order = torch.corrcoef(torch.stack([mean, torch.arange(len(batches)).float()]))[0, 1].abs()
    if order > 0.4:
        raise ask.because(
            "the batches come in the order of their lengths: a training hears all short ones first, then"
            " all long ones: shuffle the batches"
        )
    if same_seed != batches:
        raise ask.because("the same seed must give the same plan: a resumed run needs it")
    mates = [{p for b in x for p in itertools.combinations(sorted(b), 2)} for x in (batches, other_seed)]
    same = len(mates[0] & mates[1]) / len(mates[0])
    if same > 0.5:
        raise ask.because(
            f"with another seed {100 * same:.0f} % of the pairs meet in a batch again; at most half may: each"
            " epoch must shuffle *which* utterances share a batch, not only the order of the batches"
        )
    if one.longer_than(1):
        raise ask.because(f"right, but 4,000 utterances took {one.seconds:.1f} s; one second is asked for")


def _sound(ask, got, lengths, budget):
    try:
        batches = [[operator.index(n) for n in batch] for batch in got.value]
    except TypeError:
        batches = None
    got.satisfies(
        batches is not None, "a list of batches, each a list of utterances' numbers, which are integers"
    )
    if not all(batches):
        raise ask.because("a batch is empty")
    counted = sorted(n for b in batches for n in b)
    if counted != list(range(len(lengths))):
        missing = len(set(range(len(lengths))) - set(counted))
        raise ask.because(
            f"every utterance must be in one batch, once: {missing} of {len(lengths)} are missing,"
            f" {len(counted) - len(set(counted))} are there twice"
        )
    for batch in batches:
        size = len(batch) * max(lengths[n] for n in batch)
        if size > budget * (1 + 1e-9):
            raise ask.because(
                f"a batch of {len(batch)} utterances takes {size:.1f} s, padded to its longest; the budget is"
                f" {budget:g} s (the padding counts)"
            )
    return batches
