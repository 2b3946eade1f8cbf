"""Checkers of assignment 11: decode and measure."""

from __future__ import annotations

import math

import jiwer
import torch

from asrlib.losses import textbook
from asrlib.teaching.check import Examiner, task
from asrlib.teaching.exercise_data.draws import integer, log_probs, normal, number
from asrlib.teaching.exercise_data.posteriors import noisy_views

LESSON = "lesson 11, "
WORDS = "one two three".split()


def _edits(said, heard):
    if not said:
        return len(heard)
    found = jiwer.process_words(" ".join(said), " ".join(heard))
    return found.substitutions + found.deletions + found.insertions


def draw_texts(g):
    return tuple([WORDS[integer(g, 0, 2)] for _ in range(integer(g, 0, 6))] for _ in range(2))


@task("11.edit_distance", LESSON + "'The word error rate by hand'", _edits, draw_texts, 60)
def edit_distance(ask: Examiner):
    ask("a b c".split(), "a x c".split()).equals(
        1,
        suspects={
            "a substitution is one edit, not a deletion and an insertion": 2,
            "the number of words that agree": 2,
            "a rate; the number of edits is wanted": 1 / 3,
        },
    )
    ask("a b c d".split(), "b c d".split()).equals(
        1,
        suspects={
            "words are compared place by place; a missing word moves all behind it": 4,
            "compared place by place, and the length's difference": 3,
        },
    )
    ask("a b".split(), "x a b y".split()).equals(2, "insertions cost one each")
    ask("a b c".split(), []).equals(3, "nothing heard: every word is a deletion")
    ask([], "a b".split()).equals(2, "nothing said: every word is an insertion")
    ask("a b".split(), "b a".split()).equals(2, "exchanged words are two edits; the order counts")
    ask([], []).equals(0)


def draw_counts(g):
    lengths = [integer(g, 1, 20) for _ in range(integer(g, 1, 6))]
    return [integer(g, 0, n + 3) for n in lengths], lengths


@task(
    "11.corpus_wer",
    LESSON + "'Pooled or averaged'",
    lambda e, n: 100 * math.fsum(e) / math.fsum(n),
    draw_counts,
)
def corpus_wer(ask: Examiner):
    ask([1, 0], [1, 9]).equals(
        10.0,
        suspects={
            "the mean of the utterances' rates; errors and words are summed first": 50.0,
            "a ratio; per cent are wanted": 0.1,
            "the errors an utterance": 50,
        },
    )
    ask([5], [2]).equals(250.0, "more than 100 % is possible: insertions have no limit")


def _bootstrap(edits_a, edits_b, lengths, draws):
    rows = []
    for row in draws.tolist():
        a, b, n = (sum(float(x[i]) for i in row) for x in (edits_a, edits_b, lengths))
        rows.append(100 * a / n - 100 * b / n)
    return torch.tensor(rows, dtype=torch.float64)


def draw_bootstrap(g):
    N = integer(g, 1, 6)
    whole = [torch.randint(0, 5, (N,), generator=g) for _ in range(2)]
    return (
        *whole,
        torch.randint(1, 9, (N,), generator=g),
        torch.randint(0, N, (integer(g, 1, 4), N), generator=g),
    )


@task("11.bootstrap", "lesson 11b, 'Is a difference a difference?'", _bootstrap, draw_bootstrap)
def bootstrap(ask: Examiner):
    a, b, n = torch.tensor([3, 0, 1]), torch.tensor([1, 1, 1]), torch.tensor([10, 2, 4])
    draws = torch.tensor([[0, 1, 2], [0, 0, 1], [2, 2, 2]])
    expected = _bootstrap(a, b, n, draws)
    each = 100 * ((a - b) / n)[draws].mean(1)
    ask(a, b, n, draws).equals(
        expected,
        suspects={
            "B minus A": -expected,
            "a ratio; per cent are wanted": expected / 100,
            "the mean of the utterances' rates; errors and words are summed first": each,
            "divided by the words of the whole set, not by those drawn": 100
            * (a - b)[draws].sum(1)
            / n.sum(),
            "the WER of A alone": 100 * a[draws].sum(1) / n[draws].sum(1),
            "summed over the rows; one difference a row is wanted": 100
            * (a - b)[draws].sum(0)
            / n[draws].sum(0),
        },
    )


