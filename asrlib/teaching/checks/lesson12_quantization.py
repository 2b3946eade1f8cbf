"""Checkers of assignment 12, streaming and shipping: eight bits by hand."""

from __future__ import annotations

import math

import torch

from asrlib.teaching.check import Examiner, task
from asrlib.teaching.exercise_data.draws import integer, normal, number

LESSON = "lesson 12b, "


def _quantise(weight):
    rows, scales = [], []
    for row in weight:
        scale = float(row.abs().max()) / 127 or 1.0
        rows.append((row / scale).round().to(torch.int8))
        scales.append(scale)
    return [torch.stack(rows), torch.tensor(scales, dtype=weight.dtype)]


def draw_weight(g):
    shape = [integer(g, 1, 4) for _ in range(integer(g, 2, 3))]
    return (normal(g, *shape) * 10 ** normal(g, shape[0], *[1] * (len(shape) - 1)),)


@task("12.quantise", LESSON + "'8 bits by hand'", _quantise, draw_weight, 40)
def quantise(ask: Examiner):
    w = torch.tensor([[1.27, -0.506, 0.018], [-0.092, 0.3302, 2.54]], dtype=torch.float64)
    got, _ = ask(w).items(2, "two things must be returned: q, scale")
    q, scale = _quantise(w)
    one = w.abs().max() / 127
    columns = w.abs().amax(0) / 127
    if isinstance(got, torch.Tensor) and got.dtype != torch.int8:
        raise ask.because(
            f"q must be a tensor of torch.int8, and here it is {got.dtype}: round, then .to(torch.int8)"
        )
    ask(w).equals(
        [q, scale],
        suspects={
            "cut off towards 0; round to the nearest integer": [(w / scale[:, None]).trunc(), scale],
            "rounded down; round to the nearest integer": [(w / scale[:, None]).floor(), scale],
            "one scale for all; each output channel has its own": [(w / one).round(), one.expand(2)],
            "a scale a column; the output channels are the first axis": [(w / columns).round(), columns],
            "the scale is max |w| / 128, and 128 is no int8": [
                (w / (w.abs().amax(1, keepdim=True) / 128)).round().to(torch.int8),
                w.abs().amax(1) / 128,
            ],
            "the largest w, not the largest |w|": _by_largest(w),
            "the scale must be the *step*, max |w| / 127, not its inverse": [q, 1 / scale],
            "the scale has kept an axis: (channels,) is wanted": [q, scale[:, None]],
        },
    )
    negative = torch.tensor([[-2.0, 0.5]], dtype=torch.float64)
    ask(negative).equals(
        _quantise(negative),
        "the largest *magnitude* counts: here it is that of -2, which must become -127",
    )
    empty = torch.tensor([[0.0, 0.0], [1.0, -0.2]], dtype=torch.float64)
    ask(empty).equals(
        _quantise(empty), "a channel of zeros has max |w| = 0: its scale is 1, its integers are 0"
    )
    g = torch.Generator().manual_seed(3)
    kernel = normal(g, 3, 2, 4)
    ask(kernel).equals(
        _quantise(kernel), "three axes: one scale for everything behind the first axis, q in weight's shape"
    )


def _by_largest(w):
    scale = w.amax(1) / 127
    return [(w / scale[:, None]).round().to(torch.int8), scale]


def _noise(w, bits):
    scale = w.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
    return float(((w / scale).round() * scale - w).square().sum())


def _fewest(weight, snr_db):
    signal = float(weight.square().sum())
    for bits in range(2, 17):
        noise = _noise(weight, bits)
        if noise == 0 or 10 * math.log10(signal / noise) >= snr_db:
            return bits
    return None


def draw_bits(g):
    return normal(g, integer(g, 1, 4), integer(g, 2, 6)), number(g, -3, 105)


@task("12.fewest_bits", LESSON + "'8 bits by hand'", _fewest, draw_bits, 60)
def fewest_bits(ask: Examiner):
    g = torch.Generator().manual_seed(4)
    w = normal(g, 20, 50) * torch.logspace(-1, 1, 20, dtype=torch.float64)[:, None]
    right = _fewest(w, 30.0)
    together = w.reshape(1, -1)
    twice, half = _fewest(w, 15.0), _fewest(w, 60.0)
    ask(w, 30.0).equals(
        right,
        suspects={
            "the integers reach 2^(b - 1) - 1, half of the levels being negative; a bit too few": right - 1,
            "decibels of a ratio of powers are 10 log10, not 20": twice,
            "decibels are 10 log10 of the power's ratio, not of the amplitude's": half,
            "one scale for all; each channel has its own": _fewest(together, 30.0),
            "one bit too many: the smallest number that is enough is wanted": right + 1,
        },
    )
    exact = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    ask(exact, 90.0).equals(2, "no noise at all: 2 bits are enough, and nothing may be divided by 0")
    ask(w, 150.0).equals(None, "16 bits are not enough: None is wanted")
    ask(w, -3.0).equals(2, "2 bits are the fewest: -1, 0 and 1")
