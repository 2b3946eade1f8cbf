"""The joint network and the transducer loss, chunk by chunk around cuBLAS matrix products (Lesson 07b).

    h(b, t, u) = activation(encoder(b, t) + prediction(b, u)),   logits = h @ weight.T + bias

`losses.joint` calls this on a GPU. A chunk takes three launches forward (hidden, product, read) and seven
backward. No shape depends on a value on the device, so a CUDA graph can capture everything. Every node of the
rectangle is computed, including padding: the products run at hundreds of TFLOP/s, and the host never waits to
learn which nodes are valid.

Memory traffic in bytes per node, with D hidden values and V logits in 16 bits:

    forward   hidden writes 2D, product reads 2D and writes 2V, read reads 2V                      4D + 4V
    backward  the same products again; the logits become their gradient in place (4V), which two
              products read (4V + 2D), one writes 2D, `split_gradient` reads 2D                    10D + 10V

At (B, T, U, V, D) = (64, 154, 60, 1000, 640) there are 0.6 M nodes: 1.3 and 3.3 ms at 3 TB/s, and four
products of 0.77 TFLOP, 1 ms each. A chunk that stays in the L2 cache (50 MB) moves less.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from asrlib.losses.kernels.diagonals import sweep
from asrlib.losses.kernels.vocabulary import Chunk, Scores, read, write_gradient

# sizes of a tile in labels and in hidden values, and the number of frames that share a sum
LABELS, WIDTH, FRAMES = 32, 64, 16


class Plan(NamedTuple):
    """Settings of the computation.

    blank       index of the blank
    activation  "tanh", "relu", "swish" or "linear"
    nodes       about how many nodes' logits to hold at a time
    compute     dtype of the matrix products
    """

    blank: int
    activation: str
    nodes: int
    compute: torch.dtype


def joint_rnnt_losses(
    encoder: Tensor,
    prediction: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    T_b: Tensor,
    U_b: Tensor,
    plan: Plan,
    status: Tensor | None = None,
) -> Tensor:
    """Return -ln Pr(y | x) (B,) in float32 or wider. The gradients are those of `joint_rnnt_loss`.

    encoder     (B, T, D)
    prediction  (B, U+1, D)
    weight      (V, D)
    bias        (V,) or None
    labels      (B, U+1)
    T_b, U_b    (B,) lengths
    status      (B,), marked as by `vocabulary.read`, or None
    """
    return _JointRNNTLoss.apply(encoder, prediction, weight, bias, labels, T_b, U_b, plan, status)


class _JointRNNTLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, encoder, prediction, weight, bias, labels, T_b, U_b, plan, status):
        encoder, prediction = encoder.contiguous(), prediction.contiguous()
        (B, T, _), U1 = encoder.shape, prediction.shape[1]
        layer = weight.to(plan.compute), None if bias is None else bias.to(plan.compute)
        scores = Scores.new(encoder, B, T, U1)
        for chunk in _chunks(B, T, U1, plan.nodes):
            h = hidden(encoder, prediction, T_b, U_b, chunk, plan.activation, plan.compute)
            read(_logits(h, *layer), labels, T_b, U_b, scores, chunk, plan.blank, status=status)
        found = sweep(*scores[:2], T_b, U_b, turned=any(ctx.needs_input_grad))
        ctx.save_for_backward(encoder, prediction, weight, bias, *layer, labels, T_b, U_b, *scores, *found)
        ctx.plan = plan
        return -found[1].to(scores.lse.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_losses):
        encoder, prediction, weight, bias, low_weight, low_bias, *lattice = ctx.saved_tensors
        plan, (_, T_b, U_b, _, _, lse, _, _) = ctx.plan, lattice
        (B, T, D), U1, dtype = encoder.shape, prediction.shape[1], lse.dtype
        scale = grad_losses.to(dtype).contiguous()
        # nodes with a smaller occupancy change no digit of the gradient
        visited = torch.finfo(dtype).eps / 128
        d_encoder = encoder.new_empty(B, T, D, dtype=dtype)
        d_prediction = encoder.new_zeros(B, U1, D, dtype=dtype)
        d_weight, d_bias = torch.zeros_like(weight, dtype=dtype), weight.new_zeros(len(weight), dtype=dtype)
        for chunk in _chunks(B, T, U1, plan.nodes):
            h = hidden(encoder, prediction, T_b, U_b, chunk, plan.activation, plan.compute)
            d_logits = _logits(h, low_weight, low_bias)
            write_gradient(d_logits, d_logits, lattice, scale, chunk, plan.blank, visited=visited)
            if bias is not None:
                d_bias += d_logits.sum(0, dtype=dtype)
            if ctx.needs_input_grad[2]:
                d_weight += _product(d_logits.T, h, dtype)
            d_h = torch.mm(d_logits, low_weight, out=h)
            split_gradient(d_h, encoder, prediction, chunk, plan.activation, d_encoder, d_prediction)
        return (
            d_encoder.to(encoder.dtype),
            d_prediction.to(prediction.dtype),
            d_weight.to(weight.dtype),
            None if bias is None else d_bias.to(bias.dtype),
            *[None] * 5,
        )


def _logits(h: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.mm(h, weight.T) if bias is None else torch.addmm(bias, h, weight.T)


def hidden(
    encoder: Tensor,
    prediction: Tensor,
    T_b: Tensor,
    U_b: Tensor,
    chunk: Chunk,
    activation: str,
    dtype: torch.dtype,
) -> Tensor:
    """Return h (N·F·(U+1), D) of a chunk in ``dtype``, with zeros in the padding to keep NaN out of sums."""
    (_, T, D), U1 = encoder.shape, prediction.shape[1]
    b0, N, t0, F = chunk
    h = encoder.new_empty(N * F * U1, D, dtype=dtype)
    with torch.cuda.device_of(h):
        hidden_kernel[(N * F, triton.cdiv(U1, LABELS), triton.cdiv(D, WIDTH))](
            encoder, prediction, T_b, U_b, h, b0, t0, F, T, U1, D, activation, LABELS, WIDTH
        )
    return h


def split_gradient(
    d_h: Tensor,
    encoder: Tensor,
    prediction: Tensor,
    chunk: Chunk,
    activation: str,
    d_encoder: Tensor,
    d_prediction: Tensor,
) -> None:
    """Split the gradient of a chunk's h into the gradients of encoder and prediction.

    The first is written into ``d_encoder`` (B, T, D), the second is added to ``d_prediction`` (B, U+1, D).
    """
    (_, T, D), U1 = encoder.shape, prediction.shape[1]
    b0, N, t0, F = chunk
    some, many = triton.cdiv(U1, LABELS), triton.cdiv(F, FRAMES)
    by_frame, by_label = d_encoder.new_empty(some, N, F, D), d_encoder.new_empty(many, N, U1, D)
    with torch.cuda.device_of(d_h):
        split_kernel[(many, some * triton.cdiv(D, WIDTH), N)](
            d_h, encoder, prediction, by_frame, by_label, b0, t0, N, F, T, U1, D, activation, some, FRAMES,
            LABELS, WIDTH,
        )  # fmt: skip
    d_encoder[b0 : b0 + N, t0 : t0 + F] = by_frame.sum(0)
    d_prediction[b0 : b0 + N] += by_label.sum(0)


def _chunks(B: int, T: int, U1: int, nodes: int) -> Iterator[Chunk]:
    """Yield chunks of about ``nodes`` nodes: whole utterances, or frames of a single one."""
    frames = max(1, nodes // U1)
    together, frames = max(1, frames // max(T, 1)), min(frames, T)
    for b in range(0, B, together):
        for t in range(0, T, max(frames, 1)):
            yield Chunk(b, min(together, B - b), t, min(frames, T - t))


def _product(a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a @ b in ``dtype``. cuBLAS can write its float32 sums without rounding them first."""
    if a.is_cuda and a.dtype != dtype:
        return torch.mm(a, b, out_dtype=dtype)
    return torch.mm(a, b).to(dtype)


