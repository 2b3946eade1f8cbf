"""CUDA graphs: operations recorded once and replayed as one launch (Lesson 09).

A step of ContextNet is some thousand small kernels, and launching them one by one takes longer than running
them. What is recorded always reads and writes the same memory, and may ask the device for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# libraries choose algorithms and ask for memory in the first runs, which no graph may contain
WARM_UP = 2


class Recorder:
    """Records functions of no arguments for replay; elsewhere than on CUDA, a replay calls the function.

    All graphs share one pool of memory for what they compute on the way, so they must not run at the same
    time, and what outlives a replay must have been allocated before it was recorded.
    """

    def __init__(self, device: torch.device):
        self.on_cuda = device.type == "cuda"
        self.pool = torch.cuda.graph_pool_handle() if self.on_cuda else None

    def record(self, function: Callable[[], None], changed: Sequence[Tensor] = ()) -> Callable[[], None]:
        """Return what replays ``function``; ``changed`` are the tensors that it alters, left as they are.

        Raises RuntimeError if ``function`` does what a graph cannot hold.
        """
        if not self.on_cuda:
            return function
        before = [value.clone() for value in changed]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                function()
        torch.cuda.current_stream().wait_stream(stream)
        with torch.no_grad():
            for value, old in zip(changed, before, strict=True):
                value.copy_(old)
        graph = torch.cuda.CUDAGraph()
        # threads that read sound may use the device meanwhile
        with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
            function()
        return graph.replay


class Packed:
    """Many small tensors, copied out and back by few kernels."""

    def __init__(self, tensors: Sequence[Tensor]):
        kinds = {tensor.dtype for tensor in tensors}
        self.groups = [[tensor for tensor in tensors if tensor.dtype == kind] for kind in kinds]

    def copy(self) -> list[Tensor]:
        """Return the values as one flat tensor per dtype."""
        return [torch.cat([tensor.flatten() for tensor in group]) for group in self.groups]

    @torch.no_grad()
    def restore_unless(self, keep: Tensor, values: list[Tensor]) -> None:
        """Give the tensors the ``values`` that ``copy`` returned unless ``keep``, a boolean on the device."""
        for group, old, new in zip(self.groups, values, self.copy(), strict=True):
            chosen = torch.where(keep, new, old).split([tensor.numel() for tensor in group])
            torch._foreach_copy_(group, [value.view_as(t) for value, t in zip(chosen, group, strict=True)])


def aligned_views(tensors: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Return a flat tensor of zeros, and views of it in the shapes of ``tensors``, each at 256 bytes."""
    step = 64
    sizes = [-(-tensor.numel() // step) * step for tensor in tensors]
    flat = tensors[0].new_zeros(sum(sizes))
    parts = flat.split(sizes)
    return flat, [part[: t.numel()].view_as(t) for part, t in zip(parts, tensors, strict=True)]
