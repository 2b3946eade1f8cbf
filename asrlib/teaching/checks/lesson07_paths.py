"""Checkers of assignment 07, RNN-T: sums over some of the paths. Their references list the paths."""

from __future__ import annotations

import itertools

import torch

from asrlib.losses import textbook
from asrlib.teaching.check import Examiner, task
from asrlib.teaching.checks.lesson07_sums import BLANK, LABEL, NONE, draw_lattice
from asrlib.teaching.exercise_data.draws import integer

LESSON = "lesson 07, "


def _one_per_frame(log_blank, log_label, label_costs_blank=False):
    """Of the first t frames, any u write a label."""
    T, rows = log_blank.shape
    alpha = torch.full((T + 1, rows), -torch.inf, dtype=log_blank.dtype)
    for t, u in itertools.product(range(T + 1), range(rows)):
        ways = []
        for emitting in itertools.combinations(range(t), u):
            out = [sum(frame < at for frame in emitting) for at in range(t)]
            steps = [log_label[at, out[at]] if at in emitting else log_blank[at, out[at]] for at in range(t)]
            steps += [log_blank[at, out[at] + 1] for at in emitting if label_costs_blank]
            ways.append(sum(steps, log_blank.new_zeros(())))
        if ways:
            alpha[t, u] = torch.stack(ways).logsumexp(0)
    return alpha


def _diagonal_steps(log_blank, log_label, combine=torch.logaddexp):
    T, rows = log_blank.shape
    alpha = torch.full((T + 1, rows), -torch.inf, dtype=log_blank.dtype)
    alpha[0, 0] = 0
    for t, u in itertools.product(range(1, T + 1), range(rows)):
        alpha[t, u] = alpha[t - 1, u] + log_blank[t - 1, u]
        if u:
            alpha[t, u] = combine(alpha[t, u], alpha[t - 1, u - 1] + log_label[t - 1, u - 1])
    return alpha


@task("07.one_per_frame", LESSON + "'α: all ways here', and turn 1 at its end", _one_per_frame, draw_lattice)
def one_per_frame(ask: Examiner):
    expected = _one_per_frame(BLANK, LABEL)
    ordinary = textbook.rnnt_alphas(BLANK, LABEL)
    ask(BLANK, LABEL).equals(
        expected,
        suspects={
            "T + 1 rows are wanted: the last one is for those who have left the last frame": expected[:-1],
            "the ordinary transducer's α, in which a label stays at its frame": ordinary,
            "in the last row a label stays at its frame": torch.cat(
                [expected[:-1], ordinary[-1:] + BLANK[-1:]]
            ),
            "after a label no blank is asked for: the label itself moves on": _one_per_frame(
                BLANK, LABEL, True
            ),
            "labels read at the frame they lead to, not the one they leave": _diagonal_steps(
                BLANK, LABEL.roll(-1, 0)
            ),
            "blanks read at the frame they lead to, not the one they leave": _diagonal_steps(
                BLANK.roll(-1, 0), LABEL
            ),
            "the best way: all ways add up, by logaddexp": _diagonal_steps(BLANK, LABEL, torch.maximum),
            "probabilities; natural logarithms are wanted": expected.exp(),
        },
    )
    ask(BLANK[:1], LABEL[:1]).equals(
        _one_per_frame(BLANK[:1], LABEL[:1]),
        "one frame writes one label: no way leads to the second, so its α is -inf",
    )
    ask(BLANK[:, :1], NONE).equals(
        _one_per_frame(BLANK[:, :1], NONE), "an empty target: the only way is from frame to frame by blank"
    )
    far = torch.full((300, 3), -5.0, dtype=torch.float64)
    ask(far, far[:, 1:]).equals(
        _diagonal_steps(far, far[:, 1:]), "300 frames: products vanish to 0; stay in the logarithm"
    )


def _paths(log_blank, log_label):
    """Every path of the ordinary transducer: the frames of its labels, and its log probability."""
    T, U = log_label.shape
    for frames in itertools.combinations_with_replacement(range(T), U):
        steps = [log_label[t, u] for u, t in enumerate(frames)]
        steps += [log_blank[t, sum(frame <= t for frame in frames)] for t in range(T)]
        yield frames, torch.stack(steps).sum()


def _expected_frames(log_blank, log_label):
    frames, scores = zip(*_paths(log_blank, log_label), strict=True)
    share = torch.stack(scores).softmax(0)[:, None]
    frames = torch.tensor(frames, dtype=share.dtype).reshape(len(frames), -1)
    mean = (share * frames).sum(0)
    return [mean, (share * (frames - mean).square()).sum(0).sqrt()]


