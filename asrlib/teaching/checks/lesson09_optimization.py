"""Checkers of assignment 09, train ContextNet: learning rate, gradients and weights."""

from __future__ import annotations

import math

import torch
from torch import nn

from asrlib.teaching.check import Examiner, task
from asrlib.teaching.exercise_data.draws import integer, normal, number
from asrlib.teaching.exercise_data.trainings import noisy_training
from asrlib.training import schedules

LESSON = "lesson 09, "


def draw_step(g):
    warmup = integer(g, 0, 30)
    total = warmup + integer(g, 1, 60)
    return integer(g, 0, total + 5), warmup, total, number(g, 1e-4, 1)


@task(
    "09.one_cycle", LESSON + "'The learning rate: up, then down'", schedules.one_cycle_schedule, draw_step, 60
)
def one_cycle(ask: Examiner):
    ask(0, 4, 12, 0.8).equals(
        0.2,
        suspects={
            "step 0 is the first of the warm-up's steps and has 1/warmup of the rate: a step at rate 0 is"
            " wasted": 0.0,
            "warm-up comes first: here the rate falls from the beginning": 0.8,
        },
    )
    ask(3, 4, 12, 0.8).equals(
        0.8, "the last step of the warm-up has the highest rate", {"one step behind": 0.6}
    )
    ask(6, 4, 12, 0.8).equals(
        0.4 * (1 + math.cos(math.pi / 4)),
        suspects={
            "the cosine's argument runs from 0 to π over the steps *after* the warm-up": 0.4
            * (1 + math.cos(math.pi / 2)),
            "a straight line down; half a cosine is wanted": 0.6,
            "a quarter of a cosine: the whole of its way down, from 1 to -1, is wanted": 0.8
            * math.cos(math.pi / 8),
            "the rise's formula is used behind the warm-up, too": 1.4,
            "without the half: at the end of the warm-up the rate would be twice the highest": 0.8
            * (1 + math.cos(math.pi / 4)),
        },
    )
    ask(12, 4, 12, 0.8).equals(0.0, "at step `total` the rate is 0")
    ask(20, 4, 12, 0.8).equals(0.0, "after the last step it stays 0: the cosine would rise again")
    ask(0, 0, 12, 0.8).equals(0.8, "without a warm-up the cosine starts at step 0; mind the division")


def noisy(losses: float) -> str:
    return f"{losses:.3f}" if math.isfinite(losses) else "infinite"


@task("09.rates", LESSON + "'The learning rate: up, then down'")
def rates(ask: Examiner):
    for steps in (40, 300):
        got = ask(steps)
        try:
            plan = [float(rate) for rate in got.value]
        except (TypeError, ValueError):
            plan = [math.nan]
        right = all(rate >= 0 and math.isfinite(rate) for rate in plan)
        got.satisfies(right, "a list of learning rates, finite and not negative")
        got.satisfies(len(plan) == steps, f"{steps} rates", f"a rate a step: there are {len(plan)}")
    value = noisy_training(plan)
    if not value <= 0.1:
        flat = max(plan) <= 1.01 * min(plan)
        why = (
            "A constant rate cannot do it: 0.15 is about the best of them, with 0.211"
            if flat
            else (
                "Still too noisy at the end: come down further, or stay up less long"
                if max(plan[-20:]) > 0.1 * max(plan)
                else "Not arrived yet, or thrown off on the way: try other heights of the same shape"
            )
        )
        raise ask.because(
            f"after 300 steps at your rates the loss is {noisy(value)} above the lowest possible;"
            f" 0.1 is asked for. {why}"
        )


def _clip(gradients, max_norm):
    weights = [nn.Parameter(torch.zeros_like(g)) for g in gradients]
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient.clone()
    nn.utils.clip_grad_norm_(weights, max_norm)
    return [weight.grad for weight in weights]


def draw_gradients(g):
    shapes = [[integer(g, 1, 3) for _ in range(integer(g, 1, 3))] for _ in range(integer(g, 1, 4))]
    return [number(g, 0.1, 3) * normal(g, *shape) for shape in shapes], number(g, 0.5, 5)


