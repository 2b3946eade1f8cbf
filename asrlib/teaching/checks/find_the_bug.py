"""Checkers of the pack "Find the bug"."""

from __future__ import annotations

import math

import torch

from asrlib.losses import ctc
from asrlib.teaching.check import Examiner, task
from asrlib.teaching.checks.lesson06_decoding import best_text, draw_beam
from asrlib.teaching.checks.lesson06_sums import draw_possible
from asrlib.teaching.checks.lesson07_decoding import draw_scores, greedy_text
from asrlib.teaching.exercise_data.draws import integer, log_probs, normal, number

LOOK = "the symptom above it, "


def _loss(y, l, blank):
    return ctc.ctc_loss(y[:, None], l[None], [len(y)], [len(l)], blank=blank, reduction="sum")


@task(
    "bug.utterance_loss",
    "which arguments the call inside gets (lesson 06b, 'Error clinic')",
    _loss,
    draw_possible,
)
def utterance_loss(ask: Examiner):
    g = torch.Generator().manual_seed(1)
    y, l = log_probs(g, 6, 4), torch.tensor([1, 2])
    mean = "the loss of a mean: here it is that of the utterance, whatever its length"
    ask(y, l, 0).equals(
        _loss(y, l, 0), "with blank 0 the shipped function was right", {mean: _loss(y, l, 0) / 2}
    )
    expected = _loss(y, l, 3)
    ask(y, l, 3).equals(
        expected,
        suspects={
            "still the loss with blank 0, whatever is passed": _loss(y, l, 0),
        },
    )


@task(
    "bug.greedy",
    "when the search goes on to the next frame (lesson 07, 'Decoding: greedy')",
    greedy_text,
    draw_scores,
    60,
)
def greedy(ask: Examiner):
    def says(*rows):
        return torch.nn.functional.one_hot(torch.tensor(rows), 3).double()

    ask(says([0, 0, 0], [1, 0, 0])).equals(
        [1],
        suspects={
            "at a blank the search goes on by one frame, and does not leave out the next one": [],
            "blank is part of the text": [0, 1, 0],
        },
    )
    ask(says([1, 2, 0], [0, 0, 0])).equals(
        [1, 2],
        suspects={
            "still one label a frame: after a label the search must ask the same frame again": [1],
            "blank is part of the text": [1, 2, 0],
        },
    )
    ask(says([1, 1, 1], [0, 0, 0])).equals(
        [1, 1, 1], "max_symbols bounds the labels of a frame, not of the text"
    )
    ask(says([1, 1, 1], [2, 2, 2]), max_symbols=2).equals(
        [1, 1, 2, 2], "the labels of a frame are counted from 0 at each frame"
    )


@task("bug.beam", "which labels a prefix may go on with (lesson 06, 'Decoding')", best_text, draw_beam)
def beam(ask: Examiner):
    quiet = torch.tensor([[0.9, 0.1], [0.8, 0.2]], dtype=torch.float64).log()
    ask(quiet, 50).equals([], "a prefix may also stay as it is: blank, too, is a label to go on with")
    lasting = torch.tensor([[0.1, 0.9]] * 3, dtype=torch.float64).log()
    ask(lasting, 50).equals(
        [1], "a label that lasts is read once: without a blank between, the prefix stays as it is"
    )
    apart = torch.tensor([[0.1, 0.8, 0.1], [0.32, 0.3, 0.38]], dtype=torch.float64).log()
    ask(apart, 50).equals(
        [1],
        suspects={"still greedy: only the best label of each frame is ever considered": [1, 2]},
    )
    weak = torch.tensor([[0.6, 0.4], [0.6, 0.4]], dtype=torch.float64).log()
    ask(weak, 50).equals(
        [1],
        suspects={
            "only the best prefix is kept after each frame, not the best `width`": [],
            "a label that lasts is read twice": [1, 1],
        },
    )
    ask(weak, 1).equals(best_text(weak, 1), "`width` says how many prefixes are kept after each frame")
    ask(weak.flip(1), 50, blank=1).equals([0], "the blank is the argument `blank`, not always 0")


