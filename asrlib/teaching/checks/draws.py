"""Random cases and recorded ones, for the checkers."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor


def integer(g: torch.Generator, low: int, high: int) -> int:
    """Uniform in low .. high, both included."""
    return int(torch.randint(low, high + 1, (), generator=g))


def number(g: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=g, dtype=torch.float64))


def normal(g: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=g, dtype=torch.float64)


def log_probs(g: torch.Generator, *shape: int) -> Tensor:
    """Natural log probabilities over the last axis, float64."""
    return (1.5 * normal(g, *shape)).log_softmax(-1)


def labels(g: torch.Generator, U: int, V: int, blank: int) -> Tensor:
    """U labels of V without the blank; neighbours are often equal."""
    drawn: list[int] = []
    others = [k for k in range(V) if k != blank]
    for _ in range(U):
        again = drawn and integer(g, 0, 2) == 0
        drawn.append(drawn[-1] if again else others[integer(g, 0, len(others) - 1)])
    return torch.tensor(drawn, dtype=torch.long)


class Word(NamedTuple):
    """Times in seconds."""

    text: str
    start: float
    end: float


class Clip(NamedTuple):
    """One of the course's clips of digits and what a trained CTC head said of it, (T, V)."""

    log_probs: Tensor
    labels: Tensor
    words: list[Word]
    frame_seconds: float


# What the lessons' model heard when the assignments were written. Thresholds are set on these numbers, so a
# model that is trained again must not move them. `tools/prepare_heard.py` wrote the file.
HEARD = Path(__file__).parent / "heard.safetensors"


@lru_cache
def clip_posteriors() -> list[Clip]:
    from asrlib.data.corpora import clips

    heard, found = load_file(HEARD), []
    for cut in clips():
        if f"{cut.id} clean" in heard:
            words = [Word(w.symbol, w.start, w.end) for w in cut.supervisions[0].alignment["word"]]
            y = heard[f"{cut.id} clean"].double().log_softmax(-1)
            found.append(Clip(y, heard[f"{cut.id} labels"], words, float(heard["frame seconds"])))
    return found


@lru_cache
def noisy_views() -> list[tuple[Tensor, list[int]]]:
    """Each clip of digits in six white noises 4 dB louder than the speech, heard with five lengths of throat:
    the CTC head's log probabilities (5, T, V), the five in another order each time, and the labels said.
    """
    heard, found = load_file(HEARD), []
    for name in sorted(heard):
        if name.endswith(" noisy"):
            said = heard[name.replace("noisy", "labels")].tolist()
            for views in heard[name].double().log_softmax(-1):
                found.append((views.roll(len(found), 0), said))
    return found


