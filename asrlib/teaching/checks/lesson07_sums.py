"""Checkers of assignment 07, RNN-T: sums over all paths, loss and gradient."""

from __future__ import annotations

import torch

from asrlib.losses import rnnt, textbook
from asrlib.teaching.check import Examiner, task
from asrlib.teaching.exercise_data.draws import integer, labels, normal

LESSON = "lesson 07, "
BATCHES = "lesson 07b, 'A batch, diagonal by diagonal'"
BLANK = torch.tensor([[0.6, 0.5, 0.9], [0.5, 0.4, 0.8], [0.3, 0.6, 0.7]], dtype=torch.float64).log()
LABEL = torch.tensor([[0.3, 0.4], [0.4, 0.5], [0.6, 0.3]], dtype=torch.float64).log()
NONE = torch.zeros(3, 0, dtype=torch.float64)


def draw_logits(g):
    T, U, V = integer(g, 1, 5), integer(g, 0, 4), integer(g, 2, 5)
    blank = integer(g, 0, V - 1)
    return 1.5 * normal(g, T, U + 1, V), labels(g, U, V, blank), blank


def draw_lattice(g):
    return textbook.rnnt_scores(*draw_logits(g))


@task("07.rnnt_scores", LESSON + "'The lattice'", lambda *a: list(textbook.rnnt_scores(*a)), draw_logits)
def rnnt_scores(ask: Examiner):
    g = torch.Generator().manual_seed(1)
    z, l = normal(g, 3, 3, 4), torch.tensor([1, 3])
    blank, label = textbook.rnnt_scores(z, l, blank=0)
    ask(z, l).items(2, "two tables must be returned: log_blank, log_label")
    p = z.softmax(-1)
    u = torch.arange(2)
    ask(z, l).equals(
        [blank, label],
        suspects={
            "the logits themselves; they must go through a log_softmax over V": [z[..., 0], z[:, u, l]],
            "probabilities; natural logarithms are wanted": [p[..., 0], p[:, u, l]],
            "log_softmax over the wrong axis": [
                z.log_softmax(1)[..., 0],
                z.log_softmax(1)[:, u, l],
            ],
            "log_softmax over frames": [z.log_softmax(0)[..., 0], z.log_softmax(0)[:, u, l]],
            "at u labels out the next label is number u from 0: here they are shifted by one": [
                blank,
                z.log_softmax(-1)[:, u + 1, l],
            ],
            "the label's table first": [label, blank],
        },
    )
    ask(z, l - 1, blank=3).equals(
        list(textbook.rnnt_scores(z, l - 1, blank=3)), "the blank is the argument `blank`, not always 0"
    )


def _loss(logits, targets, frames, lengths, blank=0):
    return rnnt.rnnt_loss(logits, targets, frames, lengths, blank=blank, reduction="none")


def draw_batch(g):
    B, T, U, V = integer(g, 1, 3), integer(g, 1, 5), integer(g, 0, 3), integer(g, 2, 5)
    blank = integer(g, 0, V - 1)
    z = 1.5 * normal(g, B, T, U + 1, V)
    targets = torch.stack([labels(g, U, V, blank) for _ in range(B)])
    frames = torch.tensor([integer(g, 1, T) for _ in range(B)])
    return z, targets, frames, torch.tensor([integer(g, 0, U) for _ in range(B)]), blank


@task("07.loss", BATCHES, _loss, draw_batch)
def loss(ask: Examiner):
    g = torch.Generator().manual_seed(2)
    z, l = normal(g, 2, 4, 3, 5), torch.tensor([[1, 4], [3, 3]])
    full = torch.tensor([4, 4]), torch.tensor([2, 2])
    expected = _loss(z, l, *full)
    alpha = torch.stack(
        [
            (a := textbook.rnnt_scores(z[b], l[b], blank=0)) and textbook.rnnt_alphas(*a)[-1, -1]
            for b in range(2)
        ]
    )
    ask(z, l, *full).equals(
        expected,
        suspects={
            "the log probability; the loss is minus it": -expected,
            "the last blank, which leaves the last frame, is missing": -alpha,
            "the mean over the batch; one loss an utterance is wanted": expected.mean(),
            "the sum over the batch; one loss an utterance is wanted": expected.sum(),
            "divided by the number of labels": expected / 2,
        },
    )
    some = torch.tensor([4, 2]), torch.tensor([2, 1])
    ask(z, l, *some).equals(
        _loss(z, l, *some),
        suspects={
            "the padding counts: `frames` and `labels` are ignored": expected,
            "the padded frames count: `frames` is ignored": _loss(z, l, full[0], some[1]),
            "the padded labels count: `labels` is ignored": _loss(z, l, some[0], full[1]),
        },
    )
    anything = torch.tensor([[1, 4], [3, 99]])
    ask(z, anything, *some).equals(
        _loss(z, l, *some), "the padding holds anything, here the label 99: cut it off before it is used"
    )
    none = torch.tensor([3, 1]), torch.tensor([0, 0])
    ask(z, l, *none).equals(_loss(z, l, *none), "an empty target: its path is one blank a frame")
    ask(z, l - 1, *some, blank=4).equals(
        _loss(z, l - 1, *some, blank=4), "the blank is the argument `blank`, not always 0"
    )


