"""The transducer's α, β and flows by diagonals, as Triton kernels (Lesson 07).

Symbols and equation numbers are those of `losses.rnnt`. The nodes of a diagonal t + u = n do not depend on
each other. A lane holds column u, and a step of the kernel computes the whole diagonal with one sum of
logarithms per node, where a scan along a row takes log2(U) of them. There are T + U steps of about half a
microsecond of float64 exp and log each, independent of the batch.

The scores are stored by diagonals, too: node (t, u) in row t + u, column u, so that a diagonal is contiguous
in memory. `skewed` makes such a tensor; all other code uses its strides.
"""

from __future__ import annotations

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from asrlib.losses.kernels.logs import INFINITY, add_logs, from_before, pick

# nodes per program in the computation of the flows
BLOCK = 128


def forward_backward(
    log_blank: Tensor, log_label: Tensor, T_b: Tensor, U_b: Tensor, wanted: bool = True
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return ln Pr(y | x) (B,) in float64 and, if wanted, the two flows (B, T, U+1).

    The scores are (B, T, U+1), with any padding and any strides.
    """
    scores = [skewed(x, *x.shape, x.dtype).copy_(x) for x in (log_blank, log_label)]
    nodes, log_p = sweep(*scores, T_b, U_b, turned=wanted)
    if not wanted:
        return log_p, None, None
    return log_p, *flows(*scores, T_b, U_b, nodes, log_p)


def skewed(like: Tensor, R: int, T: int, U1: int, dtype: torch.dtype) -> Tensor:
    """Return an uninitialized (R, T, U+1): node (t, u) is in row t + u, column u of memory (T + U, U+1)."""
    diagonals = like.new_empty(R, T + U1 - 1 if T else 0, U1, dtype=dtype)
    return diagonals.as_strided((R, T, U1), (diagonals.stride(0), U1, U1 + 1))


def sweep(
    log_blank: Tensor, log_label: Tensor, T_b: Tensor, U_b: Tensor, turned: bool
) -> tuple[Tensor, Tensor]:
    """Return α, followed by β if ``turned``, and ln Pr(y | x) (B,).

    α and β are `skewed` (B or 2B, T, U+1) in float64; their padding is not written. The scores are (B, T,
    U+1), with any padding and the same strides. β(T-1, U) is ∅(T-1, U), as in Graves 2012, eq. 18.
    """
    assert log_blank.stride() == log_label.stride()
    B, T, U1 = log_blank.shape
    nodes = skewed(log_blank, 2 * B if turned else B, T, U1, torch.float64)
    log_p = log_blank.new_empty(B, dtype=torch.float64)
    block = triton.next_power_of_2(U1)
    with torch.cuda.device_of(nodes):
        sweep_kernel[(len(nodes),)](
            log_blank, log_label, T_b, U_b, nodes, log_p, *log_blank.stride(), *nodes.stride(), B, block,
            num_warps=max(1, min(16, block // 32)),
        )  # fmt: skip
    return nodes, log_p


def flows(
    log_blank: Tensor, log_label: Tensor, T_b: Tensor, U_b: Tensor, nodes: Tensor, log_p: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the probabilities that a path leaves (t, u) by blank and by label; 0 in the padding.

    Both are (B, T, U+1). The scores are `skewed`. ``nodes`` and ``log_p`` are from `sweep`, turned.
    """
    B, T, U1 = log_blank.shape
    out = log_blank.new_empty(2, B, T, U1)
    with torch.cuda.device_of(out):
        flow_kernel[(triton.cdiv(B * T * U1, BLOCK),)](
            log_blank, log_label, T_b, U_b, nodes, log_p, out, *log_blank.stride(), B, T, U1, BLOCK
        )
    return out[0], out[1]


# `no_type_check` keeps the tests' shape checker from wrapping functions that Triton must compile.


# do_not_specialize: otherwise Triton compiles a variant for every divisibility of these arguments
@triton.jit(do_not_specialize=["each", "row", "column", "each_node", "row_node", "column_node", "B"])
@no_type_check
def sweep_kernel(
    log_blank, log_label, T_b, U_b, nodes, log_p, each, row, column, each_node, row_node, column_node, B,
    BLOCK: tl.constexpr,
):  # fmt: skip
    # Forward (eq. 16), lane i is column u = i and row t' is t. Backward (eq. 18), the same recursion starts
    # at the end: lane i is column U - i, row t' is T - t, and row 0 is only the end after the last frame.
    r = tl.program_id(0)
    b = r % B
    T, U = tl.load(T_b + b).to(tl.int32), tl.load(U_b + b).to(tl.int32)
    i = tl.arange(0, BLOCK)
    # 64 bits: there may be more than 2**31 nodes
    log_blank += b.to(tl.int64) * each
    log_label += b.to(tl.int64) * each
    nodes += r.to(tl.int64) * each_node
    nothing = tl.full((BLOCK,), -float("inf"), tl.float64)
    node = tl.where(i == 0, 0.0, nothing)
    if (r < B) & (T > 0):
        tl.store(nodes + i, node, mask=i == 0)
    blank, label = _entering(log_blank, log_label, r < B, 1, i, T, U, row, column)
    n = 1
    # not `for`: under numpy 2.4 the interpreter cannot make a range of a value known only at run time
    while n <= T + U:
        # load the next diagonal's scores before this diagonal's sums, to hide the latency
        next_blank, next_label = _entering(log_blank, log_label, r < B, n + 1, i, T, U, row, column)
        node = add_logs(node + blank.to(tl.float64), from_before(node, i) + label.to(tl.float64))
        t = tl.where(r < B, n - i, T - (n - i))
        u = tl.where(r < B, i, U - i)
        inside = (t >= 0) & (t < T) & (i <= U)
        tl.store(nodes + t * row_node + u * column_node, node, mask=inside)
        blank, label = next_blank, next_label
        n += 1
    if r < B:
        # the last blank led to the node after the last frame
        tl.store(log_p + b, pick(node, i == U))


@triton.jit
@no_type_check
def _entering(log_blank, log_label, forwards, n, i, T, U, row, column):
    """Return the scores of the steps into diagonal n by blank and by label, -inf where there is no step."""
    t = tl.where(forwards, n - i - 1, T - (n - i))
    u = tl.where(forwards, i, U - i)
    way = (t >= 0) & (t < T) & (i <= U)
    blank = tl.load(log_blank + t * row + u * column, mask=way, other=-INFINITY)
    # forward, a step has the score of the node before; backward, the node's own
    t += tl.where(forwards, 1, 0)
    u -= tl.where(forwards, 1, 0)
    way = (t >= 0) & (t < T) & (i > 0) & (i <= U)
    return blank, tl.load(log_label + t * row + u * column, mask=way, other=-INFINITY)


@triton.jit
@no_type_check
def flows_at(log_blank, log_label, nodes, total, b, t, u, T, U, real, each, row, column, B):
    """Return α(t, u) Pr(k | t, u) β(next node) / Pr(y | x) for k the blank and for k the label.

    The scores have the strides of the nodes.
    """
    # an impossible target has no flow: avoid -inf - -inf = NaN
    real = real & (total > -INFINITY)
    at = t * row + u * column
    here, there = b.to(tl.int64) * each, (b + B).to(tl.int64) * each
    alpha = tl.load(nodes + here + at, mask=real, other=-INFINITY) - tl.where(total > -INFINITY, total, 0.0)
    after = tl.load(nodes + there + at + row, mask=real & (t + 1 < T), other=-INFINITY)
    # after the last frame, only the node (T, U) is the end
    after = tl.where((t + 1 == T) & (u == U), 0.0, after)
    by_blank = tl.exp(alpha + tl.load(log_blank + here + at, mask=real, other=-INFINITY) + after)
    after = tl.load(nodes + there + at + column, mask=real & (u < U), other=-INFINITY)
    by_label = tl.exp(alpha + tl.load(log_label + here + at, mask=real & (u < U), other=-INFINITY) + after)
    return by_blank, by_label


@triton.jit(do_not_specialize=["each", "row", "column", "B", "T", "U1"])
@no_type_check
def flow_kernel(
    log_blank, log_label, T_b, U_b, nodes, log_p, out, each, row, column, B, T, U1, BLOCK: tl.constexpr
):
    node = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = node < B.to(tl.int64) * T * U1
    u = node % U1
    t = node // U1 % T
    b = node // (U1 * T)
    frames = tl.load(T_b + b, mask=inside, other=0)
    U = tl.load(U_b + b, mask=inside, other=0)
    total = tl.load(log_p + b, mask=inside, other=0.0)
    real = (t < frames) & (u <= U)
    given = log_blank, log_label, nodes, total, b, t, u, frames, U, real
    by_blank, by_label = flows_at(*given, each, row, column, B)
    tl.store(out + node, by_blank.to(out.dtype.element_ty), mask=inside)
    tl.store(out + B.to(tl.int64) * T * U1 + node, by_label.to(out.dtype.element_ty), mask=inside)
