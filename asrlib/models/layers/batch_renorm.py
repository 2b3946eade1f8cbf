"""Batch renormalization: batch norm that computes the same in training as in evaluation.

Batch norm uses the batch's own statistics in training and running ones in evaluation. With small or
dissimilar batches, such as single recordings of an hour, the network in training therefore differs from the
one in evaluation. Renormalization (Ioffe 2017, algorithm 1) corrects the batch's statistics toward the
running ones:

    y = ((x - μ_batch) / σ_batch · r + d) · weight + bias
    r = σ_batch / σ, clipped to [1 / r_max, r_max],  d = (μ_batch - μ) / σ, clipped to ±d_max

No gradient flows through r and d. Without clipping, the normalized value is (x - μ) / σ with the running μ
and σ.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from asrlib.models.layers.activations import ACTIVATIONS
from asrlib.models.layers.batch_norm import Activation, normalize
from asrlib.models.layers.mask import FrameMask


class MaskedBatchRenorm(nn.Module):
    """Batch renorm over the valid frames of (batch, frames, channels), followed by an activation.

    The padding of the output is zero. The running statistics are a mean and a standard deviation. The limits
    are the paper's: no correction for 5,000 batches, then r_max rises to 3 by batch 40,000 and d_max to 5 by
    batch 25,000. Under torch.distributed, the statistics are those of the frames of all processes.
    """

    def __init__(self, channels: int, eps: float = 1e-3, momentum: float = 0.01):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_std", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def limits(self) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Return r_max and d_max for the number of batches so far."""
        batches = self.num_batches_tracked.float()
        r_max = 1 + 2 * ((batches - 5000) / 35000).clamp(0, 1)
        d_max = 5 * ((batches - 5000) / 20000).clamp(0, 1)
        return r_max, d_max

    def forward(
        self,
        x: Float[Tensor, "batch frames channels"],
        mask: Bool[Tensor, "batch frames"] | FrameMask | None,
        activation: Activation = ACTIVATIONS["linear"],
    ) -> Float[Tensor, "batch frames channels"]:
        """Return ``activation`` of normalized ``x``. ``mask`` None means that all frames are valid."""
        mask = FrameMask.of(mask)
        valid = None if mask is None else mask.valid
        if self.training:
            normed, scale, shift = self._by_batch(x, valid)
        else:
            normed, scale = x, self.weight / self.running_std
            shift = self.bias - self.running_mean * scale
        y = activation(torch.addcmul(shift.to(x.dtype), normed, scale.to(x.dtype)))
        return y if valid is None else y * valid[..., None]

    def _by_batch(self, x: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``x`` normalized by its own statistics, and the scale and the shift to apply to it."""
        ones, zeros = torch.ones_like(self.weight), torch.zeros_like(self.bias)
        normed, mean, variance, _ = normalize(x, valid, ones, zeros, self.eps, ACTIVATIONS["linear"])
        with torch.no_grad():
            mean, std = mean.to(self.running_mean), (variance.to(self.running_std) + self.eps).sqrt()
            r_max, d_max = self.limits()
            r = torch.minimum(torch.maximum(std / self.running_std, 1 / r_max), r_max)
            d = (mean - self.running_mean) / self.running_std
            d = torch.minimum(torch.maximum(d, -d_max), d_max)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_std.lerp_(std, self.momentum)
            self.num_batches_tracked.add_(1)
        return normed, self.weight * r, self.bias + self.weight * d