def _gradient(logits, targets, blank=0):
    z = logits.clone().requires_grad_()
    T, U1, _ = z.shape
    value = rnnt.rnnt_loss(
        z[None], targets[None], torch.tensor([T]), torch.tensor([U1 - 1]), blank=blank, reduction="sum"
    )
    (grad,) = torch.autograd.grad(value, z)
    return grad


@task("07.gradient", LESSON + "'The gradient'", _gradient, draw_logits, autograd=False)
def gradient(ask: Examiner):
    g = torch.Generator().manual_seed(3)
    z, l = normal(g, 4, 3, 5), torch.tensor([2, 4])
    expected = _gradient(z, l)
    gamma = rnnt.rnnt_posteriors(z[None], l[None], blank=0)[0].to(z.dtype)
    through = z.softmax(-1) * gamma[..., None]
    p = float(textbook.rnnt_brute_force(*textbook.rnnt_scores(z, l, blank=0)).exp())
    last = expected.clone()
    last[-1, -1, 0] += gamma[-1, -1]
    late = expected.clone()
    late[-1, -1] -= through[-1, -1]
    ask(z, l).equals(
        expected,
        suspects={
            "the sign is turned": -expected,
            "the flows alone, the derivative by log probabilities: γ · softmax is missing": expected
            - through,
            "γ · softmax alone: the flows that leave by blank and label are missing": through,
            "softmax without γ: nodes that no path visits must not learn": expected - through + z.softmax(-1),
            "not divided by Pr(y | x)": expected * p,
            "the blank that leaves the last frame is missing": last,
            "the last node's flow is missing": torch.where(last == late, last, late + last - expected),
        },
    )
    ask(z[:, :1], l[:0]).equals(_gradient(z[:, :1], l[:0]), "an empty target: blanks only")
    ask(z[:1], l).equals(_gradient(z[:1], l), "one frame: two labels, then the last blank")
    ask(z, l - 1, blank=4).equals(
        _gradient(z, l - 1, blank=4), "the blank is the argument `blank`, not always 0"
    )


def _alphas(blank, label, combine=torch.logaddexp):
    T, rows = blank.shape
    alpha = torch.full((T, rows), -torch.inf, dtype=blank.dtype)
    alpha[0, 0] = 0
    for t in range(T):
        for u in range(rows):
            ways = [alpha[t - 1, u] + blank[t - 1, u]] * (t > 0)
            ways += [alpha[t, u - 1] + label[t, u - 1]] * (u > 0)
            if ways:
                alpha[t, u] = ways[0] if len(ways) == 1 else combine(*ways)
    return alpha


@task("07.fast_alphas", BATCHES, textbook.rnnt_alphas, draw_lattice)
def fast_alphas(ask: Examiner):
    expected = textbook.rnnt_alphas(BLANK, LABEL)
    ask(BLANK, LABEL).equals(
        expected,
        suspects={
            "α and β are exchanged": textbook.rnnt_betas(BLANK, LABEL),
            "the last blank is counted: α ends at (t, u), before anything leaves it": expected + BLANK,
            "blanks read at the frame they lead to, not the one they leave": _alphas(
                BLANK.roll(-1, 0), LABEL
            ),
            "labels read at the frame before: a label is a step up within its frame": _alphas(
                BLANK, LABEL.roll(1, 0)
            ),
            "the last node, (T - 1, U), is missing": torch.where(
                torch.arange(9).reshape(3, 3) == 8, -torch.inf, expected
            ),
            "the best way: all ways add up, by logaddexp": _alphas(BLANK, LABEL, torch.maximum),
            "the sum of logarithms is a product; probabilities add by logaddexp": _alphas(
                BLANK, LABEL, torch.add
            ),
            "probabilities; natural logarithms are wanted": expected.exp(),
        },
    )
    ask(BLANK[:, :1], NONE).equals(
        textbook.rnnt_alphas(BLANK[:, :1], NONE), "an empty target: the only way is from frame to frame"
    )
    ask(BLANK[:1], LABEL[:1]).equals(
        textbook.rnnt_alphas(BLANK[:1], LABEL[:1]),
        "one frame: all labels come out at frame 0, without a blank",
    )
    far = torch.full((300, 3), -5.0, dtype=torch.float64)
    ask(far, far[:, 1:]).equals(
        textbook.rnnt_alphas(far, far[:, 1:]), "300 frames: products vanish to 0; stay in the logarithm"
    )
    g = torch.Generator().manual_seed(4)
    blank, label = -normal(g, 100, 51).abs(), -normal(g, 100, 50).abs()
    got = ask.count(blank, label)
    got.equals(textbook.rnnt_alphas(blank, label))
    advice = "let one operation compute all nodes of a diagonal, or of a frame, at once"
    got.does_at_most("100 frames and 50 labels, which are 150 diagonals", advice, 3000, 9000)
