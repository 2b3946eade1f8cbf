"""Batch norm over the valid frames of a padded batch, followed by an activation. Lessons 02 and 03.

Padding must change nothing: statistics are those of the valid frames alone, and the padding of the output is
zero. The implementation depends on the situation:

==================================  ===================================================================
evaluation                          one scale and one shift per channel, and zeros in the padding
training, no padding                statistics over all frames
training, TPU, CUDA graphs or       statistics from masked sums: no shape depends on the lengths
several processes
training, CPU or one GPU            valid frames are gathered, normalized, and scattered into zeros
==================================  ===================================================================
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from asrlib.backend import asks_nothing, in_processes, over_processes
from asrlib.models.layers.activations import ACTIVATIONS
from asrlib.models.layers.mask import FrameMask

Activation = Callable[[Tensor], Tensor]


class MaskedBatchNorm(nn.BatchNorm1d):
    """Batch norm over the valid frames of (batch, frames, channels), followed by an activation.

    The padding of the output is zero. The activation's input is recomputed in the backward pass instead of
    kept, which saves a quarter of the encoder's memory. Under torch.distributed, the statistics are those of
    the frames of all processes. The defaults are Keras's: momentum 0.99 (0.01 in PyTorch's convention) and
    epsilon 1e-3.
    """

    def __init__(self, channels: int, eps: float = 1e-3, momentum: float = 0.01):
        super().__init__(channels, eps=eps, momentum=momentum)

    def forward(  # type: ignore[override]
        self,
        x: Float[Tensor, "batch frames channels"],
        mask: Bool[Tensor, "batch frames"] | FrameMask | None,
        activation: Activation = ACTIVATIONS["linear"],
    ) -> Float[Tensor, "batch frames channels"]:
        """Return ``activation`` of normalized ``x``. ``mask`` None means that all frames are valid."""
        mask = FrameMask.of(mask)
        valid = None if mask is None else mask.valid
        if not self.training:
            return self._by_running_statistics(x, valid, activation)
        if mask is None or asks_nothing(x) or in_processes():
            return self._by_own_statistics(x, valid, activation)
        return self._by_statistics_of(mask.rows, x, activation)

    def _by_running_statistics(self, x: Tensor, valid: Tensor | None, activation: Activation) -> Tensor:
        if valid is None:
            return activation(super().forward(x.flatten(0, 1)).view_as(x))
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        return activation(torch.addcmul(self.bias - self.running_mean * scale, x, scale) * valid[..., None])

    def _by_own_statistics(self, x: Tensor, valid: Tensor | None, activation: Activation) -> Tensor:
        y, mean, variance, count = normalize(x, valid, self.weight, self.bias, self.eps, activation)
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
            unbiased = variance * (count / (count - 1).clamp(min=1))  # 0 for a single frame, not 0 / 0
            self.running_var.lerp_(unbiased.to(self.running_var), self.momentum)
        return y

    def _by_statistics_of(self, rows: Tensor, x: Tensor, activation: Activation) -> Tensor:
        flat = x.flatten(0, 1)
        picked = _Pick.apply(flat, rows)
        if x.device.type == "cpu" or len(rows) < 2:
            normed = self._by_own_statistics(picked[None], None, activation)[0]
        else:  # PyTorch's own kernel: one call to launch instead of thirty
            normed = activation(super().forward(picked))
        return torch.zeros_like(flat, dtype=normed.dtype).index_copy_(0, rows, normed).view_as(x)


def normalize(
    x: Float[Tensor, "batch frames channels"],
    valid: Bool[Tensor, "batch frames"] | None,
    weight: Float[Tensor, "channels"],
    bias: Float[Tensor, "channels"],
    eps: float,
    activation: Activation,
) -> tuple[
    Float[Tensor, "batch frames channels"],
    Float[Tensor, "channels"],
    Float[Tensor, "channels"],
    Float[Tensor, ""],
]:
    """Return the activation of normalized ``x``, and its mean, biased variance and number of frames.

    Statistics are over the valid frames of all processes. The output is zero where not ``valid``; None means
    that all frames are valid.
    """
    return _BatchNorm.apply(x, valid, weight, bias, eps, activation)


class _Pick(torch.autograd.Function):
    """x.index_select(0, rows) for distinct rows: the gradient is copied, where PyTorch would add."""

    @staticmethod
    def forward(ctx, x: Float[Tensor, "all channels"], rows: Int[Tensor, "valid"]) -> Tensor:
        ctx.save_for_backward(rows)
        ctx.shape = x.shape
        return x.index_select(0, rows)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (rows,) = ctx.saved_tensors
        return grad.new_zeros(ctx.shape).index_copy_(0, rows, grad), None


class _BatchNorm(torch.autograd.Function):
    """Batch norm with mean and variance in two passes: on a CPU, ten times more exact than nn.BatchNorm1d.

    No shape depends on the lengths and no value is read, so that XLA does not recompile. Without a mask, on
    one CPU, PyTorch's own kernel computes the backward pass.
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
        return activation(_normalized(x, valid, weight, bias, mean, rstd)), mean, variance, count

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, *_):
        x, valid, weight, bias, mean, rstd, count = ctx.saved_tensors
        if ctx.activation is not ACTIVATIONS["linear"]:
            y = _normalized(x, valid, weight, bias, mean, rstd).requires_grad_()
            with torch.enable_grad():
                grad = torch.autograd.grad(ctx.activation(y), y, grad)[0]
        if ctx.native:
            saved, wanted = (None, None, mean, rstd), (True, True, True)
            d_x, d_weight, d_bias = torch.ops.aten.native_batch_norm_backward(
                grad.flatten(0, 1), x.flatten(0, 1), weight, *saved, True, 0.0, wanted
            )
            return d_x.view_as(x), None, d_weight, d_bias, None, None
        grad = grad.to(mean.dtype, copy=True)
        grad, centered = _only(grad, valid), _only(x - mean, valid)
        d_bias, d_scale = grad.sum((0, 1)), (grad * centered).sum((0, 1))
        by_mean, by_variance = over_processes(torch.stack([d_bias, d_scale])) / count
        scale = weight * rstd
        d_x = centered.mul_(-scale * rstd.square() * by_variance).addcmul_(grad, scale)
        d_x = _only(d_x.sub_(scale * by_mean), valid)
        return d_x.to(x.dtype), None, d_scale * rstd, d_bias, None, None


def _normalized(x: Tensor, valid: Tensor | None, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor):
    scale = weight * rstd
    return _only(torch.addcmul(bias - mean * scale, x.to(scale.dtype), scale), valid).to(x.dtype)


def _only(x: Tensor, valid: Tensor | None) -> Tensor:
    """Set ``x`` to zero where ``valid`` is 0, in place."""
    return x if valid is None else x.mul_(valid)
