"""The mel scale, and the filters that sum a spectrum's bins into mel bins. Lesson 01.

A filter is a triangle between three points that are evenly spaced in mel. Between them, its slopes are
straight lines over Hz (Davis & Mermelstein 1980; librosa and torchaudio) or over mel (HTK, and TensorFlow's
``linear_to_mel_weight_matrix``). The two differ by up to 0.05 for filters of a few FFT bins.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from asrlib.errors import InputError
from asrlib.reading import shown

SLOPES = ("hz", "mel")


def hz_to_mel(hz: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Convert Hz to mel on the HTK scale: 2595 · log10(1 + f / 700 Hz). Lesson 01."""
    return 2595.0 * torch.log10(1.0 + hz / 700.0)


def mel_to_hz(mel: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Convert mel to Hz: the inverse of ``hz_to_mel``."""
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)


def mel_filters(
    sample_rate: int,
    fft_size: int,
    mels: int,
    low_hz: float = 0.0,
    high_hz: float | None = None,
    slopes: str = "hz",
) -> Float[Tensor, "bins mels"]:
    """Return triangular filters evenly spaced in mel, each with a peak of 1. Lesson 01.

    They span ``low_hz`` to ``high_hz`` (None: half the sample rate). ``sample_rate`` is in Hz; there are
    ``fft_size // 2 + 1`` bins. ``slopes`` says over which axis the slopes are straight lines: "hz" or "mel".
    Raises ``InputError`` unless 0 <= low_hz < high_hz <= sample_rate / 2, and for unknown ``slopes``.
    """
    high_hz = high_hz or sample_rate / 2
    if not 0 <= low_hz < high_hz <= sample_rate / 2:
        raise InputError(f"mel filters from {low_hz} to {high_hz} Hz do not fit in 0 to {sample_rate / 2} Hz")
    if slopes not in SLOPES:
        raise InputError(f"mel_slopes is {shown(slopes)}; use one of {', '.join(SLOPES)}")
    frequency = torch.linspace(0, sample_rate / 2, fft_size // 2 + 1, dtype=torch.float64)
    ends = hz_to_mel(torch.tensor([low_hz, high_hz], dtype=torch.float64))
    edges = torch.linspace(float(ends[0]), float(ends[1]), mels + 2, dtype=torch.float64)
    if slopes == "mel":
        return _triangles(hz_to_mel(frequency)[:, None], edges).float()
    return _triangles(frequency[:, None], mel_to_hz(edges)).float()


def _triangles(frequency: Tensor, edges: Tensor) -> Tensor:
    """Return triangles that rise from edge m to edge m + 1 and fall to edge m + 2."""
    left, center, right = edges[:-2], edges[1:-1], edges[2:]
    rise = (frequency - left) / (center - left)
    fall = (right - frequency) / (right - center)
    return torch.minimum(rise, fall).clamp(min=0)


def warp_filters(
    filters: Float[Tensor, "bins mels"], warp: Float[Tensor, "batch"]
) -> Float[Tensor, "batch bins mels"]:
    """Return the filters with their frequency axis stretched by one factor per utterance.

    This is vocal tract length perturbation (Jaitly & Hinton 2013). A factor above 1 moves every filter up in
    frequency, as if the speech came from a longer vocal tract. Values between FFT bins are interpolated
    linearly. Filters that extend past half the sample rate are cut off there. Lesson 01.
    """
    bins = filters.shape[0]
    position = torch.arange(bins, device=filters.device) / warp[:, None]
    lower = position.long().clamp(max=bins - 1)
    upper = (lower + 1).clamp(max=bins - 1)
    fraction = (position - lower).clamp(0, 1)[..., None]
    return filters[lower] * (1 - fraction) + filters[upper] * fraction
