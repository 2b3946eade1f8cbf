"""Subsampling by 8: strided convolutions over time and frequency.

There is a full 3 × 3 convolution of stride 2, then two separable ones (depthwise 3 × 3 of stride 2,
pointwise), each with SiLU. A matrix maps the remaining bins and channels to the encoder's width.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from asrlib.models.layers.conv import output_length
from asrlib.models.layers.mask import frame_mask


class DepthwiseStriding(nn.Module):
    """Subsample (batch, frames, mels) to (batch, ceil(frames / 8), dim).

    ``masked`` sets the padding to zero before and after every convolution, so that padding changes nothing.
    Without it, values in the padding leak into the last frames.
    """

    reduction = 8
    # input frames on either side that an output frame depends on: 1 + 2 + 4
    reach = 7

    def __init__(self, mels: int, channels: int, dim: int, masked: bool = True):
        super().__init__()
        self.masked = masked
        self.first = nn.Conv2d(1, channels, 3, stride=2, padding=1)
        self.depthwise = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, stride=2, padding=1, groups=channels) for _ in range(2)
        )
        self.pointwise = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(2))
        self.linear = nn.Linear(channels * output_length(mels, self.reduction), dim, bias=False)

    def forward(
        self, features: Float[Tensor, "batch frames mels"], lengths: Int[Tensor, "batch"] | None
    ) -> Float[Tensor, "batch frames_out dim"]:
        """Return the subsampled frames. ``lengths``, in frames, may be None if there is no padding."""
        lengths = lengths if self.masked else None
        x, lengths = self._masked(features[:, None], lengths)
        x, lengths = self._masked(F.silu(self.first(x)), _halved(lengths))
        for depthwise, pointwise in zip(self.depthwise, self.pointwise, strict=True):
            x, lengths = self._masked(F.silu(pointwise(depthwise(x))), _halved(lengths))
        return self.linear(x.transpose(1, 2).flatten(2))

    def _masked(
        self, x: Float[Tensor, "batch channels frames bins"], lengths: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        if lengths is None:
            return x, None
        return x * frame_mask(lengths, x.shape[2])[:, None, :, None], lengths


def _halved(lengths: Tensor | None) -> Tensor | None:
    return None if lengths is None else output_length(lengths, 2)
