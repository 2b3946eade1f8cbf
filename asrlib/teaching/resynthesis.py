"""Turn log-mel features back into sound, to hear what a recognizer is given. Lesson 01.

Two things are missing in features: how power is spread over the bins of each filter, and all phases. The
first is solved for nonnegative powers (Lee and Seung 2001). The second is guessed, such that overlapping
frames agree (Griffin and Lim 1984).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from asrlib.errors import InputError
from asrlib.signal.features import FrontEnd
from asrlib.signal.framing import frame


def sound_from_log_mel(
    features: Float[Tensor, "frames mels"],
    sample_rate: int = 16000,
    iterations: int = 60,
    seed: int = 0,
    **options: float,
) -> Float[Tensor, " samples"]:
    """Return a sound with these ``asrlib.log_mel`` features, its peak at 1. Lesson 01.

    ``features`` are not normalized; ``options`` are those that ``log_mel`` was called with, such as
    ``window_ms``. ``iterations`` improve the phases, which start at random from ``seed``. Raises
    ``InputError`` for features of another number of mel bins or without frames.
    """
    if features.shape[0] == 0:
        raise InputError("the features have no frames; a sound needs at least one")
    options.setdefault("mels", features.shape[1])
    if options["mels"] != features.shape[1]:
        raise InputError(f"the features have {features.shape[1]} mel bins, but mels is {options['mels']}")
    front_end = FrontEnd(sample_rate, **options)
    mel_powers = (features.exp() - front_end.log_floor).clamp(min=0)
    magnitudes = _spread(mel_powers, front_end.filters).sqrt()
    generator = torch.Generator().manual_seed(seed)
    phases = 2 * torch.pi * torch.rand(magnitudes.shape, generator=generator)
    spectrum = torch.polar(magnitudes, phases)
    signal = _overlapped(spectrum, front_end)
    for _ in range(iterations):
        pieces = frame(signal, front_end.window, front_end.hop) * front_end.taper
        angles = torch.fft.rfft(pieces, n=front_end.fft_size).angle()
        signal = _overlapped(torch.polar(magnitudes, angles), front_end)
    signal = _deemphasized(signal, front_end.preemphasis)
    return signal / signal.abs().max().clamp(min=1e-9)


def _spread(
    mel_powers: Float[Tensor, "frames mels"], filters: Float[Tensor, "bins mels"], iterations: int = 100
) -> Float[Tensor, "frames bins"]:
    """Return powers ≥ 0 of the bins whose sums under the filters are near ``mel_powers``."""
    powers = mel_powers @ (filters / filters.sum(0).clamp(min=1e-9)).T
    wanted = mel_powers @ filters.T
    for _ in range(iterations):  # each step keeps the signs and lessens the squared difference
        powers = powers * wanted / ((powers @ filters) @ filters.T).clamp(min=1e-20)
    return powers


def _overlapped(spectrum: Tensor, front_end: FrontEnd) -> Float[Tensor, " samples"]:
    """Return the signal whose tapered frames are nearest to these spectra in the mean square."""
    pieces = torch.fft.irfft(spectrum, n=front_end.fft_size)[:, : front_end.window] * front_end.taper
    window, hop = front_end.window, front_end.hop
    samples = (len(pieces) - 1) * hop + window
    place = (torch.arange(len(pieces))[:, None] * hop + torch.arange(window)).flatten()
    total, weight = torch.zeros(samples), torch.zeros(samples)
    total.index_add_(0, place, pieces.flatten())
    weight.index_add_(0, place, front_end.taper.square().repeat(len(pieces)))
    return total / weight.clamp(min=1e-3)


def _deemphasized(signal: Float[Tensor, " samples"], coefficient: float) -> Float[Tensor, " samples"]:
    """Undo ``preemphasize``: x[n] = y[n] + coefficient · x[n - 1]."""
    found, last = [], 0.0
    for sample in signal.tolist():
        last = sample + coefficient * last
        found.append(last)
    return torch.tensor(found)