@task("09.clip", LESSON + "'Train'", _clip, draw_gradients)
def clip(ask: Examiner):
    a, b = torch.tensor([[3.0, 0.0], [0.0, -4.0]]), torch.tensor([7.2, -9.6])
    ask([a, b], 6.5).equals(
        [a / 2, b / 2],
        suspects={
            "each tensor is clipped by its own norm: the direction of the step changes": [a, b * 6.5 / 12],
            "single numbers are clipped: the direction of the step changes": [a, b.clamp(-6.5, 6.5)],
            "the norm is the root of the sum of squares; here it is the sum of absolute values": [
                a * 6.5 / 23.8,
                b * 6.5 / 23.8,
            ],
            "the sum of the tensors' norms; all squares are summed before the one root": [
                a * 6.5 / 17,
                b * 6.5 / 17,
            ],
            "the sum of squares without the root": [a * 6.5 / 169, b * 6.5 / 169],
            "the largest number, not the norm": [a * 6.5 / 9.6, b * 6.5 / 9.6],
            "scaled to norm 1; `max_norm` is wanted": [a / 13, b / 13],
            "nothing is clipped": [a, b],
        },
    )
    ask([a, b], 26.0).equals(
        [a, b],
        suspects={"a gradient below the limit stays as it is; it is never made larger": [2 * a, 2 * b]},
    )
    ask([torch.zeros(2), torch.zeros(1)], 1.0).equals(
        [torch.zeros(2), torch.zeros(1)], "gradients of zero: mind the division"
    )


def _accumulate(gradients, sizes):
    rows = [g for g, n in zip(gradients, sizes, strict=True) for _ in range(n)]
    return torch.stack(rows).mean(0)


def draw_micro(g):
    D, count = integer(g, 1, 4), integer(g, 1, 5)
    return [normal(g, D) for _ in range(count)], [integer(g, 1, 6) for _ in range(count)]


@task("09.accumulate", LESSON + "'Train'", _accumulate, draw_micro)
def accumulate(ask: Examiner):
    parts, sizes = [torch.tensor([1.0, 4.0]), torch.tensor([5.0, -2.0])], [3, 1]
    ask(parts, sizes).equals(
        torch.tensor([2.0, 2.5]),
        suspects={
            "the mean of the means: a micro-batch of one utterance counts as much as one of three": (
                parts[0] + parts[1]
            )
            / 2,
            "the sum of the means": parts[0] + parts[1],
            "the sum over all utterances; their mean is wanted": 3 * parts[0] + parts[1],
            "divided by the number of micro-batches; by that of utterances is wanted": (
                3 * parts[0] + parts[1]
            )
            / 2,
            "the weights are turned around": (parts[0] + 3 * parts[1]) / 4,
            "a mean times its size is a sum; here it is divided by the size": (parts[0] / 3 + parts[1]) / 4,
        },
    )


def _average(weights, decay):
    """Each row times what is left of it at the end."""
    kept, result = 1.0, torch.zeros_like(weights[0])
    for n in range(len(weights) - 1, 0, -1):
        d = min(decay, (1 + n) / (10 + n))
        result, kept = result + kept * (1 - d) * weights[n], kept * d
    return result + kept * weights[0]


def _steady(weights, decay, first=0.0):
    result = weights[0] * (1 - first)
    for row in weights[1:]:
        result = decay * result + (1 - decay) * row
    return result


def draw_weights(g):
    return normal(g, integer(g, 1, 30), integer(g, 1, 3)), (0.5, 0.7, 0.99)[integer(g, 0, 2)]


@task("09.average", LESSON + "'Train'", _average, draw_weights)
def average(ask: Examiner):
    w = torch.tensor([[8.0, 0.0], [0.0, 1.0], [4.0, 2.0], [2.0, 3.0]])
    late = w[0]
    for n, row in enumerate(w[1:]):
        d = min(0.9, (1 + n) / (10 + n))
        late = d * late + (1 - d) * row
    turned = w[0]
    for n, row in enumerate(w[1:], start=1):
        d = min(0.9, (1 + n) / (10 + n))
        turned = (1 - d) * turned + d * row
    ask(w, 0.9).equals(
        _average(w, 0.9),
        suspects={
            "`decay` from the first step on: the random start is still half of the average": _steady(w, 0.9),
            "d and 1 - d are exchanged: the average keeps d of itself": turned,
            "the mean of all rows": w.mean(0),
            "the last weights, no average": w[-1],
            "the first step is number 1, not 0": late,
        },
    )
    ask(w, 0.1).equals(
        _steady(w, 0.1), "the *smaller* of `decay` and (1 + n) / (10 + n); here it is always `decay`"
    )
    ask(w[:1], 0.9).equals(w[0], "before the first step the average is the start")
