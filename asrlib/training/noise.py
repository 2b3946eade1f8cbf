"""Variational noise on weights (ContextNet, section 3.1). Lesson 09."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn


@contextlib.contextmanager
def noisy_weights(network: nn.Module, deviation: Float[Tensor, "1"]) -> Iterator[None]:
    """Add Gaussian noise to ``network``'s weights within the block, and take it back after it.

    Forward and backward belong into the block, the update behind it. ``deviation`` is the noise's standard
    deviation, a tensor on the weights' device: as a number it would be a constant of a compiled program.
    """
    clean = [parameter.detach().clone() for parameter in network.parameters()]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * deviation)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(network.parameters(), clean, strict=True):
                parameter.copy_(value)
