"""CTC's forward-backward as Triton kernels: one launch for α and β, one for the gradient (Lesson 06).

`losses.ctc` calls these on a GPU. Symbols and equation numbers are those used there. The states of l' form
pairs, one for each place u = 0 .. U of the target: the blank before label u (state 2u), and label u (state 2u
+ 1; there is none after the last blank). With y for the log probability of a state's symbol and ⊕ for the sum
of logarithms, eq. 6 reads

    blank(u) ← y + (blank(u) ⊕ label(u-1))
    label(u) ← y + (label(u) ⊕ blank(u) ⊕ label(u-1), the last only if the two labels differ)

Each place therefore needs only the label of the place before it. β is α of the reversed utterance and target:
the second half of the programs computes it, and writes each value at its original frame and state. Both α and
β include frame t, as in the paper, so a path through (t, s) has α + β - y.

There is one program per utterance and direction, with T steps. The time is T times about half a microsecond
of float64 exp and log, independent of the batch. Memory traffic is small: (T, B, 2, U+1) in float64, twice,
written and read (62 MB at T 500, B 64, U 60: 40 µs at 3 TB/s), and the gradient (T, B, V).
"""

from __future__ import annotations

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from asrlib.losses.kernels.logs import INFINITY, add_logs, from_before, pick


def ctc_losses(log_probs: Tensor, labels: Tensor, T_b: Tensor, U_b: Tensor, blank: int) -> Tensor:
    """Return -ln p(l | x) (B,), inf for utterances without a path. The gradient is that of `ctc_loss`.

    log_probs  (T, B, V), with any strides
    labels     (B, U+1), with any valid label in the padding
    T_b, U_b   (B,) lengths, on the same device
    """
    return _CTCLoss.apply(log_probs, labels, T_b, U_b, blank)


