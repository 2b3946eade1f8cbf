"""The blocks of ContextNet: their table, and what each computes, at once or chunk by chunk.

- ``variant="paper"`` (Han et al. 2020, section 2.2): a block is m × (separable
  convolution, batch norm, activation), then SE, and where it is residual a
  pointwise convolution and batch norm on the shortcut; the block's activation
  comes after the addition.
- ``variant="tensorflowasr"``: the SE module starts with one more separable
  convolution, the shortcut is a separable convolution too, and a block without a
  shortcut ends with the activation all the same. ``variant="tensorflowasr-2021"``
  is that code two years before: its gates are sigmoid(activation(·)).

The stride sits on the last of the m convolutions, and on the shortcut. Lesson 04.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor, nn

from asrlib.errors import InputError
from asrlib.models.layers.activations import ACTIVATIONS
from asrlib.models.layers.batch_norm import MaskedBatchNorm
from asrlib.models.layers.conv import PointwiseConv, SeparableConv, output_length
from asrlib.models.layers.mask import FrameMask
from asrlib.models.layers.se import SqueezeExcite

VARIANTS = ("paper", "tensorflowasr", "tensorflowasr-2021")
# the blocks that halve the frame rate
DOWNSAMPLING = {"progressive": (3, 7, 14), "2x": (3,)}


@dataclass
class BlockConfig:
    """One row of the paper's table 1; ``filters`` before scaling by alpha."""

    filters: int
    layers: int = 5
    kernel: int = 5
    stride: int = 1
    residual: bool = True
    activation: str = "swish"
    padding: str = "same"
    se: str | int = "global"


def standard_blocks(
    kernel: int = 5,
    activation: str = "swish",
    padding: str = "same",
    se: str | int = "global",
    downsampling: str = "progressive",
) -> list[BlockConfig]:
    """C0 to C22 of the paper (table 1).

    ``downsampling="progressive"`` halves the rate at C3, C7 and C14 (8 ×, section
    2.3); ``"2x"`` only at C3, the paper's ablation.
    """
    if downsampling not in DOWNSAMPLING:
        raise InputError(f"downsampling is {downsampling!r}; use one of {', '.join(DOWNSAMPLING)}")
    strides = DOWNSAMPLING[downsampling]
    shared = dict(kernel=kernel, activation=activation, padding=padding, se=se)
    first = BlockConfig(256, layers=1, residual=False, **shared)
    middle = [
        BlockConfig(256 if index <= 10 else 512, stride=2 if index in strides else 1, **shared)
        for index in range(1, 22)
    ]
    return [first, *middle, BlockConfig(640, layers=1, residual=False, **shared)]


class ConvModule(nn.Module):
    """Separable convolution, batch norm, activation."""

    def __init__(self, channels_in: int, channels_out: int, block: BlockConfig, stride: int, activation: str):
        super().__init__()
        self.conv = SeparableConv(channels_in, channels_out, block.kernel, stride, block.padding)
        self.norm = MaskedBatchNorm(channels_out)
        self.activation = ACTIVATIONS[activation]

    def forward(
        self,
        x: Float[Tensor, "batch frames cin"],
        mask: Bool[Tensor, "batch frames_out"] | FrameMask | None,
    ) -> Float[Tensor, "batch frames_out cout"]:
        """``mask`` belongs to the frames that come out."""
        return self.norm(self.conv(x), mask, self.activation)

    def step(self, x: Tensor, state: Tensor, phase: int) -> tuple[Tensor, Tensor]:
        """Return what further frames give, and the input frames to go on from; see ``SeparableConv.step``."""
        y, state = self.conv.step(x, state, phase)
        return self.norm(y, None, self.activation) if y.shape[1] else y, state


