"""Checkers of assignment 06, CTC: sums over all paths, loss and gradient."""

from __future__ import annotations

import math

import torch

from asrlib.losses import ctc, textbook
from asrlib.teaching.check import Examiner, task
from asrlib.teaching.exercise_data.draws import integer, labels, log_probs

LESSON = "lesson 06, "
TINY = torch.tensor(
    [[0.5, 0.4, 0.1], [0.3, 0.5, 0.2], [0.4, 0.2, 0.4], [0.3, 0.1, 0.6]], dtype=torch.float64
).log()
AB, AA = torch.tensor([1, 2]), torch.tensor([1, 1])


def draw_path(g):
    blank = integer(g, 0, 3)
    return [integer(g, 0, 3) for _ in range(integer(g, 0, 12))], blank


@task(
    "06.collapse",
    LESSON + "'The collapse rule'",
    lambda path, blank: textbook.collapse(path, blank),
    draw_path,
)
def collapse(ask: Examiner):
    ask([3, 3, 3]).equals([3], "a label that lasts several frames is one label: equal neighbours are merged")
    ask([0, 1, 0, 2, 0]).equals([1, 2], "blanks are not part of the text")
    ask([1, 0, 1]).equals([1, 1], "a blank keeps a doubled label apart: merge first, drop the blanks then")
    ask([2, 1, 2]).equals(
        [2, 1, 2], "only neighbours are merged; a label may come again later and in any order"
    )
    ask([0, 0, 1], blank=1).equals([0], "the blank is the argument `blank`, not always 0")
    ask([]).equals([], "no frames read as the empty text")


def draw_utterance(g):
    """Frames enough for a path, most of the time."""
    T, V = integer(g, 1, 7), integer(g, 2, 5)
    blank = integer(g, 0, V - 1)
    return log_probs(g, T, V), labels(g, min(T, integer(g, 0, 4)), V, blank), blank


def draw_possible(g):
    while True:
        y, l, blank = draw_utterance(g)
        if len(y) >= len(l) + int((l[1:] == l[:-1]).sum()):
            return y, l, blank


@task("06.ctc_alphas", LESSON + "'α: summing from the left'", textbook.ctc_alphas, draw_utterance)
def ctc_alphas(ask: Examiner):
    expected = textbook.ctc_alphas(TINY, AB)
    got = ask(TINY, AB).equals(expected, suspects=_alpha_suspects(TINY, AB))
    if got.dtype not in (torch.float32, torch.float64):
        raise ask.because("α must be a tensor of floats")
    ask(TINY, AA).equals(
        textbook.ctc_alphas(TINY, AA), "between two equal labels the blank must not be skipped", {}
    )
    ask(TINY, AB[:0]).equals(textbook.ctc_alphas(TINY, AB[:0]), "an empty target has one state, the blank")
    moved = TINY.roll(-1, 1)
    ask(moved, AB - 1, blank=2).equals(expected, "the blank is the argument `blank`, not always 0")
    long = torch.full((400, 10), 0.1, dtype=torch.float64).log()
    ask(long, AB).equals(
        textbook.ctc_alphas(long, AB),
        "400 frames: products of probabilities vanish, and their logarithm is -inf; stay in the logarithm",
    )


def _alpha_suspects(y, l):
    """What comes out if one rule of the recursion is wrong."""
    states = [0, *(k for label in l.tolist() for k in (label, 0))]

    def alphas(begins=2, skip=lambda s: states[s] != 0 and states[s] != states[s - 2], emit=True, step=True):
        T, S = len(y), len(states)
        a = torch.full((T, S), -math.inf, dtype=y.dtype)
        a[0, :begins] = y[0, states[:begins]]
        for t in range(1, T):
            for s in range(S):
                before = [a[t - 1, s]] + [a[t - 1, s - 1]] * (step and s > 0)
                before += [a[t - 1, s - 2]] * bool(s > 1 and skip(s))
                a[t, s] = torch.stack(before).logsumexp(0) + (y[t, states[s]] if emit else 0)
        return a

    return {
        "a path may also begin in the first label, without a blank before it": alphas(begins=1),
        "no path may begin in the second blank: at frame 0 the first two states are open": alphas(begins=3),
        "a blank between two different labels may be skipped: s - 2 is missing": alphas(skip=lambda s: False),
        "a path skips only to a label, never to a blank": alphas(skip=lambda s: True),
        "a skip of two from blank to blank would skip a label": alphas(skip=lambda s: states[s] == 0),
        "the frame's own log probability is missing from frame 1 on": alphas(emit=False),
        "the step from s - 1 is missing": alphas(step=False),
        "β or α of the reversed utterance": textbook.ctc_betas(y, l),
    }