@lru_cache
def rescoring_lists(seed: int, count: int = 300) -> tuple[list, list]:
    """Dev and test of assignment 08: eight texts an utterance, judged by CTC and by a transducer that hear
    the same words through noises of their own; the transducer knows which word follows which, but is too
    sure of itself.

    Dev utterances are (scores (8, 2) natural logs, errors (8,)), test ones also the number of words said.
    """
    from asrlib.losses import ctc, rnnt

    g, V, T, N = torch.Generator().manual_seed(seed), 7, 16, 8
    follows = 1.5 * normal(g, V, V)
    follows[:, 0] = -torch.inf
    follows = follows.softmax(-1)
    heard, joint, texts, said = [], [], [], []
    for _ in range(2 * count):
        text = [0]
        for _ in range(integer(g, 3, 6)):
            text.append(int(torch.multinomial(follows[text[-1]], 1, generator=g)))
        said.append(text[1:])
        sound = torch.zeros(T, V, dtype=torch.float64)
        places = (2 * torch.randperm(T // 2, generator=g)[: len(said[-1])]).sort().values
        sound[:, 0] = 1
        sound[places] = torch.nn.functional.one_hot(torch.tensor(said[-1]), V).double()
        heard.append((2.5 * sound + normal(g, T, V)).log_softmax(-1))
        language = 0.7 * torch.cat([torch.zeros(V, 1), follows[:, 1:].clamp(min=1e-4).log()], 1)
        joint.append((2.5 * ((2.0 * sound + normal(g, T, V))[:, None] + language)).log_softmax(-1))
        texts.append(_like(said[-1], N, V, g))
    target_lengths = torch.tensor([[len(text) for text in row] for row in texts])
    longest = int(target_lengths.max())
    targets = torch.tensor([[text + [1] * (longest - len(text)) for text in row] for row in texts])
    last = torch.nn.functional.pad(targets, (1, 0))
    # all utterances' texts in one batch
    frames, y = torch.full((2 * count * N,), T), torch.stack(heard, 1).repeat_interleave(N, 1)
    joint = torch.stack(joint).repeat_interleave(N, 0)
    utterance = torch.arange(len(joint))[:, None, None]
    lattice = joint[utterance, torch.arange(T)[None, :, None], last.flatten(0, 1)[:, None]]
    targets, lengths = targets.flatten(0, 1), target_lengths.flatten()
    by_ctc = ctc.ctc_loss(y, targets, frames, lengths, reduction="none")
    by_rnnt = rnnt.rnnt_loss(lattice, targets, frames, lengths, blank=0, reduction="none")
    scores = -torch.stack([by_ctc, by_rnnt], 1).double().unflatten(0, (-1, N))
    rows = [
        (scores[n], torch.tensor([_edits(said[n], text) for text in texts[n]]), len(said[n]))
        for n in range(2 * count)
    ]
    return [row[:2] for row in rows[:count]], rows[count:]


def _like(text: list[int], count: int, V: int, g: torch.Generator) -> list[list[int]]:
    """``text`` and others with a word or two replaced, left out or put in, in any order."""
    found = [text]
    while len(found) < count:
        other = list(text)
        for _ in range(integer(g, 1, 2)):
            place, kind = integer(g, 0, len(other) - 1), integer(g, 0, 3)
            if kind == 2 and len(other) > 1:
                del other[place]
            elif kind == 3:
                other.insert(place, integer(g, 1, V - 1))
            else:
                other[place] = integer(g, 1, V - 1)
        if other not in found:
            found.append(other)
    return [found[n] for n in torch.randperm(count, generator=g).tolist()]


def _edits(said: list[int], heard: list[int]) -> int:
    row = list(range(len(heard) + 1))
    for i, label in enumerate(said, start=1):
        before, row = row, [i]
        for j, other in enumerate(heard, start=1):
            row.append(min(before[j - 1] + (label != other), before[j] + 1, row[j - 1] + 1))
    return row[-1]


def noisy_training(rates: list[float]) -> float:
    """How far above the lowest possible loss a linear regression ends, trained at these learning rates, one
    a step: two noisy examples a step, 12 features of sizes between 1 and 0.03. The mean of four trainings
    from zero. Infinite where they diverge (assignment 09).
    """
    size = torch.logspace(0, -1.5, 12, dtype=torch.float64).sqrt()
    ends = []
    for seed in range(4):
        g = torch.Generator().manual_seed(seed)
        right = normal(g, 12) / size
        x = normal(g, len(rates), 2, 12) * size
        y = x @ right + normal(g, len(rates), 2)
        w = torch.zeros_like(right)
        for rate, some, wanted in zip(rates, x, y, strict=True):
            w = w - rate * some.T @ (some @ w - wanted) / 2
        ends.append(float(((w - right) * size).square().sum()))
    value = sum(ends) / 4
    return value if value < 1e6 else float("inf")


ILLNESSES = ("fine", "rate too low", "rate too high", "overfitting", "wrong labels", "nan")


@lru_cache
def training_runs(seed: int, each: int = 4) -> list[tuple[str, list[float], list[float]]]:
    """Trainings of a small classifier: ``each`` of every one of ``ILLNESSES``, in any order, as (what it is,
    training loss of 200 steps, dev loss after every tenth step), in nats (assignment 10).
    """
    g = torch.Generator().manual_seed(seed)
    runs = [(illness, *_training_run(illness, g)) for illness in ILLNESSES for _ in range(each)]
    return [runs[n] for n in torch.randperm(len(runs), generator=g).tolist()]


def _training_run(illness: str, g: torch.Generator) -> tuple[list[float], list[float]]:
    classes, dims, units, steps = integer(g, 5, 10), 16, 48, 200
    centres = number(g, 0.7, 1) * torch.randn(classes, dims, generator=g)
    count = integer(g, 40, 70) if illness in ("overfitting", "wrong labels") else 3000
    labels = torch.randint(0, classes, (count + 500,), generator=g)
    inputs = centres[labels] + torch.randn(count + 500, dims, generator=g)
    x, y, dev = inputs[:count], labels[:count], (inputs[count:], labels[count:])
    if illness == "wrong labels":
        y = y.roll(1)
    if illness == "overfitting":  # a few labels are wrong, as in every small corpus
        y = torch.where(torch.rand(count, generator=g) < 0.15, y.roll(1), y)
    rate = number(g, *{"rate too low": (2e-4, 1e-3), "rate too high": (15, 40)}.get(illness, (0.15, 0.4)))
    broken = integer(g, 20, steps - 1) if illness == "nan" else -1
    hidden = torch.randn(dims, units, generator=g) / dims**0.5
    top = torch.randn(units, classes, generator=g) / units**0.5
    weights = [w.requires_grad_() for w in (hidden, torch.zeros(units), top, torch.zeros(classes))]

    def loss_of(x, y):
        inside = torch.tanh(x @ weights[0] + weights[1])
        return torch.nn.functional.cross_entropy(inside @ weights[2] + weights[3], y)

    losses, dev_losses = [], []
    for step in range(steps):
        some = torch.randint(0, count, (16,), generator=g)
        loss = loss_of(x[some] / (step != broken), y[some])  # broken: divided by a level of 0
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight -= rate * gradient
            losses.append(float(loss))
            if step % 10 == 9:
                dev_losses.append(float(loss_of(*dev)))
    return losses, dev_losses
