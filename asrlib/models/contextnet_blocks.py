"""The blocks of ContextNet: their table, and their computation, at once or chunk by chunk. Lesson 04.

- ``variant="paper"`` (Han et al. 2020, section 2.2): a block is m × (separable convolution, batch norm,
  activation), then SE. The shortcut of a residual block is a pointwise convolution and batch norm. The
  block's activation follows the addition.
- ``variant="tensorflowasr"``: the SE module starts with another separable convolution, the shortcut is a
  separable convolution, and a block without a shortcut also ends with the activation.
- ``variant="tensorflowasr-2021"``: the same code two years earlier, with gates sigmoid(activation(·)).

The last of the m convolutions and the shortcut have the block's stride.
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
# indices of the blocks that halve the frame rate
DOWNSAMPLING = {"progressive": (3, 7, 14), "2x": (3,)}


@dataclass
class BlockConfig:
    """One block: a row of the paper's table 1.

    ``filters`` is the number of channels before scaling by alpha, ``layers`` is m, and ``se`` is the context
    of squeeze-and-excitation (``asrlib.models.layers.se``; a number is in input frames of the encoder).
    """

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
    """Return the blocks C0 to C22 of the paper (Han et al. 2020, table 1).

    ``downsampling="progressive"`` halves the frame rate at C3, C7 and C14, by 8 in total (section 2.3);
    ``"2x"`` halves it at C3 only, the paper's ablation. Raises ``InputError`` for another value.
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
    """A separable convolution, batch norm and activation."""

    def __init__(self, channels_in: int, channels_out: int, block: BlockConfig, stride: int, activation: str):
        super().__init__()
        self.conv = SeparableConv(channels_in, channels_out, block.kernel, stride, block.padding)
        self.norm = MaskedBatchNorm(channels_out)
        self.activation = ACTIVATIONS[activation]

    def forward(
        self,
        x: Float[Tensor, "batch frames cin"],
        mask: FrameMask | None,
        mask_out: FrameMask | None,
    ) -> Float[Tensor, "batch frames_out cout"]:
        """Return the layer's output.

        ``mask`` and ``mask_out`` are True at the valid frames of input and output; None if all are valid.
        """
        return self.norm(self.conv(x, mask), mask_out, self.activation)

    def step(self, x: Tensor, state: Tensor, phase: int) -> tuple[Tensor, Tensor]:
        """Return the output frames that ``x`` completes, and the new state; see ``SeparableConv.step``."""
        y, state = self.conv.step(x, state, phase)
        return self.norm(y, None, self.activation) if y.shape[1] else y, state


class Block(nn.Module):
    """One of the blocks C0 … C22.

    ``rate`` is the number of input frames of the encoder per output frame of this block. ``memory`` is the
    number of input frames of the encoder after which causal squeeze-and-excitation forgets. Raises
    ``InputError`` for an unknown activation and a block without layers or channels.
    """

    def __init__(
        self,
        channels_in: int,
        block: BlockConfig,
        alpha: float,
        variant: str,
        rate: int,
        memory: int | None = None,
    ):
        super().__init__()
        if block.activation not in ACTIVATIONS:
            raise InputError(
                f"activation is {block.activation!r}; use one of {', '.join(sorted(ACTIVATIONS))}"
            )
        if block.layers < 1 or block.filters < 1 or alpha <= 0:
            raise InputError(
                f"a block of {block.layers} layers and {block.filters} filters at alpha {alpha} is empty:"
                " use positive numbers"
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
            remembered = None if memory is None else max(1, round(memory / rate))
            self.se = SqueezeExcite(channels, context, block.activation, before_gate, remembered)
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
        """Return the block's output.

        ``mask`` and ``mask_out`` are True at the valid frames of input and output; None if all are valid.
        """
        mask, mask_out = FrameMask.of(mask), FrameMask.of(mask_out)
        y, before = x, mask
        for layer in self.layers:
            after = mask_out if layer.conv.stride > 1 else before
            y, before = layer(y, before, after), after
        if self.se is not None:
            y = self.se(y, None if mask_out is None else mask_out.valid)
        shortcut = None if self.shortcut is None else self.shortcut_norm(self.shortcut(x, mask), mask_out)
        return self.end(y, shortcut)

    def end(self, y: Tensor, shortcut: Tensor | None) -> Tensor:
        """Add the shortcut's output, if any, and apply the block's last activation."""
        y = y if shortcut is None else y + shortcut
        return self.activation(y) if self.ends_active else y

    def initial_state(self, batch: int = 1) -> list[Tensor]:
        """Return the state of ``step`` before the first frame. Lesson 12.

        It holds the last input frames of each convolution, the sum and the number of frames so far for
        squeeze-and-excitation, and the last input frames of the shortcut.
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
        """Return the output frames that ``x`` completes, and the new state. Lesson 12.

        The old state is consumed from the iterator ``state``. ``phase`` is the number of input frames before
        ``x``, modulo a multiple of the stride.
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
