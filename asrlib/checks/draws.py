"""Random cases and recorded ones, for the checkers."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
import torchaudio
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
    """One of the course's clips of digits and what the shipped model's CTC head says of it, (T, V)."""

    log_probs: Tensor
    labels: Tensor
    words: list[Word]
    frame_seconds: float


@lru_cache
def clip_posteriors() -> list[Clip]:
    from asrlib.corpus import clips, cut_audio
    from asrlib.recognizer import Recognizer

    recognizer, found = Recognizer.load(), []
    rate = recognizer.config.features.sample_rate
    for cut in clips():
        if "digits" not in cut.id:
            continue
        wave = torchaudio.functional.resample(torch.from_numpy(cut_audio(cut)), cut.sampling_rate, rate)
        with torch.no_grad():
            features, lengths = recognizer.front_end(wave[None], torch.tensor([len(wave)]))
            encoder_out, _ = recognizer.model.encoder(features, lengths)
            y = recognizer.model.ctc_head(encoder_out)[0].log_softmax(-1)
        words = [Word(w.symbol, w.start, w.end) for w in cut.supervisions[0].alignment["word"]]
        said = torch.tensor(recognizer.tokenizer.encode(cut.supervisions[0].text))
        found.append(Clip(y.double(), said, words, recognizer.frame_seconds))
    return found


@lru_cache
def noisy_views() -> list[tuple[Tensor, list[int]]]:
    """Each clip of digits in six white noises 4 dB louder than the speech, heard with five lengths of throat:
    the CTC head's log probabilities (5, T, V), the five in another order each time, and the labels said.
    """
    from asrlib.augment import add_noise
    from asrlib.corpus import clips, cut_audio
    from asrlib.recognizer import Recognizer

    recognizer, found = Recognizer.load(), []
    rate = recognizer.config.features.sample_rate
    warps = torch.tensor([0.88, 0.94, 1.0, 1.06, 1.12])
    for cut in clips():
        if "digits" not in cut.id:
            continue
        wave = torchaudio.functional.resample(torch.from_numpy(cut_audio(cut)), cut.sampling_rate, rate)[None]
        length = torch.tensor([wave.shape[1]])
        for seed in range(6):
            g = torch.Generator().manual_seed(seed)
            noisy = add_noise(wave, length, torch.tensor([-4.0]), torch.zeros(1), g)
            with torch.no_grad():
                features, lengths = recognizer.front_end(noisy.expand(5, -1), length.expand(5), warps)
                encoder_out, _ = recognizer.model.encoder(features, lengths)
                views = recognizer.model.ctc_head(encoder_out).log_softmax(-1)
            found.append(
                (views.double().roll(len(found), 0), recognizer.tokenizer.encode(cut.supervisions[0].text))
            )
    return found


@lru_cache
def rescoring_lists(seed: int, count: int = 300) -> tuple[list, list]:
    """Dev and test of assignment 08: eight texts an utterance, judged by CTC and by a transducer that hear
    the same words through noises of their own; the transducer knows which word follows which, but is too
    sure of itself.

    Dev utterances are (scores (8, 2) natural logs, errors (8,)), test ones also the number of words said.
    """
    from asrlib import ctc, rnnt

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
