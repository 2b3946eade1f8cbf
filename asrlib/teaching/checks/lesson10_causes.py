"""Checkers of assignment 10, why 18 % and not 2.9 %: the causes, a guard and a diagnosis."""

from __future__ import annotations

import math
from collections import Counter

import torch

from asrlib.teaching.check import Examiner, task
from asrlib.teaching.exercise_data.draws import integer, normal, number
from asrlib.teaching.exercise_data.trainings import ILLNESSES, training_runs
from asrlib.training import schedules

LESSON = "lesson 10, "


def _peak(width, warmup, max_lr, factor=1.0):
    rates = [schedules.transformer_schedule(s, width, warmup, max_lr, factor) for s in range(2 * warmup + 2)]
    highest = max(rates)
    return [1 + rates.index(highest), highest]


def draw_schedule(g):
    width, warmup, factor = integer(g, 16, 1280), integer(g, 1, 400), number(g, 0.3, 3)
    highest = factor * (width * warmup) ** -0.5
    return width, warmup, highest * number(g, 0.05, 2), factor


@task("10.peak", LESSON + "'First cause: a learning rate that never arrives'", _peak, draw_schedule, 40)
def peak(ask: Examiner):
    height = 9.6e6**-0.5
    ask(640, 15_000, 0.0025).items(2, "two numbers must be returned: the step and its rate")
    ask(640, 15_000, 0.0025).equals(
        [15_000, height],
        suspects={
            "max_lr is only a cap, and never reached here": [15_000, 0.0025],
            "max_lr is only a cap, and never reached here: neither is the step": [1, 0.0025],
            "the width is missing": [4593, 0.0025],
            "the steps of the formula count from 1": [14_999, height],
        },
        tolerance=1e-6,
    )
    ask(640, 15_000, 0.0025, 2.0).equals(
        [15_000, 2 * height], "`factor` makes every rate larger", tolerance=1e-6
    )
    ask(100, 400, 0.001).equals(
        [80, 0.001],
        suspects={
            "the cap binds: the rate never gets higher than max_lr": [400, 0.005],
            "the cap binds long before the warm-up's end: the *first* step at max_lr is asked for": [
                400,
                0.001,
            ],
        },
    )
    ask(100, 400, 0.00101).equals(
        [81, 0.00101], "the cap is reached between two steps: the first one *at* it is the later"
    )


def _gradient(w, x, y):
    w = w.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((x @ w - y).square().mean(), w)
    return gradient


def _noisy_step(w, noise, x, y, rate):
    return w - rate * _gradient(w + noise, x, y)


def draw_step(g):
    D, M = integer(g, 1, 4), integer(g, 1, 5)
    return normal(g, D), 0.3 * normal(g, D), normal(g, M, D), normal(g, M), number(g, 0.01, 0.5)


@task(
    "10.noisy_step",
    LESSON + "'Second cause: nothing stands between the model and its data'",
    _noisy_step,
    draw_step,
)
def noisy_step(ask: Examiner):
    g = torch.Generator().manual_seed(10)
    w, noise, x, y = normal(g, 2), 0.5 * normal(g, 2), normal(g, 3, 2), normal(g, 3)
    gradient, clean = _gradient(w + noise, x, y), _gradient(w, x, y)
    ask(w, noise, x, y, 0.1).equals(
        w - 0.1 * gradient,
        suspects={
            "the noise stays in the weights; it must be taken off before the update": w
            + noise
            - 0.1 * gradient,
            "the gradient at the clean weights: the noise does nothing": w - 0.1 * clean,
            "the noise is added to the weights and not to the gradient's place": w + noise - 0.1 * clean,
            "uphill: against the gradient is downhill": w + 0.1 * gradient,
            "the sum over the rows; their mean is wanted": w - 0.3 * gradient,
            "the derivative of a square has a factor 2": w - 0.05 * gradient,
            "the noise is added to the gradient, not to the weights": w - 0.1 * (clean + noise),
            "the noise is subtracted": w - 0.1 * _gradient(w - noise, x, y),
        },
    )


def _keep_best(dev, patience):
    for n in range(len(dev)):
        best = dev.index(min(dev[: n + 1]))
        if n - best >= patience:
            return [best, n]
    return [dev.index(min(dev)), len(dev) - 1]


def draw_dev(g):
    return [float(integer(g, 1, 9)) for _ in range(integer(g, 1, 12))], integer(g, 1, 4)