def _rescore(audio, language, words, weight, bonus):
    score = torch.tensor(audio) + weight * torch.tensor(language) + bonus * torch.tensor(words)
    return int(score.argmax())


def draw_beam(g):
    n = integer(g, 1, 6)
    audio, language = (-9 * torch.rand(n, generator=g, dtype=torch.float64) for _ in range(2))
    words = [integer(g, 0, 9) for _ in range(n)]
    return audio.tolist(), language.tolist(), words, number(g, 0, 2), number(g, -1, 2)


@task("11.rescore", LESSON + "'Fusion'", _rescore, draw_beam, 60)
def rescore(ask: Examiner):
    ask([-3.0, -1.0, -4.0], [-0.5, -6.0, -9.0], [2, 3, 4], 0.0, 0.0).equals(
        1,
        suspects={
            "the weight is on the sound; with weight 0 the sound alone decides": 0,
            "the smallest sum; log probabilities are better the larger they are": 2,
            "the score; the number of the text is wanted": -1.0,
        },
    )
    audio, language, words = [-1.0, -1.5, -4.0], [-9.0, -6.0, -0.5], [2, 3, 4]
    ask(audio, language, words, 0.0, 0.0).equals(0, "with weight 0 and bonus 0 the sound alone decides")
    ask(audio, language, words, 0.5, 0.0).equals(
        2,
        suspects={
            "the language model is not used": 0,
            "the index counts from 0": 3,
            "the weight is on the sound, too, or on the wrong one of the two": 1,
        },
    )
    ask(audio, language, words, 0.1, 0.0).equals(
        0, "the weight multiplies the language model's log probability"
    )
    ask([-1.0, -1.5], [0.0, 0.0], [1, 3], 0.5, 0.4).equals(1, "the bonus is added once for each word")
    ask([-1.0, -1.5], [0.0, 0.0], [1, 3], 0.5, -0.4).equals(0, "a negative bonus makes long texts dearer")


def draw_views(g):
    # sure ones, for how unsure ones are best combined is open
    return ((6 * normal(g, 1, integer(g, 0, 6), 4)).log_softmax(-1).repeat(5, 1, 1),)


@task(
    "11.hear",
    "lesson 11b, 'A test set', and assignment 06",
    lambda v: textbook.collapse(v[0].argmax(-1).tolist()),
    draw_views,
    10,
)
def hear(ask: Examiner):
    same = torch.full((5, 4, 3), 0.02, dtype=torch.float64)
    same[:, torch.arange(4), [1, 1, 0, 1]] = 0.96
    ask(same.log()).equals(
        [1, 1],
        suspects={
            "the path, not what it reads as: merge, then drop blanks": [1, 1, 0, 1],
            "merge first, drop the blanks then": [1],
            "blanks are dropped, but nothing is merged": [1, 1, 1],
        },
    )
    ask(torch.full((5, 1, 3), 1 / 3).log()[:, :0]).equals([], "no frames, no labels")
    errors = words = alone = 0
    for views, said in noisy_views():
        got = ask(views).value
        errors += _edits([str(k) for k in said], [str(int(k)) for k in got])
        best = textbook.collapse(views[0].argmax(-1).tolist())
        alone += _edits([str(k) for k in said], [str(k) for k in best])
        words += len(said)
    if 100 * errors / words > 23.5:
        raise ask.because(
            f"on the noisy clips your texts have a WER of {100 * errors / words:.1f} %, one view alone"
            f" {100 * alone / words:.1f} %; 23.5 % is asked for."
            " Which way of combining lets a sure view outvote unsure ones?"
        )


