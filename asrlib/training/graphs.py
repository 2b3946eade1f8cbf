"""CUDA graphs: operations that are recorded once and replayed with a single launch. Lesson 09.

A training step of ContextNet is some thousand small kernels, and launching them one by one takes longer
than running them. A graph always reads and writes the same memory. The recorded code must not wait for
a value from the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# in their first runs libraries choose algorithms and allocate memory, which a graph must not contain
WARM_UP = 2


class Recorder:
    """Recorder of functions without arguments; on devices other than CUDA, a replay calls the function.

    All graphs share one memory pool for intermediate results, so they must not run at the same time. A
    tensor that is used after a replay must be allocated before the recording.
    """

    def __init__(self, device: torch.device):
        self.on_cuda = device.type == "cuda"
        self.pool = torch.cuda.graph_pool_handle() if self.on_cuda else None

    def record(self, function: Callable[[], None], changed: Sequence[Tensor] = ()) -> Callable[[], None]:
        """Record ``function`` and return a callable that replays it.

        Recording runs ``function``. ``changed`` are the tensors whose values are restored afterwards.
        Raises ``RuntimeError`` if ``function`` does something that a graph cannot record.
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
        # threads that load audio may use the device during the recording
        with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
            function()
        return graph.replay


class Packed:
    """Many small tensors that are saved and restored with few kernels."""

    def __init__(self, tensors: Sequence[Tensor]):
        kinds = {tensor.dtype for tensor in tensors}
        self.groups = [[tensor for tensor in tensors if tensor.dtype == kind] for kind in kinds]

    def copy(self) -> list[Tensor]:
        """Return a copy of the values as one flat tensor per dtype."""
        return [torch.cat([tensor.flatten() for tensor in group]) for group in self.groups]

    @torch.no_grad()
    def restore_unless(self, keep: Tensor, values: list[Tensor]) -> None:
        """Restore the ``values`` returned by ``copy`` unless ``keep``, a boolean on the device, is true."""
        for group, old, new in zip(self.groups, values, self.copy(), strict=True):
            chosen = torch.where(keep, new, old).split([tensor.numel() for tensor in group])
            torch._foreach_copy_(group, [value.view_as(t) for value, t in zip(chosen, group, strict=True)])


def aligned_views(tensors: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Return a flat tensor of zeros, and views of it in the shapes of ``tensors``.

    Each view starts at a multiple of 64 elements, that is, of 256 bytes in float32. All ``tensors`` are
    expected to have one dtype and device.
    """
    step = 64
    sizes = [-(-tensor.numel() // step) * step for tensor in tensors]
    flat = tensors[0].new_zeros(sum(sizes))
    parts = flat.split(sizes)
    return flat, [part[: t.numel()].view_as(t) for part, t in zip(parts, tensors, strict=True)]
