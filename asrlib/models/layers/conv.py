"""Depthwise-separable convolution over time, and the batch norm that goes with it.

Everything here works on (batch, frames, channels): the pointwise half is then one
matrix product and the depthwise half a channels-last convolution, which for a batch on
a CPU is faster than ``nn.Conv1d`` on (batch, channels, frames) and gives the same numbers.
Lesson 02.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from asrlib import backend
from asrlib.backend import asks_nothing, in_processes, over_processes
from asrlib.errors import InputError

PADDINGS = ("same", "causal")
ACTIVATIONS = {"swish": F.silu, "silu": F.silu, "relu": F.relu, "tanh": torch.tanh, "linear": lambda x: x}


def frame_mask(lengths: Int[Tensor, "batch"], frames: int) -> Bool[Tensor, "batch frames"]:
    """True where a frame belongs to its utterance."""
    return torch.arange(frames, device=lengths.device) < lengths[:, None]


def valid_rows(mask: Bool[Tensor, "batch frames"]) -> Int[Tensor, "valid"]:
    """Where the valid frames lie among all batch · frames, unless ``note_valid_rows`` has told the mask."""
    rows = getattr(mask, "valid_rows", None)
    return mask.flatten().nonzero()[:, 0] if rows is None else rows


def note_valid_rows(mask: Bool[Tensor, "batch frames"]) -> None:
    """Look them up once for many layers: a GPU's host waits each time. The mask must not change then."""
    mask.valid_rows = valid_rows(mask)


def output_length(frames: int | Tensor, stride: int) -> int | Tensor:
    """Frames after a convolution of this stride: ceil(frames / stride), as in Keras."""
    return (frames + stride - 1) // stride


def pad_amounts(kernel: int, padding: str) -> tuple[int, int]:
    """Zeros to add before and after, so that output frame n reads input frames around
    (``same``) or up to (``causal``) frame n · stride.

    Unlike Keras' ``same``, the amounts do not depend on the length: a longer padding
    behind an utterance changes none of its frames.
    """
    if padding == "causal":
        return kernel - 1, 0
    return (kernel - 1) // 2, kernel // 2


def depthwise_conv(
    x: Float[Tensor, "batch frames channels"],
    weight: Float[Tensor, "channels kernel"],
    stride: int = 1,
    padding: str = "same",
) -> Float[Tensor, "batch frames_out channels"]:
    """One filter a channel, along time. Lesson 02."""
    channels, kernel = weight.shape
    before, after = pad_amounts(kernel, padding)
    if before != after:
        x, before = F.pad(x, (0, 0, before, after)), 0
    # (B, T, C) read as an image of height 1 in channels-last memory: no copy
    image = x.unsqueeze(1).permute(0, 3, 1, 2)
    out = F.conv2d(image, weight[:, None, None, :], stride=(1, stride), padding=(0, before), groups=channels)
    return out.permute(0, 2, 3, 1).squeeze(1)


def pointwise_conv(
    x: Float[Tensor, "*rows cin"],
    weight: Float[Tensor, "cout cin"],
    bias: Float[Tensor, "cout"] | None = None,
) -> Float[Tensor, "*rows cout"]:
    """A convolution of kernel 1: the matrix product x @ weight.T + bias. Lesson 02."""
    return backend.linear(x, weight, bias)


class SeparableConv(nn.Module):
    """Depthwise (no bias), then pointwise (bias): cin·k + cin·cout + cout parameters.

    Frames past an utterance's length must be zero on the way in, as they are when
    ``MaskedBatchNorm`` made them; then padding changes no valid output.
    """

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, stride: int = 1, padding: str = "same"
    ):
        super().__init__()
        if padding not in PADDINGS:
            raise InputError(f"padding is {padding!r}; use one of {', '.join(PADDINGS)}")
        for name, value in (
            ("channels", min(channels_in, channels_out)),
            ("kernel", kernel),
            ("stride", stride),
        ):
            if value < 1:
                raise InputError(f"{name} of a convolution is {value}; it must be at least 1")
        self.stride, self.padding = stride, padding
        self.depthwise = nn.Parameter(torch.empty(channels_in, kernel))
        self.pointwise = nn.Linear(channels_in, channels_out)
        nn.init.uniform_(self.depthwise, -math.sqrt(3 / kernel), math.sqrt(3 / kernel))
        nn.init.xavier_uniform_(self.pointwise.weight)
        nn.init.zeros_(self.pointwise.bias)

    def forward(self, x: Float[Tensor, "batch frames cin"]) -> Float[Tensor, "batch frames_out cout"]:
        x = depthwise_conv(x, self.depthwise, self.stride, self.padding)
        return pointwise_conv(x, self.pointwise.weight, self.pointwise.bias)


