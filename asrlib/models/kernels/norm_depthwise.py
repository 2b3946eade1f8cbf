"""Batch norm, activation and the next layer's depthwise convolution, fused for the backward pass.

These three operations lie between two matrix products of a block. One backward kernel covers them: it sums
the convolution's input gradient for the norm while it is in registers, and recomputes the convolution's input
from the norm's input, which is kept anyway. The activations, a third of what an encoder keeps for its
backward pass, are therefore not kept. With N bytes for one (B, T, C):

    separate  depthwise backward 3N, norm's reduce 2N, norm's backward 3N
    fused     reads d(out), x, writes the gradient before the norm 3N; norm's backward 3N
"""

from __future__ import annotations

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from asrlib.models.kernels import tiles
from asrlib.models.kernels.activations import activate, activation_grad
from asrlib.models.kernels.depthwise import convolve, load_frames, load_output_grads, place, store_frames
from asrlib.models.kernels.norm import norm_backward, normalize
from asrlib.models.kernels.statistics import batch_statistics
from asrlib.models.kernels.tiles import per_channel

# frames per tile, for which registers hold one sum per tap
ROWS = 8


def norm_depthwise(
    x: Tensor, lengths: Tensor, norm: nn.BatchNorm1d, activation: str, weight: Tensor, taps: Tensor,
    stride: int, before: int, after: int,
) -> Tensor:  # fmt: skip
    """Return `depthwise_conv(masked_norm(x, lengths, norm, activation), weight, taps, ...)`: (B, T_out, C).

    The arguments are those of the two functions.
    """
    arguments = norm, activation, stride, before, after
    return _NormDepthwise.apply(x, lengths.contiguous(), norm.weight, norm.bias, weight, taps, arguments)


class _NormDepthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, lengths, weight, bias, kernel, taps, arguments):
        norm, activation, stride, before, after = arguments
        x = x.contiguous()
        found = batch_statistics(x, lengths, norm)
        y = normalize(x, lengths, found, weight, bias, activation)
        ctx.save_for_backward(x, lengths, found, weight, bias, taps)
        ctx.arguments, ctx.dtype = (activation, before, stride, len(taps)), kernel.dtype
        return convolve(y, taps, stride, before, after)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, lengths, found, weight, bias, taps = ctx.saved_tensors
        (_, T, C), K = x.shape, len(taps)
        grid = tiles.shared_grid(x, ROWS)
        between = torch.empty_like(x)
        by_taps, by_norm = found.new_empty(grid[0], C, K), found.new_empty(grid[0], 2, C)
        count = tiles.tile_grid(x, ROWS)[0]
        with torch.cuda.device_of(x):
            backward_kernel[grid](
                grad.contiguous(), x, lengths, found, weight, bias, taps, between, by_taps, by_norm, count, T,
                grad.shape[1], C, taps.stride(0), *ctx.arguments, ROWS, tiles.CHANNELS, num_warps=4,
            )  # fmt: skip
        sums = tiles.sum_parts(by_norm)
        d_x = norm_backward(between, x, lengths, found, weight, bias, sums, "linear")
        d_bias, d_weight = sums.to(weight.dtype)
        return d_x, None, d_weight, d_bias, tiles.sum_parts(by_taps).to(ctx.dtype), None, None


# `no_type_check` keeps the tests' shape checker from wrapping functions that Triton must compile.


@triton.jit(do_not_specialize=["tiles", "T", "T_out"])
@no_type_check
def backward_kernel(
    grad, x, lengths, found, weight, bias, taps, between, by_taps, by_norm, tiles, T, T_out, C, step,
    ACTIVATION: tl.constexpr, BEFORE: tl.constexpr, STRIDE: tl.constexpr, K: tl.constexpr, ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
):  # fmt: skip
    kind: tl.constexpr = by_taps.dtype.element_ty
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    mean, rstd = per_channel(found, C, CHANNELS), per_channel(found + C, C, CHANNELS)
    scale, shift = per_channel(weight, C, CHANNELS), per_channel(bias, C, CHANNELS)
    # sums in each slot of the tile: threads exchange values only once, at the end
    sums = (tl.zeros((ROWS, CHANNELS), kind),) * K
    by_bias = tl.zeros((ROWS, CHANNELS), kind)
    by_weight = tl.zeros((ROWS, CHANNELS), kind)
    tile = tl.program_id(0)
    b, t = place(tile, T, ROWS)
    valid = t < tl.load(lengths + b)
    value = load_frames(x, b, t, valid, T, C, c)
    grads = load_output_grads(grad, b, t, valid, T_out, C, c, BEFORE, STRIDE, K)
    # not `for`: under numpy 2.4 the interpreter cannot make a range of a value known only at run time
    while tile < tiles:
        tile += tl.num_programs(0)
        # load ahead, so that the sums below do not wait for memory
        next_b, next_t = place(tile, T, ROWS)
        next_valid = next_t < tl.load(lengths + next_b, mask=tile < tiles, other=0)
        next_value = load_frames(x, next_b, next_t, next_valid, T, C, c)
        next_grads = load_output_grads(grad, next_b, next_t, next_valid, T_out, C, c, BEFORE, STRIDE, K)
        unit = (value.to(kind) - mean) * rstd
        z = unit * scale + shift
        # recompute the convolution's input; in the padding, where nothing was read, gradients are zero
        y = activate(z, ACTIVATION)
        by_y = tl.zeros((ROWS, CHANNELS), kind)
        new_sums = ()
        for k in tl.static_range(K):
            g = grads[k].to(kind)
            by_y += tl.load(taps + k * step + c, mask=c < C, other=0.0).to(kind)[None, :] * g
            new_sums = new_sums + (sums[k] + g * y,)
        by_z = activation_grad(by_y, z, ACTIVATION)
        by_bias += by_z
        by_weight += by_z * unit
        store_frames(between, by_z, b, t, T, C, c)
        sums, b, t, value, grads = new_sums, next_b, next_t, next_value, next_grads
    p = tl.program_id(0)
    for k in tl.static_range(K):
        tl.store(by_taps + (p * C + c) * K + k, tl.sum(sums[k], 0), mask=c < C)
    tl.store(by_norm + p * 2 * C + c, tl.sum(by_bias, 0), mask=c < C)
    tl.store(by_norm + (p * 2 + 1) * C + c, tl.sum(by_weight, 0), mask=c < C)