@task(
    "bug.time_major",
    "what `view` does to the order in memory",
    lambda x: x.permute(2, 0, 1),
    lambda g: (normal(g, integer(g, 1, 3), integer(g, 1, 4), integer(g, 1, 5)),),
)
def time_major(ask: Examiner):
    x = torch.arange(24.0).reshape(2, 3, 4)
    ask(x).equals(
        x.permute(2, 0, 1),
        suspects={
            "still the memory read in its old order: the axes must be exchanged, not only renamed": x.reshape(
                4, 2, 3
            ),
            "(T, C, N): utterances and channels are exchanged": x.permute(2, 1, 0),
            "(C, N, T)": x.permute(1, 0, 2),
            "channels are not on the last axis": x.transpose(0, 2).reshape(4, 2, 3),
        },
    )


def _squeeze(x, lengths):
    return torch.stack([utterance[: int(n)].mean(0) for utterance, n in zip(x, lengths, strict=True)])


def draw_padded(g):
    lengths = torch.tensor([integer(g, 1, 6) for _ in range(integer(g, 1, 3))])
    x = normal(g, len(lengths), int(lengths.max()) + integer(g, 0, 3), 2)
    return x * (torch.arange(x.shape[1]) < lengths[:, None])[..., None], lengths


@task("bug.squeeze", "what the sum is divided by (lesson 03, 'Masked')", _squeeze, draw_padded)
def squeeze(ask: Examiner):
    x, lengths = torch.ones(2, 4, 3, dtype=torch.float64), torch.tensor([4, 2])
    x[1, :2], x[1, 2:] = 3, 0
    ask(x, lengths).equals(
        _squeeze(x, lengths),
        suspects={
            "still the mean over the padding, too": x.mean(1),
            "the sum, not the mean": x.sum(1),
            "divided by the longest length for all": x.sum(1) / 4.0,
            "one mean for the whole batch": (x.sum((0, 1)) / 6).expand(2, 3),
            "divided by the number of utterances": x.sum(1) / 2.0,
        },
    )
    x[0, 1] = 0
    ask(x, lengths).equals(
        _squeeze(x, lengths),
        "a frame of zeros inside the utterance counts, too: `lengths` says what is padding",
    )


def _time_mask(features, u, v, max_width=100, mask_factor=0.05):
    T = len(features)
    width = math.floor(u * (min(max_width, math.floor(mask_factor * T)) + 1))
    start = math.floor(v * (T - width + 1))
    t = torch.arange(T)[:, None]
    return torch.where((t >= start) & (t < start + width), 0.0, features)


def draw_mask(g):
    T = integer(g, 1, 80)
    width, factor = integer(g, 1, 30), (0.05, 0.2, 0.5, 1.0)[integer(g, 0, 3)]
    return normal(g, T, 2), number(g, 0, 1), number(g, 0, 1), width, factor


@task("bug.time_mask", "where mask_factor is used (lesson 01b, 'SpecAugment')", _time_mask, draw_mask, 40)
def time_mask(ask: Examiner):
    x = torch.ones(60, 1, dtype=torch.float64)
    got = ask(x, 0.99, 0.5).value
    hidden = int((torch.as_tensor(got) == 0).sum())
    why = {
        3: "the start is drawn from where the band fits, T - width + 1 places",
        60: "mask_factor still does nothing: up to 60 of 60 frames vanish",
    }
    ask(x, 0.99, 0.5).equals(
        _time_mask(x, 0.99, 0.5), why.get(hidden, f"{hidden} frames are masked; 5 % of 60 are 3")
    )
    long = torch.ones(600, 1, dtype=torch.float64)
    ask(long, 0.99, 0.2, 10).equals(
        _time_mask(long, 0.99, 0.2, 10), "max_width bounds the mask, too: the smaller of the two counts"
    )
    ask(x, 0.99, 0.99, 100, 0.5).equals(
        _time_mask(x, 0.99, 0.99, 100, 0.5),
        "the start is drawn from where the band fits, T - width + 1 places",
    )
    ask(x, 0.0, 0.5).equals(x, "a width of 0 masks nothing")


WORDS = "no yes stop go up down left right on off".split()


def _label_map(folders):
    return {word: sum(other <= word for other in folders) for word in folders}


def draw_folders(g):
    order = torch.randperm(len(WORDS), generator=g)[: integer(g, 0, 10)]
    return ([WORDS[i] for i in order],)