@task("07.expected_frames", LESSON + "'The gradient'", _expected_frames, draw_lattice, 30)
def expected_frames(ask: Examiner):
    mean, spread = _expected_frames(BLANK, LABEL)
    alpha, beta = textbook.rnnt_alphas(BLANK, LABEL), textbook.rnnt_betas(BLANK, LABEL)
    p, t = beta[0, 0].exp(), torch.arange(3.0, dtype=torch.float64)[:, None]
    flow = (alpha[:, :-1] + LABEL + beta[:, 1:] - beta[0, 0]).exp()
    gamma = (alpha + beta - beta[0, 0]).exp()[:, :-1]
    raw = (flow * p * t).sum(0)
    by_gamma = (gamma * t).sum(0)
    ask(BLANK[:, :2], LABEL[:, :1]).items(
        2, "two things must be returned: the expected frames, and their deviations"
    )
    ask(BLANK, LABEL).equals(
        [mean, spread],
        suspects={
            "the variance; its square root, the standard deviation, is wanted": [mean, spread.square()],
            "frames counted from 1": [mean + 1, spread],
            "the most probable frames; the expected ones are wanted": [flow.argmax(0).double(), spread],
            "the flows are not divided by Pr(y | x): they must sum to 1 for each label": [
                raw,
                (flow * p * (t - raw).square()).sum(0).sqrt(),
            ],
            "γ says how probable it is to be at a node; the flow through the label's arrow is wanted": [
                by_gamma,
                (gamma * (t - by_gamma).square()).sum(0).sqrt(),
            ],
            "the deviation is around the mean: this is the root of the mean square": [
                mean,
                (flow * t.square()).sum(0).sqrt(),
            ],
            "the deviations first": [spread, mean],
        },
    )
    late = torch.full((60, 2), 1e-9, dtype=torch.float64)
    late[:51, 0] = late[51:, 1] = late[50, 1] = 1
    out = torch.full((60, 1), 1e-9, dtype=torch.float64)
    late[50, 0], out[50, 0] = 1e-9, 1
    ask(late.log(), out.log()).equals(
        [torch.tensor([50.0]), torch.zeros(1)],
        "a label that is sure to come out at frame 50 deviates by 0; a mean of squares minus the squared mean"
        " may be less than 0 by rounding",
    )
    ask(BLANK[:, :1], NONE).equals([torch.zeros(0), torch.zeros(0)], "an empty target has no label")


def _within(log_blank, log_label, first, last):
    chosen = [
        score
        for frames, score in _paths(log_blank, log_label)
        if all(a <= t <= b for a, t, b in zip(first, frames, last, strict=True))
    ]
    return -torch.stack(chosen).logsumexp(0) if chosen else torch.tensor(torch.inf, dtype=log_blank.dtype)


def draw_limits(g):
    log_blank, log_label = draw_lattice(g)
    T, U = log_label.shape
    first = [integer(g, 0, T - 1) // 2 for _ in range(U)]
    return log_blank, log_label, first, [integer(g, frame, T - 1) for frame in first]


@task("07.within", LESSON + "'A trained transducer's paths'", _within, draw_limits, 40)
def within(ask: Examiner):
    anywhere = _within(BLANK, LABEL, [0, 0], [2, 2])
    ask(BLANK, LABEL, [0, 0], [2, 2]).equals(
        anywhere,
        suspects={
            "the log probability; the loss is minus it": -anywhere,
            "the last blank, which leaves the last frame, is missing": anywhere + BLANK[-1, -1],
            "divided by the probability of all paths; the sum over those within the limits is wanted": 0.0,
            "`last` is the last frame that is allowed, not the first that is not": _within(
                BLANK, LABEL, [0, 0], [1, 1]
            ),
            "`first` is the first frame that is allowed": _within(BLANK, LABEL, [1, 1], [2, 2]),
        },
    )
    expected = _within(BLANK, LABEL, [0, 1], [1, 2])
    ask(BLANK, LABEL, [0, 1], [1, 2]).equals(
        expected,
        suspects={
            "the limits are not used: this is the loss of all paths": anywhere,
            "`first` is not used": _within(BLANK, LABEL, [0, 0], [1, 2]),
            "`last` is not used": _within(BLANK, LABEL, [0, 1], [2, 2]),
            "the first label's limits hold for all": _within(BLANK, LABEL, [0, 0], [1, 1]),
            "the last label's limits hold for all": _within(BLANK, LABEL, [1, 1], [2, 2]),
        },
    )
    ask(BLANK, LABEL, [1, 0], [2, 0]).equals(
        torch.inf, "labels come out in order, so no path is within these limits: the loss is inf"
    )
    ask(BLANK[:, :1], NONE, [], []).equals(-BLANK[:, 0].sum(), "an empty target: the path of blanks")