class PointwiseConv(nn.Module):
    """A convolution of kernel 1: the paper's shortcut."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1):
        super().__init__()
        self.stride = stride
        self.linear = nn.Linear(channels_in, channels_out)

    def forward(self, x: Float[Tensor, "batch frames cin"]) -> Float[Tensor, "batch frames_out cout"]:
        return pointwise_conv(x[:, :: self.stride], self.linear.weight, self.linear.bias)


class MaskedBatchNorm(nn.BatchNorm1d):
    """Batch norm over (batch, frames, channels) whose statistics are those of valid
    frames alone, and which leaves zeros in the padding; then an activation, whose input
    is made again in the backward pass instead of kept (a quarter of the encoder's memory).

    Where torch.distributed runs, the statistics are those of all processes' frames.
    Keras' defaults: momentum 0.99 (0.01 in PyTorch's sense), epsilon 1e-3.
    """

    def __init__(self, channels: int, eps: float = 1e-3, momentum: float = 0.01):
        super().__init__(channels, eps=eps, momentum=momentum)

    def forward(  # type: ignore[override]
        self,
        x: Float[Tensor, "batch frames channels"],
        mask: Bool[Tensor, "batch frames"] | None,
        activation: Callable[[Tensor], Tensor] = ACTIVATIONS["linear"],
    ) -> Float[Tensor, "batch frames channels"]:
        if not self.training:
            if mask is None:
                return activation(super().forward(x.flatten(0, 1)).view_as(x))
            scale = self.weight * torch.rsqrt(self.running_var + self.eps)
            return activation(
                torch.addcmul(self.bias - self.running_mean * scale, x, scale) * mask[..., None]
            )
        if mask is None or asks_nothing(x) or in_processes():
            return self._normed(x, mask, activation)
        rows, flat = valid_rows(mask), x.flatten(0, 1)
        picked = _Picked.apply(flat, rows)
        if x.device.type == "cpu" or len(rows) < 2:
            normed = self._normed(picked[None], None, activation)[0]
        else:  # PyTorch's own kernel: one call to launch instead of thirty
            normed = activation(super().forward(picked))
        return torch.zeros_like(flat, dtype=normed.dtype).index_copy_(0, rows, normed).view_as(x)

    def _normed(self, x: Tensor, mask: Tensor | None, activation: Callable[[Tensor], Tensor]) -> Tensor:
        y, mean, variance, count = _BatchNorm.apply(x, mask, self.weight, self.bias, self.eps, activation)
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
            unbiased = variance * (count / (count - 1).clamp(min=1))  # of one frame: 0, not 0 / 0
            self.running_var.lerp_(unbiased.to(self.running_var), self.momentum)
        return y


class _Picked(torch.autograd.Function):
    """x.index_select(0, rows), rows without repeats: then the gradient is copied, where PyTorch would add."""

    @staticmethod
    def forward(ctx, x, rows):
        ctx.save_for_backward(rows)
        ctx.shape = x.shape
        return x.index_select(0, rows)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (rows,) = ctx.saved_tensors
        return grad.new_zeros(ctx.shape).index_copy_(0, rows, grad), None


class _BatchNorm(torch.autograd.Function):
    """Mean and variance in two passes of exact sums: on a CPU nn.BatchNorm1d's are ten times less exact here.

    No shape depends on the lengths, and no number is asked for: on XLA nothing is compiled anew.
    Without mask and on one CPU, PyTorch's own kernels do what comes after the statistics.
    """

    @staticmethod
    def forward(ctx, x, mask, weight, bias, eps, activation):
        dtype = torch.promote_types(x.dtype, torch.float32)
        valid = None if mask is None else mask[..., None].to(dtype)
        count = weight.new_tensor(x.shape[0] * x.shape[1]) if mask is None else mask.sum()
        count = over_processes(count.to(dtype))
        mean = over_processes(_only(x.to(dtype, copy=mask is not None), valid).sum((0, 1))) / count
        variance = over_processes(_only(x - mean, valid).square_().sum((0, 1))) / count
        rstd = torch.rsqrt(variance + eps)
        ctx.save_for_backward(x, valid, weight, bias, mean, rstd, count)
        ctx.activation = activation
        ctx.native = valid is None and x.device.type == "cpu" and not in_processes()
        ctx.mark_non_differentiable(mean, variance, count)
        return activation(_normalised(x, valid, weight, bias, mean, rstd)), mean, variance, count

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, *_):
        x, valid, weight, bias, mean, rstd, count = ctx.saved_tensors
        if ctx.activation is not ACTIVATIONS["linear"]:
            y = _normalised(x, valid, weight, bias, mean, rstd).requires_grad_()
            with torch.enable_grad():
                grad = torch.autograd.grad(ctx.activation(y), y, grad)[0]
        if ctx.native:
            saved, wanted = (None, None, mean, rstd), (True, True, True)
            d_x, d_weight, d_bias = torch.ops.aten.native_batch_norm_backward(
                grad.flatten(0, 1), x.flatten(0, 1), weight, *saved, True, 0.0, wanted
            )
            return d_x.view_as(x), None, d_weight, d_bias, None, None
        grad = grad.to(mean.dtype, copy=True)
        grad, centred = _only(grad, valid), _only(x - mean, valid)
        d_bias, d_scale = grad.sum((0, 1)), (grad * centred).sum((0, 1))
        by_mean, by_variance = over_processes(torch.stack([d_bias, d_scale])) / count
        scale = weight * rstd
        d_x = centred.mul_(-scale * rstd.square() * by_variance).addcmul_(grad, scale)
        d_x = _only(d_x.sub_(scale * by_mean), valid)
        return d_x.to(x.dtype), None, d_scale * rstd, d_bias, None, None


def _normalised(x: Tensor, valid: Tensor | None, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor):
    scale = weight * rstd
    return _only(torch.addcmul(bias - mean * scale, x.to(scale.dtype), scale), valid).to(x.dtype)


def _only(x: Tensor, valid: Tensor | None) -> Tensor:
    """Zeros where ``valid`` is 0, in place."""
    return x if valid is None else x.mul_(valid)


def receptive_field(layers: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """(receptive field, step between output frames), in input frames, after each layer
    of the given (kernel, stride). Lesson 02 draws it.

    r ← r + (k − 1) · j and j ← j · s, from r = j = 1.
    """
    field, step, out = 1, 1, []
    for kernel, stride in layers:
        field, step = field + (kernel - 1) * step, step * stride
        out.append((field, step))
    return out