class Block(nn.Module):
    """One of C0 … C22. ``rate`` is how many input frames one frame of this block's output spans."""

    def __init__(self, channels_in: int, block: BlockConfig, alpha: float, variant: str, rate: int):
        super().__init__()
        if block.activation not in ACTIVATIONS:
            raise InputError(
                f"activation is {block.activation!r}; use one of {', '.join(sorted(ACTIVATIONS))}"
            )
        if block.layers < 1 or block.filters < 1 or alpha <= 0:
            raise InputError(
                f"a block of {block.layers} layers and {block.filters} filters at alpha {alpha} is empty"
            )
        channels = int(block.filters * alpha)
        self.stride, self.channels = block.stride, channels
        tensorflowasr = variant != "paper"
        self.layers = nn.ModuleList()
        for layer in range(block.layers):
            stride = block.stride if layer == block.layers - 1 else 1
            self.layers.append(
                ConvModule(channels_in if layer == 0 else channels, channels, block, stride, block.activation)
            )
        if tensorflowasr:
            self.layers.append(ConvModule(channels, channels, block, 1, block.activation))
        if block.se == "none":
            self.se = None
        else:
            window = isinstance(block.se, int) and block.se > 0
            context = max(1, round(block.se / rate)) if window else block.se
            before_gate = block.activation if variant == "tensorflowasr-2021" else "linear"
            self.se = SqueezeExcite(channels, context, block.activation, before_gate)
        self.shortcut = None
        if block.residual:
            self.shortcut = (
                SeparableConv(channels_in, channels, block.kernel, block.stride, block.padding)
                if tensorflowasr
                else PointwiseConv(channels_in, channels, block.stride)
            )
            self.shortcut_norm = MaskedBatchNorm(channels)
        self.activation = ACTIVATIONS[block.activation]
        self.ends_active = block.residual or tensorflowasr

    def forward(
        self,
        x: Float[Tensor, "batch frames cin"],
        mask: Bool[Tensor, "batch frames"] | FrameMask | None,
        mask_out: Bool[Tensor, "batch frames_out"] | FrameMask | None,
    ) -> Float[Tensor, "batch frames_out cout"]:
        """``mask`` and ``mask_out`` are True at the valid frames of input and output; None where all are."""
        y, current = x, mask
        for layer in self.layers:
            current = mask_out if layer.conv.stride > 1 else current
            y = layer(y, current)
        if self.se is not None:
            y = self.se(y, mask_out.valid if isinstance(mask_out, FrameMask) else mask_out)
        shortcut = None if self.shortcut is None else self.shortcut_norm(self.shortcut(x), mask_out)
        return self.end(y, shortcut)

    def end(self, y: Tensor, shortcut: Tensor | None) -> Tensor:
        """Return the sum with the shortcut's output, if there is one, through the last activation."""
        y = y if shortcut is None else y + shortcut
        return self.activation(y) if self.ends_active else y

    def initial_state(self, batch: int = 1) -> list[Tensor]:
        """Return what ``step`` carries: the last input frames of each convolution, the sum and the number of
        frames that squeeze-and-excitation has seen, the last input frames of the shortcut. Lesson 12.
        """
        state = [layer.conv.initial_state(batch) for layer in self.layers]
        if self.se is not None:
            state += self.se.initial_state(batch)
        if isinstance(self.shortcut, SeparableConv):
            state.append(self.shortcut.initial_state(batch))
        return state

    def step(
        self, x: Float[Tensor, "batch frames cin"], state: Iterator[Tensor], phase: int = 0
    ) -> tuple[Float[Tensor, "batch frames_out cout"], list[Tensor]]:
        """Return the output of further frames, and the new state; the old one is taken from ``state``.

        ``phase`` is the number of input frames before ``x``, modulo a multiple of the stride.
        """
        y, after, phase_in = x, [], phase
        for layer in self.layers:
            y, frames = layer.step(y, next(state), phase_in)
            after.append(frames)
            phase_in = output_length(phase_in, layer.conv.stride)
        if self.se is not None:
            y, *sums = self.se.step(y, next(state), next(state))
            after += sums
        shortcut = None
        if isinstance(self.shortcut, SeparableConv):
            shortcut, frames = self.shortcut.step(x, next(state), phase)
            after.append(frames)
        elif self.shortcut is not None:
            shortcut = self.shortcut.step(x, phase)
        if shortcut is not None and shortcut.shape[1]:
            shortcut = self.shortcut_norm(shortcut, None)
        return self.end(y, shortcut), after
