"""Depthwise-separable convolution over time, and its receptive field. Lesson 02.

Tensors are (batch, frames, channels). The pointwise part is then one matrix product, and the depthwise part a
channels-last convolution. For a batch on a CPU this is faster than ``nn.Conv1d`` on (batch, channels,
frames), with the same results.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from asrlib import backend
from asrlib.errors import InputError
from asrlib.models.layers.mask import FrameMask

# an integer or a tensor of integers
Frames = TypeVar("Frames", int, Tensor)
PADDINGS = ("same", "causal", "keras-same")


def output_length(frames: int | Tensor, stride: int) -> int | Tensor:
    """Return the number of frames after a convolution of this stride: ceil(frames / stride), as in Keras."""
    return (frames + stride - 1) // stride


def pad_amounts(kernel: int, padding: str) -> tuple[int, int]:
    """Return the numbers of zeros to add before and after the frames.

    With them, output frame n reads input frames around (``same``) or up to (``causal``) frame n · stride.
    The amounts do not depend on the length; see ``keras_shift`` for Keras's ``same``.
    """
    if padding == "causal":
        return kernel - 1, 0
    return (kernel - 1) // 2, kernel // 2


def keras_shift(frames: Frames, kernel: int, stride: int) -> Frames:
    """Return by how many frames Keras's ``same`` reads later than ``same`` in an input of ``frames`` frames.

    Keras adds the fewest zeros with which ceil(frames / stride) outputs fit, and half of them, rounded down,
    before the frames. With a stride, that depends on the length. A kernel of 5 at stride 2 has 2 zeros on
    either side of an odd number of frames, and for an even number 1 before and 2 after: output n is centered
    on frame 2n + 1 instead of 2n, a shift of 1.
    """
    total = kernel - stride + (stride - frames % stride) % stride
    if isinstance(frames, Tensor):
        return (kernel - 1) // 2 - total.clamp(min=0) // 2
    return (kernel - 1) // 2 - max(total, 0) // 2


def depthwise_conv(
    x: Float[Tensor, "batch frames channels"],
    weight: Float[Tensor, "channels kernel"],
    stride: int = 1,
    padding: str = "same",
) -> Float[Tensor, "batch frames_out channels"]:
    """Convolve each channel with its own filter along time. Lesson 02."""
    return _depthwise(x, weight, stride, *pad_amounts(weight.shape[1], padding))


def _depthwise(x: Tensor, weight: Tensor, stride: int, before: int, after: int) -> Tensor:
    if before != after:
        x, before = F.pad(x, (0, 0, before, after)), 0
    # view (B, T, C) as an image of height 1 in channels-last memory, without a copy
    image = x.unsqueeze(1).permute(0, 3, 1, 2)
    weight = weight[:, None, None, :]
    out = F.conv2d(image, weight, stride=(1, stride), padding=(0, before), groups=len(weight))
    return out.permute(0, 2, 3, 1).squeeze(1)


def pointwise_conv(
    x: Float[Tensor, "*rows cin"],
    weight: Float[Tensor, "cout cin"],
    bias: Float[Tensor, "cout"] | None = None,
) -> Float[Tensor, "*rows cout"]:
    """Return the convolution with a kernel of 1: the matrix product x @ weight.T + bias. Lesson 02."""
    return backend.linear(x, weight, bias)


class SeparableConv(nn.Module):
    """A depthwise convolution without bias, then a pointwise one with bias. Lesson 02.

    It has cin·k + cin·cout + cout parameters. Input frames past an utterance's length must be zero, as
    ``MaskedBatchNorm`` leaves them; then padding changes no valid output. ``padding`` is ``same``, ``causal``
    or ``keras-same``: Keras's ``same``, from each utterance's own length (``keras_shift``). Raises
    ``InputError`` for an unknown padding and for channels, a kernel or a stride below 1.
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

    def forward(
        self, x: Float[Tensor, "batch frames cin"], mask: FrameMask | None = None
    ) -> Float[Tensor, "batch frames_out cout"]:
        """Return the convolution's output, ceil(frames / stride) frames.

        ``mask`` is True at the valid frames of ``x``; None if all are valid.
        """
        if self.padding == "keras-same" and self.stride > 1:
            x = self._shifted(x, mask)
        else:
            x = depthwise_conv(x, self.depthwise, self.stride, self.padding)
        return pointwise_conv(x, self.pointwise.weight, self.pointwise.bias)

    def _shifted(self, x: Tensor, mask: FrameMask | None) -> Tensor:
        """Return the depthwise convolution of each utterance with its own ``keras_shift``."""
        kernel, frames = self.depthwise.shape[1], x.shape[1]
        before, after = pad_amounts(kernel, self.padding)
        if mask is None and not backend.is_traced():
            shift = keras_shift(frames, kernel, self.stride)
            return _depthwise(x, self.depthwise, self.stride, before - shift, after + shift)
        lengths = torch.full((x.shape[0],), frames, device=x.device) if mask is None else mask.lengths
        shift = keras_shift(lengths, kernel, self.stride)
        position = torch.arange(frames + kernel - 1, device=x.device) + shift[:, None]
        padded = F.pad(x, (0, 0, before, after + before))  # no shift is longer than ``before``
        shifted = padded.gather(1, position[..., None].expand(-1, -1, x.shape[2]))
        return _depthwise(shifted, self.depthwise, self.stride, 0, 0)

    def initial_state(self, batch: int = 1) -> Float[Tensor, "batch context cin"]:
        """Return the state of ``step`` before the first frame: ``kernel`` - 1 frames of zeros. Lesson 12."""
        channels, kernel = self.depthwise.shape
        return self.depthwise.new_zeros(batch, kernel - 1, channels)

    def step(
        self, x: Float[Tensor, "batch frames cin"], state: Float[Tensor, "batch context cin"], phase: int = 0
    ) -> tuple[Float[Tensor, "batch frames_out cout"], Float[Tensor, "batch context cin"]]:
        """Return the output frames that ``x`` completes, and the last ``kernel`` - 1 input frames. Lesson 12.

        This requires causal padding. ``phase`` is the number of input frames before ``x``, modulo a multiple
        of the stride.
        """
        channels, kernel = self.depthwise.shape
        joined = torch.cat([state, x], dim=1)
        state = joined[:, joined.shape[1] - kernel + 1 :]
        due = joined[:, -phase % self.stride :]  # its first ``kernel`` frames make the next output frame
        if due.shape[1] < kernel:
            return x.new_zeros(x.shape[0], 0, self.pointwise.out_features), state
        out = F.conv1d(due.mT, self.depthwise[:, None], stride=self.stride, groups=channels)
        return self.pointwise(out.mT), state


