"""Checkers of the last two bugs of the pack "Find the bug", in encoders for long recordings."""

from __future__ import annotations

import math

import torch

from asrlib.teaching.check import Examiner, task
from asrlib.teaching.exercise_data.draws import integer, normal

LOOK = "the symptom above it, "


def draw_final_scores(g):
    T, D, V = integer(g, 1, 4), integer(g, 2, 5), integer(g, 2, 4)
    return normal(g, T, D), 1 + 0.5 * normal(g, D), normal(g, D), normal(g, V, D)


def _scores(x, gain, bias, head, norms=1):
    for _ in range(norms):
        x = torch.nn.functional.layer_norm(x, x.shape[-1:]) * gain + bias
    return x @ head.T


@task(
    "bug.final_scores",
    LOOK + "and how often the norm is applied (lesson 15, 'Reading its own predictions')",
    _scores,
    draw_final_scores,
)
def final_scores(ask: Examiner):
    x, gain, bias, head = draw_final_scores(torch.Generator().manual_seed(11))
    ask(x, gain, bias, head).equals(
        _scores(x, gain, bias, head),
        suspects={
            "the norm is still applied twice": _scores(x, gain, bias, head, norms=2),
            "the norm is gone altogether; the head reads it once": _scores(x, gain, bias, head, norms=0),
            "the norm without its gains and biases": _scores(x, torch.ones_like(gain), 0 * bias, head),
        },
    )
    plain = torch.ones_like(gain), torch.zeros_like(bias)
    ask(x, *plain, head).equals(_scores(x, *plain, head), "with plain gains once or twice is nearly the same")


def draw_subsample(g):
    N, T, D, C = integer(g, 1, 3), integer(g, 2, 7), integer(g, 1, 3), integer(g, 1, 2)
    lengths = torch.tensor([integer(g, 1, T) for _ in range(N)])
    return normal(g, N, T, D), lengths, normal(g, C, D, 3)


def _subsample(x, lengths, weight):
    """Return each utterance's frames, from the utterance alone."""
    parts = [row[: int(length)].T[None] for row, length in zip(x, lengths, strict=True)]
    return [torch.nn.functional.conv1d(part, weight, stride=2, padding=1)[0].T for part in parts]


def _leaking(x, lengths, weight):
    y = torch.nn.functional.conv1d(x.transpose(1, 2), weight, stride=2, padding=1).transpose(1, 2)
    return [row[: (int(n) + 1) // 2] for row, n in zip(y, lengths, strict=True)]


@task(
    "bug.subsample",
    LOOK + "and what the convolution reads behind an utterance (lesson 03, 'Masked')",
    _subsample,
    draw_subsample,
)
def subsample(ask: Examiner):
    g = torch.Generator().manual_seed(12)
    x, lengths, weight = normal(g, 3, 8, 2), torch.tensor([5, 8, 3]), normal(g, 2, 2, 3)
    right, leaking = _subsample(x, lengths, weight), _leaking(x, lengths, weight)
    ask(x, lengths, weight).equals(
        right,
        suspects={
            "the padding still leaks into the last frames": leaking,
            "the last frame is cut off; it is there, without the padding": [row[:-1] for row in right],
            "outputs are masked, not the input: the last frame has read the padding by then": [
                torch.cat([row[:-1], 0 * row[-1:]]) for row in right
            ],
        },
    )
    hole = x.clone()
    hole[0, 2:4] = 0
    ask(hole, lengths, weight).equals(
        _subsample(hole, lengths, weight), "zeros inside an utterance are frames; padding is behind it"
    )
    x[0, 5:] = math.nan
    ask(x, lengths, weight).equals(right, "whatever is in the padding, NaN too: times 0 it stays NaN")
