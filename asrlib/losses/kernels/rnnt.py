"""The transducer's three passes as Triton kernels, for a GPU (Lesson 07).

`losses.rnnt` is the reference and chooses these by itself for tensors on a GPU; nobody needs to call them.
Symbols and equation numbers are Graves 2012's, as there.

    read      logits -> ∅(t, u), y(t, u): one pass over the vocabulary, three numbers written a node
    recursion α and β, row by row: one program an utterance and direction
    gradient  logits -> gradient: one pass over the vocabulary, read once, written once

With TRITON_INTERPRET=1 in the environment before Python starts, all three run on a CPU, slowly: so they are
tested.
"""

from __future__ import annotations

import os
from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
# logits of one node taken at a time
BLOCK_V = 1024
# a row of the lattice is held in the registers of one program
LONGEST_ROW = 4096


def read(logits: Tensor, batch) -> tuple[Tensor, Tensor, Tensor]:
    """log_blank, log_label (B, T, U+1) and logsumexp over V (B, T, U+1); the padding is not written.

    A logit that is NaN or infinite makes its node's three numbers NaN.
    """
    logits = logits.contiguous()
    B, T, U1, V = logits.shape
    dtype = torch.promote_types(logits.dtype, torch.float32)
    log_blank, log_label, lse = (logits.new_empty((B, T, U1), dtype=dtype) for _ in range(3))
    with torch.cuda.device_of(logits):
        _read_kernel[(B * T * U1,)](
            logits, batch.labels, batch.T_b, batch.U_b, log_blank, log_label, lse, T, U1, V, batch.blank,
            BLOCK_V,
        )  # fmt: skip
    return log_blank, log_label, lse


