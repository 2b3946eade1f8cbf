"""Building blocks of the losses' recursions: sums of logarithms, their precision, and a loop.

XLA (Lesson 09) compiles the operations between two synchronizations into one program, for one set of shapes.
On a TPU, therefore, no value may be read, which would split the program. No shape may depend on a value,
because every shape is compiled separately. A loop over frames must be a loop of the program, which would
otherwise grow with T. Recursions on a TPU are `scan`s. They keep their values small, because a TPU has no
float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from asrlib.backend import on_xla

NEG_INF = -math.inf


def recursion_dtype(device: torch.device) -> torch.dtype:
    """Return float64 if the device supports it, else float32.

    α and β are sums of thousands of terms and reach about -10,000, where float32 has three decimals left.
    """
    return torch.float32 if device.type in ("mps", "xla") else torch.float64


def loss_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype of a loss computed from ``x``: float32 or wider."""
    return torch.promote_types(x.dtype, torch.float32)


def scan(step: Callable, start: tuple, xs: tuple) -> tuple[tuple, tuple]:
    """Call `state, y = step(state, x)` for each x along the first axis of ``xs``.

    Returns the last state and the stacked ys. On XLA this is one loop of the compiled program, elsewhere a
    Python loop. ``step`` must take all tensors it uses from its arguments. Gradients do not flow through on
    XLA.
    """
    if on_xla(xs[0]):
        # The inner half of torch_xla.experimental.scan.scan. The outer half would record every step for its
        # own backward pass, but the losses have backward passes of their own.
        from torch_xla.experimental.scan import _scan_impl_pytree

        start, xs = (tuple(x.detach() for x in part) for part in (start, xs))
        with torch.no_grad():
            return _scan_impl_pytree(step, start, xs)
    state, ys = start, []
    for x in zip(*(x.unbind() for x in xs), strict=True):
        state, y = step(state, x)
        ys.append(y)
    return state, tuple(torch.stack(column) for column in zip(*ys, strict=True))


def add_logs(a: Tensor, b: Tensor) -> Tensor:
    """Return log(e^a + e^b), also for -inf. torch_xla runs torch.logaddexp on the host."""
    nothing = (a == NEG_INF) & (b == NEG_INF)
    return torch.where(nothing, NEG_INF, torch.maximum(a, b) + torch.log1p(torch.exp(-(a - b).abs())))


def rescale(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return ``x`` minus its largest entry along ``dim``, and that entry, or 0 where all are -inf."""
    largest = x.amax(dim)
    largest = torch.where(largest == NEG_INF, 0.0, largest)
    return x - largest.unsqueeze(dim), largest


def shares(x: Tensor, dim: int) -> Tensor:
    """Return the softmax along ``dim``, or 0 where all entries are -inf."""
    weight = rescale(x, dim)[0].exp()
    return weight / weight.sum(dim, keepdim=True).clamp(min=1e-30)


def shift(x: Tensor, by: int, dim: int) -> Tensor:
    """Move entry i to i + by along ``dim`` (0 or the last), filling with -inf and dropping the overflow."""
    n = x.shape[dim]
    pad = [0, 0] * (x.ndim - 1 if dim == 0 else 0) + [max(by, 0), max(-by, 0)]
    return F.pad(x, pad, value=NEG_INF).narrow(dim, max(-by, 0), n)
