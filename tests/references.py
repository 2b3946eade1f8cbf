"""What the tests of the encoder's kernels compare with: the same in PyTorch, in float64."""

import kernels
import torch

from asrlib.models.layers.conv import MaskedBatchNorm

EXACT = dict(rtol=1e-9, atol=1e-11)


def draw(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, device=kernels.DEVICE)


def norms(channels):
    """Two batch norms in training, of the same random weights."""
    pair = [MaskedBatchNorm(channels).to(kernels.DEVICE, torch.float64) for _ in range(2)]
    for parameter, same in zip(*(norm.parameters() for norm in pair), strict=True):
        torch.nn.init.normal_(parameter)
        same.data.copy_(parameter.data)
    return pair


def masked_norm(x, mask, norm, activation):
    """`MaskedBatchNorm` over the valid frames; of no frames at all: zeros, and statistics of zeros."""
    if not mask.any():
        return x * 0
    y = norm(x[mask][None], None, activation)[0]
    return torch.zeros_like(x).masked_scatter(mask[..., None], y)