class PointwiseConv(nn.Module):
    """A convolution with a kernel of 1: the paper's shortcut."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1):
        super().__init__()
        self.stride = stride
        self.linear = nn.Linear(channels_in, channels_out)

    def forward(
        self, x: Float[Tensor, "batch frames cin"], mask: FrameMask | None = None
    ) -> Float[Tensor, "batch frames_out cout"]:
        """Return the convolution's output, ceil(frames / stride) frames. ``mask`` has no effect."""
        return pointwise_conv(x[:, :: self.stride], self.linear.weight, self.linear.bias)

    def step(
        self, x: Float[Tensor, "batch frames cin"], phase: int = 0
    ) -> Float[Tensor, "batch frames_out cout"]:
        """Return the output frames for these input frames. Lesson 12.

        ``phase`` is the number of input frames before ``x``, modulo a multiple of the stride.
        """
        return self.linear(x[:, -phase % self.stride :: self.stride])


def receptive_field(layers: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the receptive field and the step between output frames after each layer. Lesson 02.

    Both are in input frames. ``layers`` are (kernel, stride) pairs. The recursion is r ← r + (k − 1) · j and
    j ← j · s, starting from r = j = 1.
    """
    field, step, out = 1, 1, []
    for kernel, stride in layers:
        field, step = field + (kernel - 1) * step, step * stride
        out.append((field, step))
    return out
