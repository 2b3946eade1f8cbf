"""The transducer's two passes over the vocabulary, as Triton kernels (Lesson 07).

Symbols and equation numbers are those of `losses.rnnt`. Both passes take a chunk of the lattice: whole
utterances, or some frames of a single one.

    read      logits -> ∅(t, u), y(t, u), logsumexp     reads V values per node
    gradient  logits -> gradient                        reads V values and writes V values per node
"""

from __future__ import annotations

from typing import NamedTuple, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from asrlib.losses.kernels.diagonals import flows_at, skewed
from asrlib.losses.kernels.logs import INFINITY

# logits of a node processed at a time
BLOCK_V = 1024


class Chunk(NamedTuple):
    """Some nodes of a lattice: F frames starting at t0, of N utterances starting at b0."""

    b0: int
    N: int
    t0: int
    F: int


class Scores(NamedTuple):
    """The scores of a lattice: ∅ and y as `skewed` (B, T, U+1), and logsumexp (B, T, U+1)."""

    log_blank: Tensor
    log_label: Tensor
    lse: Tensor

    @classmethod
    def new(cls, like: Tensor, B: int, T: int, U1: int) -> Scores:
        """Return uninitialized scores for `read` to fill, in float32 or wider."""
        dtype = torch.promote_types(like.dtype, torch.float32)
        log_blank, log_label = (skewed(like, B, T, U1, dtype) for _ in range(2))
        return cls(log_blank, log_label, like.new_empty((B, T, U1), dtype=dtype))


def read(
    logits: Tensor,
    labels: Tensor,
    T_b: Tensor,
    U_b: Tensor,
    scores: Scores,
    chunk: Chunk,
    blank: int,
    fused: bool = True,
    status: Tensor | None = None,
) -> None:
    """Fill in the scores of a chunk. The padding is not written.

    logits  (N, F, U+1, V) of the chunk only, contiguous
    labels  (B, U+1), with any valid label in the padding
    fused   False: the logits are log probabilities already
    status  (B,) or None; set to 1 for utterances with a logit that is NaN or infinite (a log probability
            that is NaN or +inf)

    Such a logit makes the three scores of its node NaN.
    """
    _, T, U1 = scores.lse.shape
    V, block, warps = _vocabulary(logits)
    marks = labels if status is None else status
    given = logits, labels, T_b, U_b, *scores, marks, chunk.b0, chunk.t0, chunk.F, *scores.log_blank.stride()
    with torch.cuda.device_of(logits):
        read_kernel[(chunk.N * chunk.F * U1,)](
            *given, T, U1, V, blank, fused, status is not None, block, num_warps=warps
        )


def write_gradient(
    logits: Tensor,
    grad: Tensor,
    lattice: tuple[Tensor, ...],
    scale: Tensor,
    chunk: Chunk,
    blank: int,
    fused: bool = True,
    clamp: float = -1.0,
    visited: float = -1.0,
) -> None:
    """Write ∂(scale[b] · -ln Pr)/∂logits of a chunk, with 0 in the padding.

    logits   as in `read`
    grad     the output; may be ``logits`` itself
    lattice  labels, T_b, U_b, the three scores, and the two results of `diagonals.sweep`, turned
    clamp    above 0: the gradient is clipped to [-clamp, clamp] before scaling
    visited  nodes with an occupancy of at most this are treated as padding
    """
    labels, T_b, U_b, log_blank, log_label, lse, nodes, log_p = lattice
    B, T, U1 = log_blank.shape
    V, block, warps = _vocabulary(logits)
    with torch.cuda.device_of(logits):
        gradient_kernel[(chunk.N * chunk.F * U1,)](
            logits, lse, labels, T_b, U_b, log_blank, log_label, nodes, log_p, scale, grad, chunk.b0,
            chunk.t0, chunk.F, *log_blank.stride(), B, T, U1, V, blank, float(clamp), fused, clamp > 0,
            visited, block, num_warps=warps,
        )  # fmt: skip


