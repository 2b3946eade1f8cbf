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
