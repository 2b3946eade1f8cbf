"""Variational noise on weights (ContextNet, section 3.1). Lesson 09."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn


@contextlib.contextmanager
def noisy_weights(network: nn.Module, deviation: Float[Tensor, "1"]) -> Iterator[None]:
    """Add Gaussian noise to the weights of ``network`` within the block, and restore them afterwards.

    Run forward and backward inside the block and the update after it. ``deviation`` is the standard
    deviation of the noise. It is a tensor on the weights' device, because a Python number would become a
    constant of a compiled program.
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