def _fused(y, lm, weight, width):
    """All texts by their paths' ends, in float64: the witness."""
    add = lambda *x: float(torch.tensor(x, dtype=torch.float64).logsumexp(0))  # noqa: E731
    beam = {(): (0.0, -math.inf)}

    def language(text):
        return sum(float(lm[a, b]) for a, b in zip((0, *text), text, strict=False))

    for frame in y.tolist():
        new: dict[tuple, tuple] = {}
        for text, (in_blank, in_label) in beam.items():
            ways = [(text, add(in_blank, in_label) + frame[0], -math.inf)]
            for k in range(1, len(frame)):
                if text and text[-1] == k:
                    ways += [
                        (text, -math.inf, in_label + frame[k]),
                        ((*text, k), -math.inf, in_blank + frame[k]),
                    ]
                else:
                    ways.append(((*text, k), -math.inf, add(in_blank, in_label) + frame[k]))
            for to, b, l in ways:
                old = new.get(to, (-math.inf, -math.inf))
                new[to] = add(old[0], b), add(old[1], l)
        ranked = sorted(new, key=lambda t: -(add(*new[t]) + weight * language(t)))
        beam = {t: new[t] for t in ranked[:width]}
    return list(next(iter(beam)))


def draw_fused(g):
    V = integer(g, 2, 4)
    width = (2, 4, 300)[integer(g, 0, 2)]
    return log_probs(g, integer(g, 1, 5), V), log_probs(g, V, V), number(g, 0, 2), width


@task("11.fused_beam", LESSON + "'Fusion' and 'Beam'", _fused, draw_fused, 40)
def fused_beam(ask: Examiner):
    two = torch.tensor([[0.1, 0.8, 0.1], [0.45, 0.4, 0.15]], dtype=torch.float64).log()
    ask(two, torch.zeros(3, 3, dtype=torch.float64), 1.0, 10).equals(
        [1],
        suspects={"two ways to one prefix are added up; here the later one takes the other's place": [1, 2]},
    )
    long = torch.tensor([[0.1, 0.9], [0.1, 0.9]], dtype=torch.float64).log()
    dear = torch.full((2, 2), -2.5, dtype=torch.float64)
    ask(long, dear, 1.0, 10).equals([1], "a label that lasts is written once, and asked of the language once")
    y = torch.tensor([[0.2, 0.45, 0.35], [0.9, 0.05, 0.05], [0.2, 0.4, 0.4]], dtype=torch.float64).log()
    lm = torch.tensor([[0.02, 0.18, 0.8], [0.1, 0.1, 0.8], [0.1, 0.8, 0.1]], dtype=torch.float64).log()
    alone = _fused(y, lm, 0.0, 50)
    ask(y, lm, 0.0, 50).equals(alone, "with weight 0 the sound alone decides")
    ask(y, lm, 1.0, 50).equals(
        _fused(y, lm, 1.0, 50),
        suspects={
            "the language model is not used": alone,
            "lm[j, k] is k after j: rows and columns are exchanged": _fused(y, lm.T, 1.0, 50),
            "the path, not the text": y.argmax(1).tolist(),
        },
    )
    ask(y, lm, 3.0, 50).equals(
        _fused(y, lm, 3.0, 50), "`weight` multiplies the language model's log probability"
    )
    ask(y, lm, 1.0, 1).equals(
        _fused(y, lm, 1.0, 1),
        "prefixes are kept by the sum of both scores after each frame, not only at the end",
    )
    weak = torch.tensor([[0.6, 0.4], [0.6, 0.4]], dtype=torch.float64).log()
    even = torch.zeros(2, 2, dtype=torch.float64)
    ask(weak, even, 1.0, 10).equals(
        [1], "different paths of one text are added: a∅, ∅a and aa together beat ∅∅"
    )
