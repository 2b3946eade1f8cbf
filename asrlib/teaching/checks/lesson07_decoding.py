"""Checkers of assignment 07, RNN-T: greedy search."""

from __future__ import annotations

import torch

from asrlib.teaching.check import Examiner, task
from asrlib.teaching.exercise_data.draws import integer, normal

LESSON = "lesson 07, "


def greedy_text(scores, blank=0, max_symbols=3):
    text, t, here = [], 0, 0
    while t < len(scores):
        label = int(scores[t, text[-1] if text else blank].argmax())
        if label == blank or here == max_symbols:
            t, here = t + 1, 0
        else:
            text, here = [*text, label], here + 1
    return text


def draw_scores(g):
    T, V = integer(g, 0, 6), integer(g, 2, 4)
    return normal(g, T, V, V), integer(g, 0, V - 1), integer(g, 1, 4)


@task("07.greedy", LESSON + "'Decoding: greedy'", greedy_text, draw_scores, 60)
def greedy(ask: Examiner):
    def says(*rows):
        return torch.nn.functional.one_hot(torch.tensor(rows), 3).double()

    two = says([1, 2, 0], [1, 0, 0])
    ask(two).equals(
        [1, 2],
        suspects={
            "one label a frame: after a label the search stays at its frame and asks again": [1],
            "the last label is not asked about: scores[t] depends on it": [1, 1, 1, 1, 1, 1],
            "blank is part of the text": [1, 2, 0],
        },
    )
    endless = says([1, 1, 1])
    ask(endless).equals(
        [1, 1, 1], "after max_symbols labels at one frame the search goes on to the next, as if blank had won"
    )
    ask(endless, max_symbols=5).equals([1] * 5, "`max_symbols` says how many labels a frame may have")
    ask(says([1, 0, 1], [2, 1, 0]), max_symbols=2).equals(
        [1, 1, 1],
        suspects={
            "after a label the search moves on: a frame is skipped after each": [1],
            "the first label of each frame starts from blank again: the last label is forgotten": [1, 2],
        },
    )
    ask(says([1, 0, 2], [0, 1, 2]), blank=2).equals(
        [], "the search starts from `blank`, and blank is not always 0"
    )