def _vocabulary(logits: Tensor) -> tuple[int, int, int]:
    """Return V, the logits a program processes at a time, and its warps: one per 256 logits, up to four."""
    V = logits.shape[-1]
    block = min(BLOCK_V, triton.next_power_of_2(V))
    return V, block, max(1, min(4, block // 256))


# `no_type_check` keeps the tests' shape checker from wrapping functions that Triton must compile.


@triton.jit
@no_type_check
def _node_of(n, b0, t0, F, U1):
    """Return b, t, u of the n-th node of a chunk, which has F frames from t0 of the utterances from b0."""
    return b0 + n // (U1 * F), t0 + n // U1 % F, n % U1


@triton.jit(do_not_specialize=["b0", "t0", "F", "each", "row", "column", "T", "U1"])
@no_type_check
def read_kernel(
    logits, labels, T_b, U_b, log_blank, log_label, lse, status, b0, t0, F, each, row, column, T, U1,
    V: tl.constexpr, blank, FUSED: tl.constexpr, CHECKED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0)
    b, t, u = _node_of(n, b0, t0, F, U1)
    if (t < tl.load(T_b + b)) & (u <= tl.load(U_b + b)):
        # 64 bits: a batch may have more than 2**31 logits
        here = logits + n.to(tl.int64) * V
        # keep float64, convert everything else to float32
        kind: tl.constexpr = lse.dtype.element_ty
        at_blank = tl.load(here + blank).to(kind)
        at_label = tl.load(here + tl.load(labels + b * U1 + u)).to(kind)
        at = b.to(tl.int64) * each + t * row + u * column
        if FUSED:
            largest = at_blank
            total = at_blank * 0
            poison = at_blank * 0
            for start in range(0, V, BLOCK):
                v = start + tl.arange(0, BLOCK)
                x = tl.load(here + v, mask=v < V, other=-INFINITY).to(kind)
                new = tl.maximum(largest, tl.max(x, 0))
                total = total * tl.exp(largest - new) + tl.sum(tl.exp(x - new), 0)
                largest = new
                # 0 for finite values, NaN for all others
                poison += tl.sum(tl.where(v < V, x * 0, 0), 0)
            norm = largest + tl.log(total) + poison
            at_blank -= norm
            at_label -= norm
            tl.store(lse + (b.to(tl.int64) * T + t) * U1 + u, norm)
        if CHECKED:
            if not ((at_blank < INFINITY) & (at_label < INFINITY)):
                tl.store(status + b, 1)
        tl.store(log_blank + at, at_blank)
        tl.store(log_label + at, at_label)


@triton.jit(do_not_specialize=["b0", "t0", "F", "each", "row", "column", "B", "T", "U1"])
@no_type_check
def gradient_kernel(
    logits, lse, labels, T_b, U_b, log_blank, log_label, nodes, log_p, scale, grad, b0, t0, F, each, row,
    column, B, T, U1, V: tl.constexpr, blank, clamp, FUSED: tl.constexpr, CLAMPED: tl.constexpr,
    VISITED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0)
    b, t, u = _node_of(n, b0, t0, F, U1)
    frames, U = tl.load(T_b + b), tl.load(U_b + b)
    real = (t < frames) & (u <= U)
    given = log_blank, log_label, nodes, tl.load(log_p + b), b, t, u, frames, U, real
    by_blank, by_label = flows_at(*given, each, row, column, B)
    kind: tl.constexpr = lse.dtype.element_ty
    by_blank, by_label = by_blank.to(kind), by_label.to(kind)
    # do not read the logits of nodes that hardly any path visits
    real = real & (by_blank + by_label > VISITED)
    norm = tl.load(lse + (b.to(tl.int64) * T + t) * U1 + u, mask=real & FUSED, other=0.0)
    label = tl.load(labels + b * U1 + u)
    factor = tl.load(scale + b)
    offset = n.to(tl.int64) * V
    for start in range(0, V, BLOCK):
        v = start + tl.arange(0, BLOCK)
        # eq. 20 and the softmax: γ(t, u) Pr(k | t, u) minus the flow that leaves by k
        g = tl.zeros((BLOCK,), kind)
        if FUSED:
            x = tl.load(logits + offset + v, mask=(v < V) & real, other=-INFINITY).to(kind)
            g += tl.exp(x - norm) * (by_blank + by_label)
        g -= tl.where(v == blank, by_blank, 0.0) + tl.where(v == label, by_label, 0.0)
        if CLAMPED:
            g = tl.minimum(tl.maximum(g, -clamp), clamp)
        g = tl.where(real, g * factor, 0.0)
        tl.store(grad + offset + v, g.to(grad.dtype.element_ty), mask=v < V)