@task("06.ctc_betas", LESSON + "'β: summing from the right'", textbook.ctc_betas, draw_utterance)
def ctc_betas(ask: Examiner):
    expected = textbook.ctc_betas(TINY, AB)
    states = [0, 1, 0, 2, 0]
    ask(TINY, AB).equals(
        expected,
        suspects={
            "β without frame t: here β(t, s) counts the frame t itself, too": expected - TINY[:, states],
            "α of the reversed frames, not turned around again": expected.flip(0, 1),
            "turned around in time, but the states are still backwards": expected.flip(1),
            "turned around in states, but the frames are still backwards": expected.flip(0),
            "α: it sums beginnings, not ends": textbook.ctc_alphas(TINY, AB),
            "the frames are reversed but the target is not": textbook.ctc_alphas(TINY.flip(0), AB).flip(0, 1),
            "the target is reversed but the frames are not": textbook.ctc_alphas(TINY, AB.flip(0)).flip(0, 1),
        },
    )
    ask(TINY, AA).equals(textbook.ctc_betas(TINY, AA), "a blank between equal labels is not skipped")
    ask(TINY, AB[:0]).equals(textbook.ctc_betas(TINY, AB[:0]), "an empty target has one state, the blank")
    moved = TINY.roll(-1, 1)
    ask(moved, AB - 1, blank=2).equals(expected, "the blank is the argument `blank`, not always 0")


def _loss(y, l, blank=0):
    return -textbook.ctc_alphas(y, l, blank)[-1, -2:].logsumexp(0)


@task("06.loss", LESSON + "'Into the logarithm' and 'The trellis'", _loss, draw_utterance)
def loss(ask: Examiner):
    last = textbook.ctc_alphas(TINY, AB)[-1]
    expected = -last[-2:].logsumexp(0)
    ask(TINY, AB).equals(
        expected,
        suspects={
            "the log probability; the loss is minus it": -expected,
            "a path may end in the last label, too: the last two states count": -last[-1],
            "a path may end in the last blank, too: the last two states count": -last[-2],
            "all states of the last frame: but the last two have not said the target": -last.logsumexp(0),
            "the probability: the loss is minus its natural logarithm": (-expected).exp(),
            "the sum of two logarithms is that of a product: add by logsumexp": -last[-2:].sum(),
            "the most probable path's: the sum over the last two states is wanted": -last[-2:].max(),
            "divided by the number of labels; here the loss is that of the utterance": expected / 2,
            "divided by the number of frames; here the loss is that of the utterance": expected / 4,
        },
    )
    ask(TINY, AB[:0]).equals(
        -TINY[:, 0].sum(), "the empty target: its one path is all blank, and there is one state, not two"
    )
    ask(TINY[:2], AA).equals(math.inf, "a a in two frames has no path: probability 0, loss inf, not NaN")
    ask(TINY.roll(-1, 1), AB - 1, blank=2).equals(expected, "the blank is the argument `blank`, not always 0")


def _gradient(y, l, blank=0):
    return y.exp() - _posterior(y, l, blank)


def _posterior(y, l, blank=0):
    states = torch.full((2 * len(l) + 1,), blank)
    states[1::2] = l
    return torch.zeros_like(y).index_add_(1, states, ctc.ctc_posteriors(y, l, blank=blank).to(y.dtype))


@task("06.gradient", "lesson 06b, 'The gradient'", _gradient, draw_possible, autograd=False)
def gradient(ask: Examiner):
    expected, posterior = _gradient(TINY, AA), _posterior(TINY, AA)
    gamma = ctc.ctc_posteriors(TINY, AA)
    once = torch.zeros_like(TINY)
    once[:, [0, 1, 0, 1, 0]] = gamma.to(TINY.dtype)
    twice = (textbook.ctc_alphas(TINY, AA) + textbook.ctc_betas(TINY, AA) - float(-_loss(TINY, AA))).exp()
    states = torch.tensor([0, 1, 0, 1, 0])
    p = float((-_loss(TINY, AA)).exp())
    ask(TINY, AA).equals(
        expected,
        suspects={
            "posterior minus softmax: the sign is turned": -expected,
            "the derivative by the log probabilities; by the logits the softmax is added": -posterior,
            "the posterior alone": posterior,
            "states that show the same label overwrite each other: they add up": TINY.exp() - once,
            "α and β both count frame t: divide by y once": TINY.exp()
            - torch.zeros_like(TINY).index_add_(1, states, twice),
            "not divided by p(l | x): γ must sum to 1 at every frame": TINY.exp() - posterior * p,
            "softmax and posterior of which one is in logarithms": TINY - posterior,
        },
    )
    ask(TINY, AB).equals(_gradient(TINY, AB))
    ask(TINY, AB[:0]).equals(_gradient(TINY, AB[:0]), "an empty target: every frame should be blank")
    never = TINY.clone()
    never[1, 1] = -math.inf
    ask(never, AB).equals(
        _gradient(never, AB),
        "a label of probability 0 at one frame: no path passes there, so its γ is 0, and not 0 / 0",
    )
    ask(TINY.roll(-1, 1), AB - 1, blank=2).equals(
        _gradient(TINY, AB).roll(-1, 1), "the blank is the argument `blank`, not always 0"
    )
