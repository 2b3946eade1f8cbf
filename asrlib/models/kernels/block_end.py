"""The end of a ContextNet block as Triton kernels: gates, shortcut and activation, masked.

    y = activation(x · gate + norm(s)),   gate = excite(mean of x over the valid frames)

x (B, T, C) is the output of the last layer, s (B, T, C) that of the shortcut's convolution, and `norm` the
shortcut's batch norm. Kernels do the work that grows with the utterance's length. PyTorch does the
excitation, two small matrix products. With N bytes for one (B, T, C):

    squeeze     reads x                      N
    statistics  reads s                      N    (`kernels.statistics`)
    forward     reads x, s, writes y        3N    norm(s) is never written
    reduce      reads dy, x, s              3N    gives the gradients of gate, bias and weight
    backward    reads dy, x, s, writes both 5N    adds the mean's gradient without a tensor for it

At (64, 1229, 128) in bfloat16 N is 20 MB: 7, 7, 20, 20 and 34 µs at 3 TB/s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from asrlib.backend import in_processes, over_processes
from asrlib.models.kernels import tiles
from asrlib.models.kernels.activations import activate, activation_grad
from asrlib.models.kernels.statistics import batch_statistics

# tile of the kernels that sum over an utterance: few channels, because one program sums a whole utterance
LONG, NARROW = 64, 32


def block_end(
    x: Tensor,
    s: Tensor | None,
    lengths: Tensor,
    excite: Callable[[Tensor], Tensor] | None,
    parameters: Sequence[Tensor],
    norm: nn.BatchNorm1d | None,
    activation: str,
) -> Tensor:
    """Return the output of a block, (B, T, C), with zeros in the padding.

    x           output of the block's last layer, (B, T, C)
    s           output of the shortcut's convolution, (B, T, C); None: no shortcut
    lengths     (B,) integers, valid frames of each utterance
    excite      function of (B, C) means and `parameters` that returns (B, C) gates; also called in the
                backward pass; None: no gates
    norm        the shortcut's batch norm, whose running statistics are updated
    activation  one of `activations.ACTIVATIONS`
    """
    weight, bias = (None, None) if norm is None else (norm.weight, norm.bias)
    lengths = lengths.contiguous()
    return _BlockEnd.apply(x, s, lengths, excite, norm, activation, weight, bias, *parameters)


class _BlockEnd(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, s, lengths, excite, norm, activation, weight, bias, *parameters):
        x = x.contiguous()
        dtype = torch.promote_types(x.dtype, torch.float32)
        found = gate = mean = None
        if s is not None:
            s = s.contiguous()
            found = batch_statistics(s, lengths, norm)
        if excite is not None:
            mean = x.new_empty(x.shape[0], x.shape[2], dtype=dtype)
            with torch.cuda.device_of(x):
                squeeze_kernel[_columns(x)](x, lengths, mean, *x.shape[1:], 2 * LONG, NARROW, num_warps=8)
            gate = excite(mean).to(dtype)
        y = torch.empty_like(x)
        # Triton compiles a variant of the kernel without the arguments that are None
        given = x, s, lengths, gate, found, weight, bias
        sizes = *x.shape[1:], activation, tiles.ROWS, tiles.CHANNELS
        with torch.cuda.device_of(x):
            forward_kernel[_grid(x)](*given, y, *sizes, num_warps=8)
        ctx.save_for_backward(*given, mean, *parameters)
        ctx.excite, ctx.activation = excite, activation
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        saved = ctx.saved_tensors
        given, mean, parameters = saved[:7], saved[7], saved[8:]
        x, s, _, _, _, weight, _ = given
        B, T, C = x.shape
        grad = grad.contiguous()
        sums = x.new_empty(B, 3, C, dtype=torch.promote_types(x.dtype, torch.float32))
        with torch.cuda.device_of(x):
            sizes = T, C, ctx.activation, LONG, NARROW
            reduce_kernel[_columns(x)](grad, *given, sums, *sizes, num_warps=4)
        d_mean, shared, d_weight, d_bias = None, None, None, None
        d_parameters = [None] * len(parameters)
        if mean is not None:
            d_mean, d_parameters = _through(ctx.excite, mean, parameters, sums[:, 0])
        if s is not None:
            shared = sums[:, 1:].sum(0)
            d_bias, d_weight = shared.to(weight.dtype)
            if in_processes():
                shared = over_processes(shared.clone())
        d_x, d_s = torch.empty_like(x), None if s is None else torch.empty_like(s)
        sizes = T, C, ctx.activation, tiles.ROWS, tiles.CHANNELS
        with torch.cuda.device_of(x):
            backward_kernel[_grid(x)](grad, *given, d_mean, shared, d_x, d_s, *sizes, num_warps=8)
        return d_x, d_s, None, None, None, None, d_weight, d_bias, *d_parameters


def _through(excite, mean: Tensor, parameters, grad: Tensor) -> tuple[Tensor, list[Tensor | None]]:
    """Return the gradients of mean and parameters, given that of excite(mean), which is recomputed."""
    mean = mean.detach().requires_grad_()
    with torch.enable_grad():
        gate = excite(mean)
    wanted = [p for p in (mean, *parameters) if p.requires_grad]
    d_mean, *rest = torch.autograd.grad(gate, wanted, grad.to(gate.dtype))
    found = iter(rest)
    return d_mean.contiguous(), [next(found) if p.requires_grad else None for p in parameters]


def _grid(x: Tensor) -> tuple[int, int, int]:
    B, T, C = x.shape
    return triton.cdiv(T, tiles.ROWS), triton.cdiv(C, tiles.CHANNELS), B


def _columns(x: Tensor) -> tuple[int, int]:
    B, T, C = x.shape
    return B, triton.cdiv(C, NARROW)


# `no_type_check` keeps the tests' shape checker from wrapping functions that Triton must compile.


@triton.jit
@no_type_check
def _sum_of(x, s, at, valid, gate, b, found, weight, bias, C, c):
    """Return x · gate + norm(s) of a tile, x, and the standardized s, in float32 or wider."""
    kind: tl.constexpr = tl.float64 if x.dtype.element_ty == tl.float64 else tl.float32
    value = tl.load(x + at, mask=valid, other=0.0).to(kind)
    total = value
    unit = value
    if gate is not None:
        total = value * tl.load(gate + b * C + c, mask=c < C, other=0.0)[None, :]
    if s is not None:
        mean = tl.load(found + c, mask=c < C, other=0.0)
        rstd = tl.load(found + C + c, mask=c < C, other=0.0)
        unit = (tl.load(s + at, mask=valid, other=0.0).to(kind) - mean[None, :]) * rstd[None, :]
        scale = tl.load(weight + c, mask=c < C, other=0.0)
        total += unit * scale[None, :] + tl.load(bias + c, mask=c < C, other=0.0)[None, :]
    return total, value, unit


@triton.jit(do_not_specialize=["T"])
@no_type_check
def squeeze_kernel(x, lengths, mean, T, C, LONG: tl.constexpr, NARROW: tl.constexpr):
    kind: tl.constexpr = mean.dtype.element_ty
    b = tl.program_id(0)
    c = tl.program_id(1) * NARROW + tl.arange(0, NARROW)
    length = tl.load(lengths + b)
    total = tl.zeros((LONG, NARROW), kind)
    first = 0
    # not `for`: under numpy 2.4 the interpreter cannot make a range of a value known only at run time
    while first < length:
        t = first + tl.arange(0, LONG)
        valid = (t < length)[:, None] & (c < C)[None, :]
        at = (b.to(tl.int64) * T + t)[:, None] * C + c[None, :]
        total += tl.load(x + at, mask=valid, other=0.0).to(kind)
        first += LONG
    tl.store(mean + b * C + c, tl.sum(total, 0) / tl.maximum(length, 1).to(kind), mask=c < C)


@triton.jit(do_not_specialize=["T"])
@no_type_check
def forward_kernel(
    x, s, lengths, gate, found, weight, bias, y, T, C, ACTIVATION: tl.constexpr, ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(2)
    t = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    valid = (t < tl.load(lengths + b))[:, None] & (c < C)[None, :]
    at = (b.to(tl.int64) * T + t)[:, None] * C + c[None, :]
    total, _, _ = _sum_of(x, s, at, valid, gate, b, found, weight, bias, C, c)
    out = tl.where(valid, activate(total, ACTIVATION), 0.0)
    tl.store(y + at, out.to(y.dtype.element_ty), mask=(t < T)[:, None] & (c < C)[None, :])


@triton.jit(do_not_specialize=["T"])
@no_type_check
def reduce_kernel(
    grad, x, s, lengths, gate, found, weight, bias, sums, T, C, ACTIVATION: tl.constexpr, LONG: tl.constexpr,
    NARROW: tl.constexpr,
):  # fmt: skip
    kind: tl.constexpr = sums.dtype.element_ty
    b = tl.program_id(0)
    c = tl.program_id(1) * NARROW + tl.arange(0, NARROW)
    length = tl.load(lengths + b)
    by_gate = tl.zeros((LONG, NARROW), kind)
    by_bias = tl.zeros((LONG, NARROW), kind)
    by_weight = tl.zeros((LONG, NARROW), kind)
    first = 0
    while first < length:
        t = first + tl.arange(0, LONG)
        valid = (t < length)[:, None] & (c < C)[None, :]
        at = (b.to(tl.int64) * T + t)[:, None] * C + c[None, :]
        total, value, unit = _sum_of(x, s, at, valid, gate, b, found, weight, bias, C, c)
        g = activation_grad(tl.load(grad + at, mask=valid, other=0.0).to(kind), total, ACTIVATION)
        by_gate += g * value
        by_bias += g
        by_weight += g * unit
        first += LONG
    at = sums + b * 3 * C + c
    tl.store(at, tl.sum(by_gate, 0), mask=c < C)
    tl.store(at + C, tl.sum(by_bias, 0), mask=c < C)
    tl.store(at + 2 * C, tl.sum(by_weight, 0), mask=c < C)


@triton.jit(do_not_specialize=["T"])
@no_type_check
def backward_kernel(
    grad, x, s, lengths, gate, found, weight, bias, d_mean, shared, d_x, d_s, T, C, ACTIVATION: tl.constexpr,
    ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(2)
    t = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = (t < T)[:, None] & (c < C)[None, :]
    length = tl.load(lengths + b)
    valid = (t < length)[:, None] & (c < C)[None, :]
    at = (b.to(tl.int64) * T + t)[:, None] * C + c[None, :]
    total, _, unit = _sum_of(x, s, at, valid, gate, b, found, weight, bias, C, c)
    g = activation_grad(tl.load(grad + at, mask=valid, other=0.0).to(total.dtype), total, ACTIVATION)
    by_x = g
    if gate is not None:
        by_x = g * tl.load(gate + b * C + c, mask=c < C, other=0.0)[None, :]
        # each valid frame contributed to the mean
        by_mean = tl.load(d_mean + b * C + c, mask=c < C, other=0.0) / tl.maximum(length, 1).to(total.dtype)
        by_x += by_mean[None, :]
    tl.store(d_x + at, tl.where(valid, by_x, 0.0).to(d_x.dtype.element_ty), mask=inside)
    if s is not None:
        scale = tl.load(found + C + c, mask=c < C, other=0.0) * tl.load(weight + c, mask=c < C, other=0.0)
        count = tl.maximum(tl.load(found + 2 * C + c, mask=c < C, other=1.0), 1)
        by_bias = tl.load(shared + c, mask=c < C, other=0.0) / count
        by_weight = tl.load(shared + C + c, mask=c < C, other=0.0) / count
        by_s = scale[None, :] * (g - by_bias[None, :] - unit * by_weight[None, :])
        tl.store(d_s + at, tl.where(valid, by_s, 0.0).to(d_s.dtype.element_ty), mask=inside)
