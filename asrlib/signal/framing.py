"""From samples to overlapping frames: pre-emphasis, the frames and their number.

Lesson 01.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

# an integer or a tensor of integers
Count = TypeVar("Count", int, Tensor)


def frame_count(samples: Count, window: int, hop: int) -> Count:
    """Return the number of frames in ``samples`` samples. A signal shorter than a window is one frame.

    ``window`` and ``hop`` are in samples.
    """
    if isinstance(samples, Tensor):
        return 1 + (samples - window).clamp(min=0) // hop
    return 1 + max(samples - window, 0) // hop


def frame(
    signal: Float[Tensor, "*batch samples"], window: int, hop: int
) -> Float[Tensor, "*batch frames window"]:
    """Split a signal into overlapping frames of ``window`` samples, ``hop`` samples apart. Lesson 01.

    The result is a view. A signal shorter than a window is zero-padded to one frame first.
    """
    if signal.shape[-1] < window:
        signal = torch.nn.functional.pad(signal, (0, window - signal.shape[-1]))
    return signal.unfold(-1, window, hop)


def preemphasize(
    signal: Float[Tensor, "*batch samples"], coefficient: float
) -> Float[Tensor, "*batch samples"]:
    """Return y[n] = x[n] - coefficient · x[n - 1]. The first sample stays as it is."""
    if not coefficient:
        return signal
    return torch.cat([signal[..., :1], signal[..., 1:] - coefficient * signal[..., :-1]], dim=-1)


def mirrored(
    signal: Float[Tensor, "batch samples"], lengths: Int[Tensor, "batch"], margin: int
) -> Float[Tensor, "batch padded"]:
    """Extend each signal by ``margin`` samples at both ends, mirrored at its first and last sample."""
    if not margin:
        return signal
    position = torch.arange(-margin, signal.shape[1] + margin, device=signal.device).abs()
    last = lengths[:, None] - 1
    position = torch.minimum(position, 2 * last - position).clamp(min=0)
    return signal.gather(1, torch.minimum(position, last))
