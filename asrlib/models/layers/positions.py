"""Positions of frames, for attention: rotary and learned Fourier positions.

Attention alone does not know the order of frames. *Rotary* positions (Su et al. 2021, RoFormer, section 3.2)
rotate queries and keys by angles that grow with the frame's number, so that their product depends only on the
distance of the two frames. *Fourier* positions (Li et al. 2021) are sines and cosines of learned frequencies,
added to the frames once.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from asrlib.backend import is_traced

POSITIONS = ("rotary", "fourier", "none")


def rotary_table(
    frames: int, head_dim: int, base: float, interpolation: float = 1.0, device: torch.device | None = None
) -> tuple[Float[Tensor, "frames half"], Float[Tensor, "frames half"]]:
    """Return the cosine and the sine of the angle of each frame and pair of channels.

    The angle of frame t and pair i is t / ``interpolation`` · ``base`` ^ (-2i / ``head_dim``), in radians. An
    interpolation factor above 1 compresses long recordings into the range of positions known from training
    (Chen et al. 2023).
    """
    # the angles of late frames are large: float32 would round them by thousandths
    dtype = torch.float32 if is_traced() else torch.float64
    pair = torch.arange(0, head_dim, 2, dtype=dtype, device=device)
    position = torch.arange(frames, dtype=dtype, device=device) / interpolation
    angle = position[:, None] * base ** (-pair / head_dim)
    return angle.cos().float(), angle.sin().float()


def rotate(
    x: Float[Tensor, "*batch frames head_dim"],
    cosine: Float[Tensor, "frames half"],
    sine: Float[Tensor, "frames half"],
) -> Float[Tensor, "*batch frames head_dim"]:
    """Rotate channels i and i + head_dim / 2 of each frame by the angle of pair i."""
    cosine, sine = cosine.to(x.dtype), sine.to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


class FourierPositions(nn.Module):
    """Add [cos(t · w), sin(t · w)] / √D to frame t, with D / 2 learned frequencies w in radians per frame."""

    def __init__(self, dim: int):
        super().__init__()
        self.frequencies = nn.Parameter(torch.randn(dim // 2))
        self.scale = 1 / math.sqrt(dim)

    def forward(self, x: Float[Tensor, "batch frames dim"]) -> Float[Tensor, "batch frames dim"]:
        position = torch.arange(x.shape[1], device=x.device, dtype=self.frequencies.dtype)
        angle = position[:, None] * self.frequencies
        return x + self.scale * torch.cat([angle.cos(), angle.sin()], dim=-1)