class _CTCLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, log_probs, labels, T_b, U_b, blank):
        if log_probs.stride(-1) != 1:
            log_probs = log_probs.contiguous()
        (T, B, _), U1 = log_probs.shape, labels.shape[1]
        wanted = ctx.needs_input_grad[0]
        # without a gradient only α is computed, and only its last frame is needed
        nodes = log_probs.new_empty(2 if wanted else 0, T, B, 2, U1, dtype=torch.float64)
        log_p = log_probs.new_empty(B, dtype=torch.float64)
        block = triton.next_power_of_2(U1)
        with torch.cuda.device_of(log_probs):
            forward_backward_kernel[(2 * B if wanted else B,)](
                log_probs, labels, T_b, U_b, nodes, log_p, *log_probs.stride()[:2], T, B, U1, blank, wanted,
                block, num_warps=max(1, min(8, block // 32)),
            )  # fmt: skip
        ctx.save_for_backward(log_probs, labels, T_b, U_b, nodes, log_p)
        ctx.blank = blank
        return -log_p.to(torch.promote_types(log_probs.dtype, torch.float32))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_losses):
        log_probs, labels, T_b, U_b, nodes, log_p = ctx.saved_tensors
        (T, B, _), U1 = log_probs.shape, labels.shape[1]
        # use the memory order of the log probabilities, which are often (B, T, V) transposed
        grad = torch.zeros_like(log_probs, dtype=grad_losses.dtype)
        block = triton.next_power_of_2(U1)
        with torch.cuda.device_of(log_probs):
            gradient_kernel[(T * B,)](
                log_probs, labels, T_b, U_b, nodes, log_p, grad_losses.contiguous(), grad,
                *log_probs.stride()[:2], *grad.stride()[:2], T, B, U1, ctx.blank, block,
                num_warps=max(1, min(4, block // 32)),
            )  # fmt: skip
        return grad.to(log_probs.dtype), None, None, None, None


# `no_type_check` keeps the tests' shape checker from wrapping functions that Triton must compile.


# do_not_specialize: otherwise Triton compiles a variant for every divisibility of these arguments
@triton.jit(do_not_specialize=["row", "each", "T", "B", "U1", "blank"])
@no_type_check
def forward_backward_kernel(
    log_probs, labels, T_b, U_b, nodes, log_p, row, each, T, B, U1, blank, WRITTEN: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    r = tl.program_id(0)
    b = r % B
    backwards = r >= B
    length, U = tl.load(T_b + b).to(tl.int32), tl.load(U_b + b).to(tl.int32)
    u = tl.arange(0, BLOCK)
    is_blank, is_label = u <= U, u < U
    # index in the target of place u: the reversed target has its last label first
    blank_at = tl.where(backwards, U - u, u)
    label_at = tl.where(backwards, U - 1 - u, u)
    label = tl.load(labels + b * U1 + label_at, mask=is_label, other=0)
    differs = label != tl.gather(label, tl.maximum(u - 1, 0), 0)
    # 64 bits: there may be more than 2**31 log probabilities or nodes
    y = log_probs + b.to(tl.int64) * each
    t = tl.where(backwards, length - 1, 0).to(tl.int64)
    step = tl.where(backwards, -1, 1)
    first = nodes + tl.where(backwards, 1, 0).to(tl.int64) * T * B * 2 * U1
    nothing = tl.full((BLOCK,), -float("inf"), tl.float64)
    # before the first frame all paths are in the first blank, where they may stay or which they may leave
    in_blank, in_label = tl.where(u == 0, 0.0, nothing), nothing
    y_blank = tl.load(y + t * row + blank, mask=length > 0, other=0.0)
    y_label = tl.load(y + t * row + label, mask=is_label & (length > 0), other=0.0)
    n = 0
    # not `for`: under numpy 2.4 the interpreter cannot make a range of a value known only at run time
    while n < length:
        # load the next frame's scores before this frame's sums, to hide the latency
        soon = t + tl.where(n + 1 < length, step, 0)
        next_blank = tl.load(y + soon * row + blank)
        next_label = tl.load(y + soon * row + label, mask=is_label, other=0.0)
        before = from_before(in_label, u)
        jump = tl.where(differs, before, -INFINITY)
        stay = add_logs(in_blank, before)
        in_label = add_logs(add_logs(in_label, in_blank), jump) + y_label.to(tl.float64)
        in_label = tl.where(is_label, in_label, -INFINITY)
        in_blank = tl.where(is_blank, stay + y_blank.to(tl.float64), -INFINITY)
        if WRITTEN:
            at = first + (t * B + b) * 2 * U1
            tl.store(at + blank_at, in_blank, mask=is_blank)
            tl.store(at + U1 + label_at, in_label, mask=is_label)
        y_blank, y_label, t = next_blank, next_label, soon
        n += 1
    if r < B:
        # eq. 8: a path ends in the last blank or the last label; without frames, where it starts
        last_label = tl.where(U > 0, pick(in_label, u == U - 1), -INFINITY)
        tl.store(log_p + b, add_logs(pick(in_blank, u == U), last_label))


@triton.jit(do_not_specialize=["row", "each", "row_grad", "each_grad", "T", "B", "U1", "blank"])
@no_type_check
def gradient_kernel(
    log_probs, labels, T_b, U_b, nodes, log_p, grad_losses, grad, row, each, row_grad, each_grad, T, B, U1,
    blank, BLOCK: tl.constexpr,
):  # fmt: skip
    # eq. 15 for ln p(l|x) and log y: -Σ γ(t, s) over the states s that show label k; eq. 14: γ = αβ / y / p
    r = tl.program_id(0).to(tl.int64)
    b, t = r % B, r // B
    total, factor = tl.load(log_p + b), tl.load(grad_losses + b)
    factor = tl.where(tl.abs(factor) < INFINITY, factor, 0.0)
    # an impossible utterance has γ = 0: skip it, and avoid inf · 0 = NaN
    if (t < tl.load(T_b + b)) & (total > -INFINITY):
        U = tl.load(U_b + b)
        u = tl.arange(0, BLOCK)
        label = tl.load(labels + b * U1 + u, mask=u < U, other=0)
        at = nodes + r * 2 * U1 + u
        turned = at + T.to(tl.int64) * B * 2 * U1
        scores = log_probs + t * row + b * each
        out = grad + t * row_grad + b * each_grad
        y = tl.load(scores + blank).to(tl.float64)
        way = tl.load(at, mask=u <= U, other=-INFINITY) + tl.load(turned, mask=u <= U, other=-INFINITY)
        by_blank = tl.where(way > -INFINITY, tl.exp(way - y - total), 0.0)
        tl.store(out + blank, (-tl.sum(by_blank, 0) * factor).to(grad.dtype.element_ty))
        y = tl.load(scores + label, mask=u < U, other=0.0).to(tl.float64)
        way = tl.load(at + U1, mask=u < U, other=-INFINITY)
        way += tl.load(turned + U1, mask=u < U, other=-INFINITY)
        by_label = tl.where(way > -INFINITY, tl.exp(way - y - total), 0.0)
        # a label may occur more than once in the target
        flow = (-by_label * factor).to(grad.dtype.element_ty)
        tl.atomic_add(out + label, flow, mask=u < U, sem="relaxed")
