"""The ContextNet encoder: 23 convolution blocks with squeeze-and-excitation.

Several networks carry the name (lesson 04 counts both):

- ``variant="paper"`` (Han et al. 2020, section 2.2): a block is m × (separable
  convolution, batch norm, activation), then SE, and where it is residual a
  pointwise convolution and batch norm on the shortcut; the block's activation
  comes after the addition.
- ``variant="tensorflowasr"``: the SE module starts with one more separable
  convolution, the shortcut is a separable convolution too, and a block without a
  shortcut ends with the activation all the same. ``variant="tensorflowasr-2021"``
  is that code two years before: its gates are sigmoid(activation(·)).

The stride sits on the last of the m convolutions, and on the shortcut.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from asrlib.backend import asks_nothing, in_processes
from asrlib.errors import InputError
from asrlib.models.contextnet_fused import can_fuse, fused_forward
from asrlib.models.layers.conv import (
    ACTIVATIONS,
    MaskedBatchNorm,
    PointwiseConv,
    SeparableConv,
    frame_mask,
    note_valid_rows,
    output_length,
)
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
        self, x: Float[Tensor, "batch frames cin"], mask: Bool[Tensor, "batch frames_out"] | None
    ) -> Float[Tensor, "batch frames_out cout"]:
        return self.norm(self.conv(x), mask, self.activation)


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
        mask: Bool[Tensor, "batch frames"] | None,
        mask_out: Bool[Tensor, "batch frames_out"] | None,
    ) -> Float[Tensor, "batch frames_out cout"]:
        y, current = x, mask
        for layer in self.layers:
            current = mask_out if layer.conv.stride > 1 else current
            y = layer(y, current)
        if self.se is not None:
            y = self.se(y, mask_out)
        shortcut = None if self.shortcut is None else self.shortcut_norm(self.shortcut(x), mask_out)
        return self.end(y, shortcut)

    def end(self, y: Tensor, shortcut: Tensor | None) -> Tensor:
        """What leaves the block: the sum with the shortcut's output, if there is one, and the activation."""
        y = y if shortcut is None else y + shortcut
        return self.activation(y) if self.ends_active else y


@contextlib.contextmanager
def _statistics_kept(block: Block) -> Iterator[None]:
    """While a block runs again for its gradients: its running statistics know this batch already."""
    own = [
        (norm, dict(norm.named_buffers())) for norm in block.modules() if isinstance(norm, MaskedBatchNorm)
    ]
    try:
        for norm, buffers in own:
            for name, value in buffers.items():
                setattr(norm, name, torch.empty_like(value))  # which nobody reads
        yield
    finally:
        for norm, buffers in own:
            for name, value in buffers.items():
                setattr(norm, name, value)


class ContextNetEncoder(nn.Module):
    """(batch, frames, mels) features to (batch, ceil(frames / 8), D) for the standard blocks.

    ``checkpoint_blocks`` True: a training step keeps each block's input alone, and runs the
    block again in the backward pass (Chen et al. 2016). Same numbers, less memory, more time.
    """

    checkpoint_blocks = False

    def __init__(self, mels: int, blocks: Sequence[BlockConfig], alpha: float = 1.0, variant: str = "paper"):
        super().__init__()
        if variant not in VARIANTS:
            raise InputError(f"variant is {variant!r}; use one of {', '.join(VARIANTS)}")
        if not blocks:
            raise InputError("the encoder has no blocks")
        self.blocks = nn.ModuleList()
        channels, rate = mels, 1
        for block in blocks:
            rate *= block.stride
            self.blocks.append(Block(channels, block, alpha, variant, rate))
            channels = self.blocks[-1].channels
        self.dim, self.reduction = channels, rate

    def forward(
        self, features: Float[Tensor, "batch frames mels"], lengths: Int[Tensor, "batch"] | None = None
    ) -> tuple[Float[Tensor, "batch frames_out channels"], Int[Tensor, "batch"]]:
        """Frames past each length are ignored, and zero on the way out."""
        if self.training and can_fuse(self, features):
            return fused_forward(self, features, lengths)
        batch, frames, _ = features.shape
        if lengths is None:
            lengths = torch.full((batch,), frames, dtype=torch.long, device=features.device)
        # one utterance, or all of one length: nothing to mask (not asked on an accelerator: it would wait)
        masked = features.device.type != "cpu" or bool((lengths != frames).any())
        x, mask = features, self._mask(lengths, frames) if masked else None
        if masked:
            x = x * mask[..., None]
        for block in self.blocks:
            lengths = output_length(lengths, block.stride)
            frames = output_length(frames, block.stride)
            mask_out = self._mask(lengths, frames) if masked and block.stride > 1 else mask
            x = self.run_block(nn.Module.__call__, block, x, mask, mask_out)
            mask = mask_out
        return x, lengths

    def run_block(self, function: Callable[..., Tensor], block: Block, *arguments: Any) -> Tensor:
        """Return function(block, *arguments), kept or recomputed as ``checkpoint_blocks`` says."""
        if not (self.checkpoint_blocks and self.training and torch.is_grad_enabled()):
            return function(block, *arguments)
        return checkpoint(
            function,
            block,
            *arguments,
            use_reentrant=False,
            preserve_rng_state=False,  # a block draws no random numbers
            context_fn=lambda: (contextlib.nullcontext(), _statistics_kept(block)),
        )

    def _mask(self, lengths: Tensor, frames: int) -> Tensor:
        mask = frame_mask(lengths, frames)
        if self.training and not asks_nothing(mask) and not in_processes():
            note_valid_rows(mask)
        return mask
