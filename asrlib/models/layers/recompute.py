"""Gradient checkpointing: run a layer again in the backward pass to save memory (Chen et al. 2016)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recomputed(layer: nn.Module, *arguments: Any, random: bool) -> Any:
    """Return ``layer(*arguments)``, keeping only the arguments for the backward pass.

    The second run uses the buffers of the first and changes none, so that running statistics include each
    batch once. It also uses the same random numbers if the layer is ``random``, which a CUDA graph does not
    allow.
    """
    before: list[Tensor] = []
    return checkpoint(
        nn.Module.__call__,
        layer,
        *arguments,
        use_reentrant=False,
        preserve_rng_state=random,
        context_fn=lambda: (_remembered(layer, before), _restored(layer, before)),
    )


def _owners(layer: nn.Module) -> list[tuple[nn.Module, str, Tensor]]:
    return [
        (module, name, value)
        for module in layer.modules()
        for name, value in module.named_buffers(recurse=False)
    ]


@contextlib.contextmanager
def _remembered(layer: nn.Module, before: list[Tensor]) -> Iterator[None]:
    before[:] = [value.clone() for _, _, value in _owners(layer)]
    yield


@contextlib.contextmanager
def _restored(layer: nn.Module, before: list[Tensor]) -> Iterator[None]:
    owners = _owners(layer)
    try:
        for (module, name, _), value in zip(owners, before, strict=True):
            setattr(module, name, value.clone())
        yield
    finally:
        for module, name, value in owners:
            setattr(module, name, value)