# `no_type_check` keeps the tests' shape checker from wrapping functions that Triton must compile.


@triton.jit
@no_type_check
def activate(z, ACTIVATION: tl.constexpr):
    """Return the activation of z, elementwise."""
    if ACTIVATION == "tanh":
        z = 1 - 2 / (tl.exp(2 * z) + 1)
    elif ACTIVATION == "relu":
        z = tl.where(z < 0, 0.0, z)  # NaN stays NaN
    elif ACTIVATION == "swish":
        z = z / (1 + tl.exp(-z))
    return z


@triton.jit
@no_type_check
def slope_of(z, ACTIVATION: tl.constexpr):
    """Return the derivative of the activation at z, elementwise."""
    slope = z * 0 + 1
    if ACTIVATION == "tanh":
        h = 1 - 2 / (tl.exp(2 * z) + 1)
        slope = 1 - h * h
    elif ACTIVATION == "relu":
        slope = tl.where(z > 0, 1.0, 0.0)
    elif ACTIVATION == "swish":
        s = 1 / (1 + tl.exp(-z))
        slope = s * (1 + z * (1 - s))
    return slope


@triton.jit(do_not_specialize=["b0", "t0", "F", "T", "U1"])
@no_type_check
def hidden_kernel(
    encoder, prediction, T_b, U_b, h, b0, t0, F, T, U1, D, ACTIVATION: tl.constexpr, LABELS: tl.constexpr,
    WIDTH: tl.constexpr,
):  # fmt: skip
    kind: tl.constexpr = tl.float64 if encoder.dtype.element_ty == tl.float64 else tl.float32
    frame = tl.program_id(0)
    b, t = b0 + frame // F, t0 + frame % F
    u = tl.program_id(1) * LABELS + tl.arange(0, LABELS)
    d = tl.program_id(2) * WIDTH + tl.arange(0, WIDTH)
    frame_side = tl.load(encoder + (b.to(tl.int64) * T + t) * D + d, mask=d < D, other=0.0).to(kind)
    inside = (u < U1)[:, None] & (d < D)[None, :]
    side = prediction + (b.to(tl.int64) * U1 + u)[:, None] * D + d[None, :]
    label_side = tl.load(side, mask=inside, other=0.0).to(kind)
    real = (u <= tl.load(U_b + b)) & (t < tl.load(T_b + b))
    out = tl.where(real[:, None], activate(frame_side[None, :] + label_side, ACTIVATION), 0.0)
    at = (frame.to(tl.int64) * U1 + u)[:, None] * D + d[None, :]
    tl.store(h + at, out.to(h.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["b0", "t0", "N", "F", "T", "U1"])
@no_type_check
def split_kernel(
    d_h, encoder, prediction, by_frame, by_label, b0, t0, N, F, T, U1, D, ACTIVATION: tl.constexpr,
    SOME: tl.constexpr, FRAMES: tl.constexpr, LABELS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    # A tile has some labels of some frames. The gradient of a frame is summed over these labels, that of a
    # label over these frames. The gradient in the padding is zero already.
    kind: tl.constexpr = by_frame.dtype.element_ty
    n = tl.program_id(2)
    part = tl.program_id(1) % SOME
    u = part * LABELS + tl.arange(0, LABELS)
    d = tl.program_id(1) // SOME * WIDTH + tl.arange(0, WIDTH)
    inside = (u < U1)[:, None] & (d < D)[None, :]
    side = prediction + ((b0 + n).to(tl.int64) * U1 + u)[:, None] * D + d[None, :]
    label_side = tl.load(side, mask=inside, other=0.0).to(kind)
    total = tl.zeros((LABELS, WIDTH), kind)
    for k in range(FRAMES):
        f = tl.program_id(0) * FRAMES + k
        at = (n + b0).to(tl.int64) * T + t0 + f
        frame_side = tl.load(encoder + at * D + d, mask=(d < D) & (f < F), other=0.0).to(kind)
        at = n.to(tl.int64) * F + f
        g = tl.load(d_h + (at * U1 + u)[:, None] * D + d[None, :], mask=inside & (f < F), other=0.0).to(kind)
        # the padding may hold NaN, but its gradient is zero
        g = tl.where(g == 0, 0.0, g * slope_of(frame_side[None, :] + label_side, ACTIVATION))
        total += g
        at += part.to(tl.int64) * N * F
        tl.store(by_frame + at * D + d, tl.sum(g, 0), mask=(d < D) & (f < F))
    at = (tl.program_id(0).to(tl.int64) * N + n) * U1
    tl.store(by_label + (at + u)[:, None] * D + d[None, :], total, mask=inside)