def sweep(log_blank: Tensor, log_label: Tensor, turned: bool) -> Tensor:
    """α of the lattices (B, T+1, U+1); `turned` adds β: (B or 2B, T+1, U+1), natural logs in float64."""
    B, T1, U1 = log_blank.shape
    nodes = log_blank.new_empty((2 * B if turned else B, T1, U1), dtype=torch.float64)
    block = triton.next_power_of_2(U1)
    lattices = log_blank.contiguous(), log_label.contiguous()
    warps = max(1, min(8, block // 64))
    with torch.cuda.device_of(nodes):
        _recursion_kernel[(len(nodes),)](*lattices, nodes, B, T1, U1, block, num_warps=warps)
    return nodes


def gradient(logits, lse, blank_flow, label_flow, scale, batch, clamp: float) -> Tensor:
    """∂(-ln Pr)/∂logits, each utterance times scale[b]; 0 in the padding. Shapes and dtype of `logits`."""
    logits = logits.contiguous()
    B, T, U1, V = logits.shape
    grad = torch.empty_like(logits)
    with torch.cuda.device_of(logits):
        _gradient_kernel[(B * T * U1,)](
            logits, lse, batch.labels, batch.T_b, batch.U_b, blank_flow.contiguous(), label_flow.contiguous(),
            scale.contiguous(), grad, T, U1, V, batch.blank, clamp, clamp > 0, BLOCK_V,
        )  # fmt: skip
    return grad


# `no_type_check` keeps the test run's shape checker from wrapping what Triton has to compile.


@triton.jit
@no_type_check
def _read_kernel(
    logits, labels, T_b, U_b, log_blank, log_label, lse, T, U1, V: tl.constexpr, blank, BLOCK: tl.constexpr
):  # fmt: skip
    node = tl.program_id(0)
    u = node % U1
    t = node // U1 % T
    b = node // (U1 * T)
    if (t < tl.load(T_b + b)) & (u <= tl.load(U_b + b)):
        # 64 bits: a batch has more than 2**31 logits
        row = logits + node.to(tl.int64) * V
        # a double stays a double, everything else becomes a float
        label = tl.load(labels + b * U1 + u)
        at_blank = tl.load(row + blank).to(lse.dtype.element_ty)
        at_label = tl.load(row + label).to(lse.dtype.element_ty)
        largest = at_blank
        total = at_blank * 0
        poison = at_blank * 0
        for start in range(0, V, BLOCK):
            v = start + tl.arange(0, BLOCK)
            x = tl.load(row + v, mask=v < V, other=-float("inf")).to(lse.dtype.element_ty)
            new = tl.maximum(largest, tl.max(x, 0))
            total = total * tl.exp(largest - new) + tl.sum(tl.exp(x - new), 0)
            largest = new
            # 0 for every number, NaN for the others
            poison += tl.sum(tl.where(v < V, x * 0, 0), 0)
        norm = largest + tl.log(total) + poison
        tl.store(lse + node, norm)
        tl.store(log_blank + node, at_blank - norm)
        tl.store(log_label + node, at_label - norm)


@triton.jit
@no_type_check
def _logaddexp(x, y):
    largest = tl.maximum(x, y)
    # -inf - -inf would be NaN
    safe = tl.where(largest == -float("inf"), 0.0, largest)
    return safe + tl.log(tl.exp(x - safe) + tl.exp(y - safe))


@triton.jit
@no_type_check
def _follow(a1, b1, a2, b2):
    """x -> log(e^(x + a) + e^b), one such step after another, is such a step again."""
    return a1 + a2, _logaddexp(b1 + a2, b2)


# or each divisibility of the three numbers would be compiled for itself
@triton.jit(do_not_specialize=["B", "T1", "U1"])
@no_type_check
def _recursion_kernel(log_blank, log_label, nodes, B, T1, U1, BLOCK: tl.constexpr):
    # Eq. 16 along a row: α(t, u) = log(e^(α(t, u-1) + y(t, u-1)) + e^(wait(u))), where wait(u) = α(t-1, u)
    # + ∅(t-1, u) is known from the row before. Each u is a step of `_follow`, so a scan does the row in
    # log2(U) rounds.
    r = tl.program_id(0)
    lattice = (r % B).to(tl.int64) * T1 * U1
    u = tl.arange(0, BLOCK)
    inside = u < U1
    nothing = tl.full((BLOCK,), -float("inf"), tl.float64)
    wait = tl.where(u == 0, 0.0, nothing)
    step = 0
    # not `for`: under numpy 2.4 the interpreter cannot make a range of a number known only at run time
    while step < T1:
        if r < B:
            # forwards, a node is entered on the scores of the node before
            here = step * U1 + u
            label = tl.load(log_label + lattice + here - 1, mask=inside & (u > 0), other=-float("inf"))
            blank = tl.load(log_blank + lattice + here, mask=inside, other=-float("inf"))
        else:
            # backwards, on its own: β(t, u) = log(e^(β(t, u+1) + y(t, u)) + e^(β(t+1, u) + ∅(t, u))), eq. 18
            here = (T1 - 1 - step) * U1 + U1 - 1 - u
            label = tl.load(log_label + lattice + here, mask=inside & (u > 0), other=-float("inf"))
            earlier = inside & (step < T1 - 1)
            blank = tl.load(log_blank + lattice + here - U1, mask=earlier, other=-float("inf"))
        _, alpha = tl.associative_scan((label.to(tl.float64), wait), 0, _follow)
        tl.store(nodes + r.to(tl.int64) * T1 * U1 + here, alpha, mask=inside)
        wait = alpha + blank.to(tl.float64)
        step += 1


@triton.jit
@no_type_check
def _gradient_kernel(
    logits, lse, labels, T_b, U_b, blank_flow, label_flow, scale, grad, T, U1, V: tl.constexpr, blank, clamp,
    CLAMPED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    node = tl.program_id(0)
    u = node % U1
    t = node // U1 % T
    b = node // (U1 * T)
    offset = node.to(tl.int64) * V
    real = (t < tl.load(T_b + b)) & (u <= tl.load(U_b + b))
    by_blank = tl.load(blank_flow + node)
    by_label = tl.load(label_flow + node)
    norm = tl.load(lse + node, mask=real, other=0.0)
    label = tl.load(labels + b * U1 + u)
    factor = tl.load(scale + b)
    for start in range(0, V, BLOCK):
        v = start + tl.arange(0, BLOCK)
        x = tl.load(logits + offset + v, mask=(v < V) & real, other=-float("inf")).to(lse.dtype.element_ty)
        # eq. 20, and the softmax: γ(t, u) Pr(k | t, u) minus the flow that leaves by k
        g = tl.exp(x - norm) * (by_blank + by_label)
        g -= tl.where(v == blank, by_blank, 0.0) + tl.where(v == label, by_label, 0.0)
        if CLAMPED:
            g = tl.minimum(tl.maximum(g, -clamp), clamp)
        g = tl.where(real, g * factor, 0.0)
        tl.store(grad + offset + v, g.to(grad.dtype.element_ty), mask=v < V)
