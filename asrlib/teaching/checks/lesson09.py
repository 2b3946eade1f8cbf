"""Checkers of assignment 09: train ContextNet."""

from __future__ import annotations

import itertools
import math
import operator

import torch
from torch import nn

from asrlib.teaching.check import Examiner, task
from asrlib.teaching.checks.draws import integer, noisy_training, normal, number
from asrlib.training import schedules

LESSON = "lesson 09, "

# ---- schedules ---------------------------------------------------------------------------------------------


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


# ---- gradients and weights ---------------------------------------------------------------------------------


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


@task("09.accumulate", LESSON + "'Train', and lesson 10, 'The batch's sum'", _accumulate, draw_micro)
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


# ---- SpecAugment -------------------------------------------------------------------------------------------


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


# ---- killed, and resumed -----------------------------------------------------------------------------------


def _steps(x, y, count, weights=None, velocity=None, step=0, place=0):
    """(weights, velocity) after ``count`` steps of torch's own SGD, the first of them number ``step``."""
    w = nn.Parameter(torch.zeros_like(x[0, 0]) if weights is None else weights.clone())
    optimizer = torch.optim.SGD([w], lr=0.1, momentum=0.9)
    if velocity is not None:
        optimizer.state[w]["momentum_buffer"] = velocity.clone()
    for n in range(count):
        optimizer.param_groups[0]["lr"] = 0.1 * min(1, (step + n + 1) / 8)
        batch = (place + n) % len(x)
        optimizer.zero_grad()
        (x[batch] @ w - y[batch]).square().mean().backward()
        optimizer.step()
    return w.detach(), optimizer.state[w]["momentum_buffer"]


def _weights(got):
    return got.entry("weights", 'a dictionary must be returned, with the weights under "weights"')


@task("09.train_steps", LESSON + "'Killed, and resumed'")
def train_steps(ask: Examiner):
    for first in (True, False):
        # in 32 bits, as torch.zeros gives the weights: products of two precisions are an error
        x, y = normal(ask.generator, 4, 3, 2).float(), normal(ask.generator, 4, 3).float()
        right = _steps(x, y, 5)[0]
        slow = _steps(x, y, 1)[0]
        if first:
            _weights(ask(None, x, y, 1)).equals(
                slow,
                suspects={
                    "the gradient of the sum; the loss is the mean over the batch's rows": 3 * slow,
                    "the gradient without its factor 2": slow / 2,
                    "uphill: the step goes against the gradient": -slow,
                    "no warm-up: the rate of step 0 is 0.1 / 8": 8 * slow,
                    "a rate of 0: the warm-up's first step has 1/8 of the rate": 0 * slow,
                },
            )
        plain = _steps(x, y, 1)[0]
        for n in range(1, 5):
            plain = _steps(x, y, 1, plain, None, n, n)[0]
        held = _steps(x[:1].expand(4, 3, 2), y[:1].expand(4, 3), 5)[0]
        _weights(ask(None, x, y, 5)).equals(
            right,
            suspects={
                "no momentum: velocity is 0.9 times itself plus the gradient": plain,
                "the first batch in every step: step n takes batch n, and begins again after the last": held,
            },
        )
        _resumed(ask, x, y, 6, 6)
    _resumed(ask, x, y, 3, 10)


def _resumed(ask, x, y, before, after):
    whole = _weights(ask(None, x, y, before + after)).equals(_steps(x, y, before + after)[0])
    half = ask(None, x, y, before).value
    w, v = _steps(x, y, before)
    lost = {
        "everything but the weights": (None, 0, 0),
        "the velocity (the optimiser's state)": (None, before, before),
        "the number of the step, so that the warm-up starts again": (v, 0, before),
        "the place in the data, so that the first batches come again": (v, before, 0),
        "the number of the step, on which both the warm-up and the place in the data depend": (v, 0, 0),
        "velocity and number of the step: only the place in the data goes on": (None, 0, before),
        "velocity and place in the data: only the warm-up goes on": (None, before, 0),
    }
    suspects = {f"resumed without {what}": _steps(x, y, after, w, *kept)[0] for what, kept in lost.items()}
    suspects |= {
        f"the result of {after} steps from the beginning: `state` is not used, or `steps` is taken for the"
        " number to stop at": _steps(x, y, after)[0],
    }
    got = _weights(ask(half, x, y, after))
    resumed = got.equals(_steps(x, y, before + after)[0], suspects=suspects)
    got.satisfies(
        torch.equal(torch.as_tensor(resumed), torch.as_tensor(whole)),
        f"bit for bit the weights of {before + after} steps without interruption",
        "nearly the same: is something rounded on its way through the state?",
    )


# ---- batches -----------------------------------------------------------------------------------------------


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
            " epoch must mix anew *who* is together, not only the order of the batches"
        )
    if one.seconds > 1:
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
