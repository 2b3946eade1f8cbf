"""Checkers of assignment 10: why 18 % and not 2.9 %."""

from __future__ import annotations

import csv
import math
from collections import Counter
from functools import lru_cache

import torch

from asrlib.teaching.check import Examiner, task
from asrlib.teaching.checks.draws import ILLNESSES, integer, normal, number, training_runs
from asrlib.training import schedules

LESSON = "lesson 10, "

# ---- the chart ---------------------------------------------------------------------------------------------


@lru_cache
def chart() -> tuple[list[int], list[float]]:
    """Seconds and losses of the 68 epochs of lesson 10."""
    from asrlib.model_directory import shipped_model

    with open(shipped_model().parent / "tensorflowasr-2023-log.tsv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [int(row["seconds"]) for row in rows], [float(row["loss"]) for row in rows]


def _word_probability(loss, utterances, words):
    return math.exp(-loss / (words / utterances))


def draw_loss(g):
    utterances = integer(g, 100, 10_000)
    return number(g, 0.1, 40), utterances, utterances * integer(g, 2, 40)


@task("10.word_probability", LESSON + "'The chart'", _word_probability, draw_loss)
def word_probability(ask: Examiner):
    right = math.exp(-0.2)
    ask(3.0, 100, 1500).equals(
        right,
        suspects={
            "the loss is of a whole utterance, which has several words": math.exp(-3.0),
            "the nats a word; the probability is asked for": 0.2,
            "the logarithm of the probability, which is minus the loss": -0.2,
            "the loss is in nats: e to the power of minus the loss": 2**-0.2,
            "base 10; the loss is in nats": 10**-0.2,
            "above 1: e to the power of *minus* the loss": math.exp(0.2),
            "words and utterances are exchanged": math.exp(-45.0),
            "1 - p is what is lost": 1 - right,
        },
    )


def _running_time(step_ms, batch, utterances, epochs):
    steps = utterances // batch
    return [steps, 1000 * batch / step_ms, steps * epochs * step_ms / 1000 / 60 / 60]


def draw_run(g):
    return number(g, 50, 900), integer(g, 1, 256), integer(g, 1000, 300_000), integer(g, 1, 100)


@task("10.running_time", LESSON + "'The chart' and 'Before you go on'", _running_time, draw_run)
def running_time(ask: Examiner):
    ask(500.0, 20, 7219, 10).items(
        3, "three numbers must be returned: steps per epoch, utterances per second, hours"
    )
    right = [360, 40.0, 0.5]
    ask(500.0, 20, 7219, 10).equals(
        right,
        suspects={
            "the last batch of an epoch is not full, and is dropped": [361, 40.0, 361 / 720],
            "steps are counted in whole numbers: the last batch is dropped": [360.95, 40.0, 360.95 / 720],
            "the hours of one epoch; those of all are asked for": [360, 40.0, 0.05],
            "minutes; hours are asked for": [360, 40.0, 30.0],
            "seconds; hours are asked for": [360, 40.0, 1800.0],
            "the time of a step is in milliseconds": [360, 0.04, 500.0],
            "steps a second; utterances a second are asked for": [360, 2.0, 0.5],
            "the steps of all epochs; those of one are asked for": [3600, 40.0, 0.5],
        },
    )


def _read_chart(seconds, losses):
    usual = sorted(seconds)[len(seconds) // 2]
    restarts = [e for e in range(2, len(seconds) + 1) if seconds[e - 1] > 1.1 * usual]
    stumbles = []
    for e in restarts:
        if 3 <= e < len(losses):
            before, here, after = (losses[n - 2] - losses[n - 1] for n in (e - 1, e, e + 1))
            if here < before and here < after:
                stumbles.append(e)
    return [1 + losses.index(min(losses)), restarts, stumbles]


def draw_chart(g):
    epochs = integer(g, 3, 12)
    seconds = [100 + integer(g, -3, 3) + 20 * (integer(g, 0, 3) == 0) for _ in range(epochs)]
    losses = [number(g, 1, 10) for _ in range(epochs)]
    return seconds, sorted(losses, reverse=True) if integer(g, 0, 1) else losses


@task("10.read_chart", LESSON + "'The chart'", _read_chart, draw_chart, 60)
def read_chart(ask: Examiner):
    ask([120, 100, 100, 100], [9.0, 5.0, 4.0, 3.5]).items(
        3, "three things must be returned: the best epoch, and two lists"
    )
    ask([120, 100, 100, 100], [9.0, 5.0, 4.0, 3.5]).equals(
        [4, [], []],
        "epoch 1 is slow because the program is compiled in it: that is no restart",
        {"epochs count from 1": [3, [], []]},
    )
    seconds = [100, 103, 99, 120, 100, 118, 102, 100]
    losses = [9.0, 7.0, 5.5, 5.2, 3.2, 1.7, 1.2, 1.8]
    ask(seconds, losses).equals(
        [7, [4, 6], [4]],
        suspects={
            "epochs count from 1": [6, [3, 5], [3]],
            "epochs count from 1, in the list of restarts, too": [7, [3, 5], []],
            "the lowest loss, not its epoch": [1.2, [4, 6], [4]],
            "the last epoch is not the best": [8, [4, 6], [4]],
            "in epoch 6 the loss fell by 1.5, more than in epoch 7: no stumble": [7, [4, 6], [4, 6]],
            "slow is more than 10 % above the usual, not above it at all": [7, [2, 4, 6], [4]],
        },
    )
    ask([100, 100, 120, 100], [9.0, 8.0, 7.5, 6.5]).equals(
        [4, [3], [3]], "compare how far the loss *fell*: by 1.0 in epoch 2, 0.5 in epoch 3, 1.0 in epoch 4"
    )
    ask([100, 100, 100, 120], [9.0, 5.0, 4.0, 3.9]).equals(
        [4, [4], []], "after the last epoch there is nothing to compare with: no stumble"
    )
    ask([100, 120, 100, 100], [9.0, 8.9, 4.0, 3.0]).equals(
        [4, [2], []], "before epoch 2 no fall is known, for epoch 1 has none: no stumble"
    )
    ask([100, 100, 115, 900, 100, 100, 100], [7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]).equals(
        [7, [3, 4], []], "the usual time is the median: the mean is pulled up by the slow epochs"
    )
    ask(*chart()).equals(
        [56, [30, 42], [30, 42]], "on the log of lesson 10: lowest in epoch 56, restarts in 30 and 42"
    )


# ---- a learning rate that never arrives --------------------------------------------------------------------


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


# ---- nothing stands between the model and its data ---------------------------------------------------------


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


# ---- nobody looked -----------------------------------------------------------------------------------------


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


# ---- a guard -----------------------------------------------------------------------------------------------


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


# ---- the shapes of curves ----------------------------------------------------------------------------------


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
