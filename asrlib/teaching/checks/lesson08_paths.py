"""Checkers of assignment 08, CTC against RNN-T: which paths there are, and what a text costs."""

from __future__ import annotations

import itertools
import math

import torch

from asrlib.losses import ctc
from asrlib.teaching.check import Examiner, task
from asrlib.teaching.exercise_data.draws import integer, labels

LESSON = "lesson 08, "


def _no_path(targets, frames, reduction):
    """By the loss itself: infinite where no path exists."""
    found = []
    for n, (target, count) in enumerate(zip(targets, frames, strict=True)):
        T, U, y = -(-count // reduction), len(target), torch.tensor(target)
        if torch.isinf(ctc.ctc_loss(torch.zeros(T, max(target) + 1), y, T, U, reduction="sum")):
            found.append(n)
    return found


def draw_corpus(g):
    targets, frames, reduction = [], [], (1, 2, 4, 8)[integer(g, 0, 3)]
    for _ in range(integer(g, 1, 6)):
        target = labels(g, integer(g, 1, 5), 4, 0).tolist()
        targets.append(target)
        frames.append(max(1, reduction * len(target) + integer(g, -reduction, 3 * reduction)))
    return targets, frames, reduction


@task("08.no_path", LESSON + "'What CTC cannot say'", _no_path, draw_corpus, 40)
def no_path(ask: Examiner):
    ask([[1, 2, 3], [1, 2, 3, 4]], [24, 24], 8).equals(
        [1],
        suspects={
            "those that can be trained; those that cannot are wanted": [0],
            "a label a frame is just enough, if no two neighbours are equal": [0, 1],
            "one answer an utterance; the numbers of those without a path are wanted": [False, True],
            "the numbers count from 0": [2],
            "the frames are counted before the reduction": [],
        },
    )
    ask([[5, 5, 3], [5, 5, 3]], [24, 25], 8).equals(
        [0],
        suspects={
            "two equal neighbours need a blank between them, and a frame for it": [],
            "the encoder rounds up: 25 frames become 4, the last of them padded": [0, 1],
        },
    )
    ask([[5, 3, 5]], [3], 1).equals([], "only equal *neighbours* need a blank between")
    ask([[7, 7, 7]], [4], 1).equals([0], "three equal labels need two blanks")


def _paths(graph, start):
    """How many ways lead from ``start`` to None; ``graph(node)`` lists what follows a node."""
    known = {None: 1}

    def count(node):
        if node not in known:
            known[node] = sum(count(after) for after in graph(node))
        return known[node]

    return count(start)


def _count_paths(target, T):
    states = [0]
    for label in target:
        states += [label, 0]

    def ctc_next(node):
        t, s = node
        if t == T:
            return [None] * (s >= len(states) - 2)
        skips = s + 2 < len(states) and states[s + 2] not in (0, states[s])
        return [(t + 1, r) for r in (s, s + 1, s + 2)[: 3 if skips else 2] if r < len(states)]

    def rnnt_next(node):
        t, u = node
        if (t, u) == (T - 1, len(target)):
            return [None]
        return [(t, u + 1)] * (u < len(target)) + [(t + 1, u)] * (t < T - 1)

    # the state before the first frame is the first blank; from there on every frame has a state of its own
    return [_paths(ctc_next, (0, 0)), _paths(rnnt_next, (0, 0))]


def draw_target(g):
    return labels(g, integer(g, 0, 6), 4, 0).tolist(), integer(g, 1, 12)


@task("08.count_paths", LESSON + "'Two graphs, one sum'", _count_paths, draw_target, 60)
def count_paths(ask: Examiner):
    different = math.comb(14, 10), math.comb(13, 5)
    ask([1, 2, 3, 4, 5], 9).equals(
        list(different),
        suspects={
            "the transducer's number first": list(different[::-1]),
            "the transducer's last blank always leaves the last frame: it has no choice of a place": [
                different[0],
                math.comb(14, 5),
            ],
            "CTC as if a label could not last": [math.comb(9, 5), different[1]],
        },
    )
    ask([1, 1], 3).equals(
        [1, 6],
        suspects={
            "two equal neighbours need a blank between, so CTC has fewer paths": [math.comb(5, 4), 6],
            "the transducer has no rule about equal labels": [1, math.comb(2 + 1, 1)],
        },
    )
    ask([1, 2, 1], 4).equals(_count_paths([1, 2, 1], 4), "only equal *neighbours* need a blank between")
    ask([1, 2, 3], 2).equals([0, 4], "CTC has no path where frames are fewer than labels; the transducer has")
    ask([], 5).equals([1, 1], "nothing said: blank at every frame, which is one path for both")


def _best_losses(counts):
    table = counts.tolist()
    total = sum(map(sum, table))
    first = [sum(row) for row in table]
    second = [sum(column) for column in zip(*table, strict=True)]

    def entropy(numbers):
        return -math.fsum(n / total * math.log(n / total) for n in numbers if n)

    return [entropy(first) + entropy(second), entropy(itertools.chain(*table))]


def draw_counts(g):
    V = integer(g, 1, 5)
    counts = torch.randint(0, 9, (V, V), generator=g) * torch.randint(0, 2, (V, V), generator=g)
    counts[0, 0] += 1
    return (counts,)


@task("08.best_losses", LESSON + "'What CTC cannot say'", _best_losses, draw_counts)
def best_losses(ask: Examiner):
    towns = torch.tensor([[3, 0], [0, 1]])
    word = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    ask(towns).equals(
        [2 * word, word],
        suspects={
            "the model that knows the first word comes second": [word, 2 * word],
            "bits: natural logarithms are wanted": [2 * word / math.log(2), word / math.log(2)],
            "the second word alone; a text has two, and both must be paid for": [2 * word, 0.0],
            "log probabilities: a loss is minus them": [-2 * word, -word],
            "nats a text, not a word": [word, word / 2],
            "every text as if equally frequent": [2 * math.log(2), math.log(2)],
            "in nats an average text, not of all texts together": [8 * word, 4 * word],
            "what cannot be known of two words among four; but not all four are said": [
                2 * math.log(2),
                2 * math.log(2),
            ],
            "0 · ln 0 counts as 0: a text that never occurs costs nothing": [2 * word, math.nan],
        },
    )
    ask(torch.tensor([[2, 1, 0], [0, 0, 4], [0, 1, 0]])).equals(
        _best_losses(torch.tensor([[2, 1, 0], [0, 0, 4], [0, 1, 0]])),
        "rows are first words, columns second ones: each has a distribution of its own",
    )
    ask(torch.tensor([[4]])).equals([0.0, 0.0], "where only one text exists, there is nothing to lose")
