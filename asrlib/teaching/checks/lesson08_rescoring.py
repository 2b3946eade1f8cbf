"""Checkers of assignment 08, CTC against RNN-T: two models score one list of texts."""

from __future__ import annotations

import torch

from asrlib.losses import textbook
from asrlib.teaching.check import Examiner, task
from asrlib.teaching.exercise_data.draws import integer, labels, log_probs
from asrlib.teaching.exercise_data.rescoring import rescoring_lists

LESSON = "lesson 08, "


def _text_scores(y, p, texts):
    rows = []
    for text in texts:
        target = torch.tensor(text, dtype=torch.long)
        by_ctc = textbook.ctc_alphas(y, target)[-1, -2:].logsumexp(0)
        lattice = torch.stack([p[:, k] for k in [0, *text]], 1)
        blank, label = lattice[:, :, 0], lattice[:, torch.arange(len(text)), target]
        rows.append(torch.stack([by_ctc, textbook.rnnt_alphas(blank, label)[-1, -1] + blank[-1, -1]]))
    return torch.stack(rows)


def draw_texts(g):
    T, V = integer(g, 2, 6), integer(g, 2, 4)
    texts = [labels(g, integer(g, 0, 3), V, 0).tolist() for _ in range(integer(g, 1, 4))]
    return log_probs(g, T, V), log_probs(g, T, V, V), texts


@task("08.text_scores", LESSON + "'Two graphs, one sum', and lesson 07", _text_scores, draw_texts)
def text_scores(ask: Examiner):
    g = torch.Generator().manual_seed(80)
    y, p, texts = log_probs(g, 5, 4), log_probs(g, 5, 4, 4), [[1, 3], [2, 2]]
    expected = _text_scores(y, p, texts)
    length = torch.tensor([2.0, 2.0])[:, None]
    constant = torch.stack([expected[:, 0], _text_scores(y, p[:, :1].expand(5, 4, 4), texts)[:, 1]], 1)
    turned = torch.stack([expected[:, 0], _text_scores(y, p.transpose(1, 2), texts)[:, 1]], 1)
    mean, flat = expected / length, _text_scores(y, p.transpose(1, 2).log_softmax(-1), texts)
    ask(y, p, texts).equals(
        expected,
        suspects={
            "losses: ln P is minus the loss": -expected,
            "the transducer's column first": expected.flip(1),
            "divided by the number of labels: `reduction` is the mean's": mean,
            "CTC's is divided by the number of labels: `reduction` is the mean's": torch.stack(
                [mean[:, 0], expected[:, 1]], 1
            ),
            "(2, N); a row a text is wanted": expected.T,
            "the lattice is the same for every text: row u must be that of label number u - 1": constant,
            "log_p[t, k] is what is said *after* k; the two last axes are exchanged": turned,
            "log_p[t, k] is what is said *after* k; here the two last axes are exchanged": flat,
            "probabilities; natural logarithms are wanted": expected.exp(),
        },
    )
    ask(y, p, [[]]).equals(_text_scores(y, p, [[]]), "the empty text: one blank a frame")
    ask(y, p, [[1], [1, 2, 3]]).equals(
        _text_scores(y, p, [[1], [1, 2, 3]]), "texts of several lengths: no padding may count"
    )
    ask(y[:2], p[:2], [[1, 1]]).equals(
        _text_scores(y[:2], p[:2], [[1, 1]]), "CTC has no path here: ln 0 is -inf; the transducer has"
    )


def _single(*rows):
    """Utterances of a dev list: the scores' rows, and which text is right (errors 0; the others 1)."""
    return [(torch.tensor(scores).double(), errors) for scores, errors in rows]


@task("08.choose", LESSON + "'When each wins'")
def choose(ask: Examiner):
    only_ctc = _single(
        ([[-1.0, -5.0], [-2.0, -1.0]], torch.tensor([0, 2])),
        ([[-9.0, -1.0], [-3.0, -8.0]], torch.tensor([1, 0])),
    )
    test = [torch.tensor([[-4.0, -1.0], [-3.2, -2.0], [-5.0, -0.5]]).double()]
    ask(only_ctc, test).equals(
        [1],
        suspects={
            "on these dev utterances CTC alone is right; here the transducer is believed, or the worst text"
            " is taken": [2],
            "another weight serves the dev utterances better: here the two scores count about the same": [0],
        },
    )
    only_rnnt = [(scores.flip(1), errors) for scores, errors in only_ctc]
    ask(only_rnnt, [test[0].flip(1)]).equals(
        [1], "on these dev utterances the transducer alone is right, and must have all of the weight"
    )
    both = _single(
        ([[-1.0, -9.0], [-4.0, -4.0], [-9.0, -1.0]], torch.tensor([1, 0, 1])),
        ([[-2.0, -2.5], [-1.0, -6.0], [-6.0, -1.5]], torch.tensor([0, 1, 1])),
    )
    ask(both, [scores for scores, _ in both] * 2).equals(
        [1, 0, 1, 0],
        "no model is right alone on these dev utterances, both together are: the weight lies between 0 and 1",
    )
    count = _single(
        ([[-1.0, -4.0], [-2.0, -1.0]], torch.tensor([0, 5])),
        ([[-2.0, -1.0], [-1.0, -2.0]], torch.tensor([0, 1])),
        ([[-2.0, -1.0], [-1.0, -2.0]], torch.tensor([0, 1])),
    )
    ask(count, [torch.tensor([[-1.0, -4.0], [-2.0, -1.0]]).double()]).equals(
        [0], "the weight is chosen by the number of *errors* in dev, not of utterances that are not perfect"
    )
    _expect_lower_rate(ask)


def _expect_lower_rate(ask):
    """The chosen texts have three quarters of the errors of the better model alone, on held-out lists."""
    dev, held = rescoring_lists(integer(ask.generator, 0, 10**6))
    got = ask(dev, [scores for scores, _, _ in held]).items(
        len(held), f"one number for each of the {len(held)} test utterances must be returned"
    )
    words = sum(count for *_, count in held)

    def rate(chosen):
        return 100 * sum(int(errors[int(n)]) for n, (_, errors, _) in zip(chosen, held, strict=True)) / words

    try:
        yours = rate(got)
    except (IndexError, TypeError, ValueError):
        raise ask.because("what is returned must be numbers of texts, from 0") from None
    alone = [rate([int(scores[:, column].argmax()) for scores, _, _ in held]) for column in (0, 1)]
    if yours > 0.75 * min(alone):
        raise ask.because(
            f"on {len(held)} held-out utterances your texts have a WER of {yours:.1f} %; CTC alone"
            f" {alone[0]:.1f}, the transducer alone {alone[1]:.1f} %. Three quarters of the better one,"
            f" {0.75 * min(alone):.1f} %, are asked for: which share of each score serves the dev utterances"
            " best?"
        )
