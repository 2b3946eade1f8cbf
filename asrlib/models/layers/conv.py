"""Depthwise-separable convolution over time, and how far it sees.

Everything here works on (batch, frames, channels): the pointwise half is then one
matrix product and the depthwise half a channels-last convolution, which for a batch on
a CPU is faster than ``nn.Conv1d`` on (batch, channels, frames) and gives the same numbers.
Lesson 02.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from asrlib import backend
from asrlib.errors import InputError

PADDINGS = ("same", "causal")


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

    def initial_state(self, batch: int = 1) -> Float[Tensor, "batch context cin"]:
        """Return the zeros that stand before the first frame, ``kernel`` - 1 of them. Lesson 12."""
        channels, kernel = self.depthwise.shape
        return self.depthwise.new_zeros(batch, kernel - 1, channels)

    def step(
        self, x: Float[Tensor, "batch frames cin"], state: Float[Tensor, "batch context cin"], phase: int = 0
    ) -> tuple[Float[Tensor, "batch frames_out cout"], Float[Tensor, "batch context cin"]]:
        """Return the output frames that ``x`` completes, and the input frames to go on from.

        For causal padding; ``phase`` is the number of input frames before ``x``, modulo the stride or a
        multiple of it. Lesson 12.
        """
        channels, kernel = self.depthwise.shape
        joined = torch.cat([state, x], dim=1)
        state = joined[:, joined.shape[1] - kernel + 1 :]
        due = joined[:, -phase % self.stride :]  # whose first ``kernel`` frames make the next output frame
        if due.shape[1] < kernel:
            return x.new_zeros(x.shape[0], 0, self.pointwise.out_features), state
        out = F.conv1d(due.mT, self.depthwise[:, None], stride=self.stride, groups=channels)
        return self.pointwise(out.mT), state


class PointwiseConv(nn.Module):
    """A convolution of kernel 1: the paper's shortcut."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1):
        super().__init__()
        self.stride = stride
        self.linear = nn.Linear(channels_in, channels_out)

    def forward(self, x: Float[Tensor, "batch frames cin"]) -> Float[Tensor, "batch frames_out cout"]:
        return pointwise_conv(x[:, :: self.stride], self.linear.weight, self.linear.bias)

    def step(
        self, x: Float[Tensor, "batch frames cin"], phase: int = 0
    ) -> Float[Tensor, "batch frames_out cout"]:
        """Return the output frames of further input frames, ``phase`` of which came before. Lesson 12."""
        return self.linear(x[:, -phase % self.stride :: self.stride])


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