@task("10.keep_best", LESSON + "'Third cause: nobody looked'", _keep_best, draw_dev, 60)
def keep_best(ask: Examiner):
    ask([40.0, 30.0, 20.0, 25.0, 35.0, 21.0, 19.0], 3).equals(
        [2, 5],
        suspects={
            "evaluations count from 0": [3, 6],
            "the training had stopped before the last evaluation was made": [6, 6],
            "the training had stopped before the last evaluation was made, so its weights never were": [6, 5],
            "one too late: evaluations 3, 4 and 5 brought nothing, which is three": [6, 7],
            "one too early: two evaluations without a better one are not three": [2, 4],
            "the weights of the last evaluation; the best ones are kept": [5, 5],
            "the WER; the number of its evaluation is asked for": [20.0, 5],
        },
    )
    ask([40.0, 41.0, 30.0, 31.0, 29.0], 2).equals([4, 4], "a better one sets the count back to 0")
    ask([20.0, 30.0, 25.0, 24.0, 23.0], 3).equals(
        [0, 3], "better than the evaluation before is not better than the *best* one"
    )
    ask([30.0, 20.0, 20.0, 20.0], 2).equals([1, 3], "an equal WER is no better one")
    ask([30.0], 1).equals([0, 0], "a single evaluation is the best and the last")


def _guard(losses, norms, limit=5):
    bad = [not (math.isfinite(a) and math.isfinite(b)) for a, b in zip(losses, norms, strict=True)]
    for end in range(limit, len(bad) + 1):
        if all(bad[end - limit : end]):
            return [[n for n in range(end) if bad[n]], end - 1]
    return [[n for n, is_bad in enumerate(bad) if is_bad], None]


def draw_losses(g):
    def some(count):
        odd = (math.nan, math.inf, -math.inf)
        return [odd[integer(g, 0, 2)] if integer(g, 0, 3) == 0 else number(g, 0, 9) for _ in range(count)]

    count = integer(g, 0, 15)
    return some(count), some(count), integer(g, 1, 4)


@task("10.guard", LESSON + "'Clinic: a guard'", _guard, draw_losses, 60)
def guard(ask: Examiner):
    nan, inf = math.nan, math.inf
    ask([1.0, nan, 2.0, 3.0], [0.5] * 4).items(
        2, "two things must be returned: the list of bad steps, and the step to stop at"
    )
    ask([1.0, nan, 2.0, 3.0], [0.5] * 4).equals(
        [[1], None],
        suspects={
            "steps count from 0": [[2], None],
            "nan is equal to nothing, not even to itself: ask math.isfinite": [[], None],
            "one bad step does not stop a run": [[1], 1],
        },
    )
    ask([1.0, inf, 2.0, 3.0], [0.5] * 4).equals([[1], None], "inf is not finite either")
    ask([1.0, 1.0, 1.0, 1.0], [0.5, nan, inf, 2.0]).equals(
        [[1, 2], None], "a finite loss may have a gradient that is not: the norms count, too"
    )
    ask([nan, nan, 1.0, nan, nan, nan, 1.0, nan], [0.5] * 8, 3).equals(
        [[0, 1, 3, 4, 5], 5],
        suspects={
            "`limit` bad steps *in a row*: a good one sets the count back to 0": [[0, 1, 3], 3],
            "the run has stopped: later steps are not made": [[0, 1, 3, 4, 5, 7], 5],
            "the step that stops the run is a bad one, too": [[0, 1, 3, 4], 5],
            "the run stops *at* the third bad step in a row": [[0, 1, 3, 4, 5], 6],
            "the first bad step of the row; the last one is where it stops": [[0, 1, 3, 4, 5], 3],
            "never stopped": [[0, 1, 3, 4, 5, 7], None],
        },
    )
    ask([nan] * 6, [1.0] * 6).equals([[0, 1, 2, 3, 4], 4], "`limit` is 5 unless it is given")
    ask([], []).equals([[], None], "no steps, no bad ones")


@task("10.diagnose", LESSON + "'The shapes of curves' and 'The sheet for the wall'")
def diagnose(ask: Examiner):
    falling, quiet = [2.0 * 0.98**n for n in range(200)], [2.0 * 0.8**n for n in range(20)]
    broken = [*falling[:150], *[math.nan] * 50]
    ask(broken, [*quiet[:15], *[math.nan] * 5]).equals("nan", "nan, from step 150 on")
    ask([*falling[:-1], math.nan], quiet).equals(
        "nan", "one nan at the very end is enough; comparisons with nan are always False"
    )
    runs = training_runs(integer(ask.generator, 1, 10**6))
    asked = [(illness, ask(training, dev)) for illness, training, dev in runs]
    wrong = Counter()
    for illness, got in asked:
        known = isinstance(got.value, str) and got.value in ILLNESSES
        got.satisfies(known, f"one of {ILLNESSES}", "a diagnosis must be named as training_runs names them")
        if got.value != illness:
            wrong[illness, got.value] += 1
    if wrong.total() > 2:
        text = "; ".join(f"{n} × {illness!r} called {got!r}" for (illness, got), n in wrong.most_common(4))
        raise ask.because(
            f"{len(runs) - wrong.total()} of {len(runs)} runs are diagnosed rightly, {len(runs) - 2} are"
            f" asked for. {text}"
        )