@task("bug.label_map", LOOK + "and what the order of the folders depends on", _label_map, draw_folders)
def label_map(ask: Examiner):
    words = ["yes", "no", "stop"]
    first, second = ask(words).value, ask(words[::-1]).value
    if not isinstance(first, dict) or set(first) != set(words):
        raise ask.because("a dictionary {word: number} of all words must be returned")
    if first != second:
        raise ask.because(
            "the same folders in another order give another map: the numbers still depend on it"
        )
    order = _label_map(WORDS)
    ask(WORDS).equals(
        order,
        "numbered in alphabetical order, not in one that the machine happens to have: a folder's or a set's",
        suspects={
            "numbers from 0: 0 is blank": {word: n - 1 for word, n in order.items()},
            "sorted backwards; in alphabetical order, as everywhere else": {
                word: 11 - n for word, n in order.items()
            },
        },
    )
    ask(words).equals(
        {"no": 1, "stop": 2, "yes": 3},
        suspects={
            "numbers from 0: 0 is blank": {"no": 0, "stop": 1, "yes": 2},
            "sorted backwards; in alphabetical order, as everywhere else": {"yes": 1, "stop": 2, "no": 3},
        },
    )


def draw_counts(g):
    lengths = [integer(g, 1, 30) for _ in range(integer(g, 1, 5))]
    return [integer(g, 0, n + 2) for n in lengths], lengths


@task(
    "bug.phone_error_rate",
    LOOK + "and lesson 11's corpus rate",
    lambda e, n: 100 * sum(e) / sum(n),
    draw_counts,
)
def phone_error_rate(ask: Examiner):
    ask([0, 2], [98, 2]).equals(
        2.0,
        suspects={
            "still the mean of the utterances' rates, in which two phones count as much as 98": 50.0,
            "a ratio; per cent are wanted": 0.02,
            "the mean, and a ratio": 0.5,
            "the errors an utterance, not a phone": 100.0,
        },
    )
    ask([3], [2]).equals(150.0, "insertions may make more errors than phones: nothing is cut off at 100 %")


def _rate(step, max_lr=0.0025, warmup=15000, width=640):
    return max_lr * min(step / warmup, math.sqrt(warmup / step))


def draw_step(g):
    return integer(g, 1, 3000), number(g, 1e-4, 1e-2), integer(g, 1, 1000), integer(g, 64, 1024)


@task(
    "bug.learning_rate",
    "what the rate is at step = warmup (lesson 09, 'The learning rate')",
    _rate,
    draw_step,
    40,
    tolerance=1e-6,
)
def learning_rate(ask: Examiner):
    ask(15000).equals(
        0.0025,
        suspects={
            "still the width's peak: max_lr is a bound that is never reached": 640**-0.5 * 15000**-0.5,
            "2.5e-3 times the shipped rate: the peak must be max_lr itself": 0.0025 * 640**-0.5 * 15000**-0.5,
        },
    )
    ask(15000, 0.005).equals(0.005, "twice the max_lr must give twice the peak")
    ask(7500).equals(0.00125, "halfway up the straight rise it is half of max_lr")
    ask(60000).equals(
        0.00125,
        suspects={
            "it stays at max_lr; behind the peak it falls like 1/sqrt(step)": 0.0025,
            "it falls like 1/step; like 1/sqrt(step) is wanted": 0.000625,
        },
    )


def _normalise(features, per_feature=False):
    axes = (0,) if per_feature else (0, 1)
    mean = features.mean(axes, keepdim=True)
    return (features - mean) / (features.var(axes, keepdim=True, correction=0).sqrt() + 1e-3)


@task(
    "bug.normalise",
    LOOK + "and which axis the mean is taken over (lesson 01b, 'Normalization')",
    _normalise,
    lambda g: (3 * normal(g, integer(g, 2, 9), 4) + 5 * normal(g, 4), bool(integer(g, 0, 1))),
)
def normalise(ask: Examiner):
    x = torch.tensor([[1.0, 10.0], [3.0, 30.0], [5.0, 20.0]], dtype=torch.float64)
    centred = x - x.mean(0)
    ask(x, True).equals(
        _normalise(x, True),
        suspects={
            "per_feature still does nothing": _normalise(x),
            "each frame by itself, not each mel bin: the other axis": _normalise(x.T, True).T,
            "the mean a bin, but one standard deviation for all": centred / (x.std(correction=0) + 1e-3),
            "the means are gone, but nothing is divided by the standard deviation": centred,
            "the deviation over T - 1; over T is what the shipped function has": centred / (x.std(0) + 1e-3),
        },
    )
    ask(x).equals(_normalise(x), "without per_feature one mean and one deviation for all cells, as before")
    same = torch.full((3, 2), 7.0, dtype=torch.float64)
    ask(same, True).equals(torch.zeros(3, 2), "a bin that never changes: 1e-3 keeps 0 / 0 away")
