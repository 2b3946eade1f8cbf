"""Checkers of assignment 10, why 18 % and not 2.9 %: reading the chart."""

from __future__ import annotations

import csv
import math
from functools import lru_cache

from asrlib.teaching.check import Examiner, task
from asrlib.teaching.exercise_data.draws import integer, number

LESSON = "lesson 10, "


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
