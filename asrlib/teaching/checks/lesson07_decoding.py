"""Checkers of assignment 07, RNN-T: the best path and greedy search."""

from __future__ import annotations

import torch

from asrlib.teaching.check import Examiner, task
from asrlib.teaching.checks.lesson07_sums import BLANK, LABEL, NONE, draw_lattice
from asrlib.teaching.exercise_data.draws import integer, normal

LESSON = "lesson 07, "


def _frames(log_blank, log_label):
    """The best path by trying all: the witness of the search."""
    T, U = log_label.shape
    best = torch.full((T, U + 1), -torch.inf, dtype=log_blank.dtype)
    best[0, 0], ways = 0, {(0, 0): []}
    for t in range(T):
        for u in range(U + 1):
            by_blank = best[t - 1, u] + log_blank[t - 1, u] if t else -torch.inf
            by_label = best[t, u - 1] + log_label[t, u - 1] if u else -torch.inf
            if t == u == 0:
                continue
            if by_blank >= by_label:
                best[t, u], ways[t, u] = by_blank, ways[t - 1, u]
            else:
                best[t, u], ways[t, u] = by_label, [*ways[t, u - 1], t]
    return ways[T - 1, U]


@task("07.emission_frames", LESSON + "'A trained transducer's paths'", _frames, draw_lattice, 40)
def emission_frames(ask: Examiner):
    sure = torch.tensor([[0.1, 0.9, 0.9], [0.9, 0.9, 0.9], [0.9, 0.1, 0.9], [0.9, 0.9, 0.9]]).double()
    ask(sure.log(), (1 - sure[:, :2]).log()).equals(
        [0, 2],
        suspects={
            "the frames of the labels in the reverse order": [2, 0],
            "frames counted from 1": [1, 3],
            "the best frame of each label by itself; a path must go forwards": [0, 0],
            "frames counted from the end": [3, 1],
        },
    )
    crossing = torch.tensor([[0.5, 0.9], [0.4, 0.1], [0.9, 0.1]], dtype=torch.float64)
    stay = torch.tensor([[0.4, 0.1, 0.5], [0.5, 0.8, 0.5], [0.1, 0.8, 0.5]], dtype=torch.float64)
    ask(stay.log(), crossing.log()).equals(
        _frames(stay.log(), crossing.log()),
        "not a path: labels come out in order, so no frame may lie before the last one's",
    )
    apart = torch.tensor([[0.45, 0.5], [0.01, 0.9], [0.9, 0.5]], dtype=torch.float64)
    label = torch.tensor([[0.5], [0.99], [0.1]], dtype=torch.float64)
    ask(apart.log(), label.log()).equals(
        _frames(apart.log(), label.log()),
        "the greedy way; the best whole path may begin with a step that is not the best",
    )
    ask(BLANK[:, :1], NONE).equals([], "an empty target has no label")
    ask(BLANK[:1], LABEL[:1]).equals([0, 0], "one frame: both labels come out at frame 0")


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
