"""Depthwise convolution over time of (B, T, C), channels last, as Triton kernels.

There is one forward and one backward kernel. The gradients of input and weight need the same pairs of output
gradient and input frame, so one pass computes both. With N bytes for one (B, T, C) and stride 1:

    forward   reads x, writes y             2N    neighboring taps are read from the L1 cache
    backward  reads dy, x, writes dx        3N    (as two kernels: 4N)

At (64, 1229, 128) in bfloat16 N is 20 MB: 13 and 20 µs at 3 TB/s.
"""

from __future__ import annotations

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from asrlib.models.kernels import tiles

# frames per tile of the backward kernel, which holds the tile in registers once per tap
ROWS_BACK = 8


def depthwise_conv(x: Tensor, weight: Tensor, taps: Tensor, stride: int, before: int, after: int) -> Tensor:
    """Return the same as `layers.conv.depthwise_conv`: x (B, T, C), weight (C, K) -> (B, T_out, C).

    Sums are in float32 or wider. `x` and `weight` may have different dtypes.

    taps           weight.T, (K, C), contiguous, so that adjacent channels are read 16 bytes at a time
    before, after  zeros around the T frames, from `layers.conv.pad_amounts`
    """
    return _Depthwise.apply(x, weight, taps, stride, before, after)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, taps, stride, before, after):
        x = x.contiguous()
        ctx.save_for_backward(x, taps)
        ctx.arguments, ctx.dtype = (before, stride, len(taps)), weight.dtype
        return convolve(x, taps, stride, before, after)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, taps = ctx.saved_tensors
        (_, T, C), K = x.shape, len(taps)
        grid = tiles.shared_grid(x, ROWS_BACK)
        dtype = torch.promote_types(x.dtype, torch.float32)
        d_x, parts = torch.empty_like(x), x.new_empty(grid[0], C, K, dtype=dtype)
        count = tiles.tile_grid(x, ROWS_BACK)[0]
        with torch.cuda.device_of(x):
            backward_kernel[grid](
                grad.contiguous(), x, taps, d_x, parts, count, T, grad.shape[1], C, taps.stride(0),
                *ctx.arguments, ROWS_BACK, tiles.CHANNELS, num_warps=4,
            )  # fmt: skip
        return d_x, tiles.sum_parts(parts).to(ctx.dtype), None, None, None, None


def convolve(x: Tensor, taps: Tensor, stride: int, before: int, after: int) -> Tensor:
    """Compute `depthwise_conv` without recording a gradient."""
    (B, T, C), K = x.shape, len(taps)
    T_out = (T + before + after - K) // stride + 1
    y = x.new_empty(B, T_out, C)
    with torch.cuda.device_of(x):
        forward_kernel[tiles.tile_grid(y)](
            x, taps, y, T, T_out, C, taps.stride(0), before, stride, K, tiles.ROWS, tiles.CHANNELS,
            num_warps=8,
        )  # fmt: skip
    return y


# `no_type_check` keeps the tests' shape checker from wrapping functions that Triton must compile.


@triton.jit
@no_type_check
def place(tile, T, ROWS: tl.constexpr):
    """Return the utterance and the ROWS frame numbers of a tile. Some may be past the utterance's end."""
    per_utterance = tl.cdiv(T, ROWS)
    b = tile // per_utterance
    return b, (tile - b * per_utterance) * ROWS + tl.arange(0, ROWS)


@triton.jit
@no_type_check
def load_frames(of, b, t, inside, T, C, c):
    """Load frames t of utterance b, and zeros where there is no frame."""
    inside = (inside & (t >= 0) & (t < T))[:, None] & (c < C)[None, :]
    # 64 bits: a batch may have more than 2**31 numbers
    return tl.load(of + b.to(tl.int64) * T * C + (t[:, None] * C + c[None, :]), mask=inside, other=0.0)


@triton.jit
@no_type_check
def store_frames(of, value, b, t, T, C, c):
    """Store a tile at the place where `load_frames` loads it."""
    at = b.to(tl.int64) * T * C + (t[:, None] * C + c[None, :])
    tl.store(of + at, value.to(of.dtype.element_ty), mask=(t < T)[:, None] & (c < C)[None, :])


@triton.jit
@no_type_check
def load_output_grads(
    grad, b, t, inside, T_out, C, c, BEFORE: tl.constexpr, STRIDE: tl.constexpr, K: tl.constexpr
):
    """Load, for each tap, the gradients of the output frames that have frames t under that tap."""
    grads = ()
    for k in tl.static_range(K):
        # frame t is under tap k of output frame n if n · stride = t + before - k
        up = t + BEFORE - k
        reached = inside & (up >= 0) & (up % STRIDE == 0)
        grads = grads + (load_frames(grad, b, up // STRIDE, reached, T_out, C, c),)
    return grads


@triton.jit(do_not_specialize=["T", "T_out"])
@no_type_check
def forward_kernel(
    x, taps, y, T, T_out, C, step, BEFORE: tl.constexpr, STRIDE: tl.constexpr, K: tl.constexpr,
    ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    kind: tl.constexpr = tl.float64 if y.dtype.element_ty == tl.float64 else tl.float32
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    b, n = place(tl.program_id(0), T_out, ROWS)
    total = tl.zeros((ROWS, CHANNELS), kind)
    for k in tl.static_range(K):
        tap = tl.load(taps + k * step + c, mask=c < C, other=0.0).to(kind)
        total += tap[None, :] * load_frames(x, b, n * STRIDE + k - BEFORE, n < T_out, T, C, c).to(kind)
    store_frames(y, total, b, n, T_out, C, c)


@triton.jit(do_not_specialize=["tiles", "T", "T_out"])
@no_type_check
def backward_kernel(
    grad, x, taps, d_x, parts, tiles, T, T_out, C, step, BEFORE: tl.constexpr, STRIDE: tl.constexpr,
    K: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    kind: tl.constexpr = parts.dtype.element_ty
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    # one sum per tap in each slot of the tile: threads exchange values only once, at the end
    sums = (tl.zeros((ROWS, CHANNELS), kind),) * K
    tile = tl.program_id(0)
    b, t = place(tile, T, ROWS)
    value = load_frames(x, b, t, tile < tiles, T, C, c)
    grads = load_output_grads(grad, b, t, (tile < tiles) & (t < T), T_out, C, c, BEFORE, STRIDE, K)
    # not `for`: under numpy 2.4 the interpreter cannot make a range of a value known only at run time
    while tile < tiles:
        tile += tl.num_programs(0)
        # load ahead, so that the sums below do not wait for memory
        next_b, next_t = place(tile, T, ROWS)
        next_value = load_frames(x, next_b, next_t, tile < tiles, T, C, c)
        inside = (tile < tiles) & (next_t < T)
        next_grads = load_output_grads(grad, next_b, next_t, inside, T_out, C, c, BEFORE, STRIDE, K)
        by_x = tl.zeros((ROWS, CHANNELS), kind)
        new_sums = ()
        for k in tl.static_range(K):
            g = grads[k].to(kind)
            by_x += tl.load(taps + k * step + c, mask=c < C, other=0.0).to(kind)[None, :] * g
            new_sums = new_sums + (sums[k] + g * value.to(kind),)
        store_frames(d_x, by_x, b, t, T, C, c)
        sums, b, t, value, grads = new_sums, next_b, next_t, next_value, next_grads
    for k in tl.static_range(K):
        at = parts + (tl.program_id(0) * C + c) * K + k
        tl.store(at, tl.sum(sums[k], 0), mask=c < C)
