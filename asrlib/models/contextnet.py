"""The ContextNet encoder (Han et al. 2020): 23 convolution blocks with squeeze-and-excitation. Lesson 04.

Several networks have this name: the paper's and those of TensorFlowASR's code. Lesson 04b counts their
parameters; `asrlib.models.contextnet_blocks` describes how their blocks differ.
`asrlib.models.contextnet_plain` is a minimal version of the paper's network, without padding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from asrlib import validate
from asrlib.backend import is_traced
from asrlib.errors import InputError
from asrlib.models.contextnet_blocks import DOWNSAMPLING, VARIANTS, Block, BlockConfig, standard_blocks
from asrlib.models.contextnet_fused import can_fuse, fused_forward
from asrlib.models.encoder import Encoder, EncoderConfig
from asrlib.models.layers.activations import ACTIVATIONS
from asrlib.models.layers.batch_norm import MaskedBatchNorm
from asrlib.models.layers.conv import PADDINGS, output_length, receptive_field
from asrlib.models.layers.mask import FrameMask, frame_mask
from asrlib.models.layers.se import SqueezeExcite
from asrlib.models.parameters import count_parameters


class ContextNetEncoder(Encoder):
    """The ContextNet encoder: (batch, frames, mels) features to (batch, ceil(frames / 8), D). Lesson 04.

    The 8 holds for the standard blocks; in general it is the product of the strides. ``blocks`` describe the
    blocks in order. ``alpha`` scales their channels. ``variant`` is one of ``VARIANTS``. ``keys`` names the
    configuration key of each block, for error messages. ``se_memory`` is that of ``ContextNetConfig``. Raises
    ``InputError`` for an unknown variant, no blocks, or a block that cannot be built.
    """

    checkpoint_blocks = False

    def __init__(
        self,
        mels: int,
        blocks: Sequence[BlockConfig],
        alpha: float = 1.0,
        variant: str = "paper",
        keys: Sequence[str] | None = None,
        se_memory: int | None = None,
    ):
        super().__init__()
        if variant not in VARIANTS:
            raise InputError(f"variant is {variant!r}; use one of {', '.join(VARIANTS)}")
        if not blocks:
            raise InputError("the encoder has no blocks: list at least one")
        self.described_by = list(zip(keys or _block_keys(blocks), blocks, strict=True))
        self.blocks = nn.ModuleList()
        channels, rate = mels, 1
        for block in blocks:
            rate *= block.stride
            self.blocks.append(Block(channels, block, alpha, variant, rate, se_memory))
            channels = self.blocks[-1].channels
        self.dim, self.reduction = channels, rate

    def forward(
        self, features: Float[Tensor, "batch frames mels"], lengths: Int[Tensor, "batch"] | None = None
    ) -> tuple[Float[Tensor, "batch frames_out channels"], Int[Tensor, "batch"]]:
        """Return the encoder's output and its lengths in frames; see ``Encoder.forward``."""
        if self.training and can_fuse(self, features):
            return fused_forward(self, features, lengths)
        batch, frames, _ = features.shape
        masked = lengths is not None and _may_differ(lengths, frames)
        if lengths is None:
            lengths = torch.full((batch,), frames, dtype=torch.long, device=features.device)
        x, mask = features, FrameMask(frame_mask(lengths, frames)) if masked else None
        if mask is not None:
            x = x * mask.valid[..., None]
        for block in self.blocks:
            lengths, frames = output_length(lengths, block.stride), output_length(frames, block.stride)
            mask_out = FrameMask(frame_mask(lengths, frames)) if masked and block.stride > 1 else mask
            x = self.run_block(nn.Module.__call__, block, x, mask, mask_out)
            mask = mask_out
        return x, lengths

    def run_block(self, function: Callable[..., Tensor], block: Block, *arguments: Any) -> Tensor:
        """Return function(block, *arguments), checkpointed if ``checkpoint_blocks`` is set."""
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

    def set_checkpointing(self, enabled: bool) -> None:
        """Turn gradient checkpointing on or off (Chen et al. 2016).

        With it, training keeps only the input of each block and runs the block again in the backward pass.
        This takes less memory and more time, and changes no result.
        """
        self.checkpoint_blocks = enabled

    @property
    def reach(self) -> int | None:
        """The feature frames on either side that an output frame depends on.

        None with squeeze-and-excitation over the whole utterance, and with Keras's padding, which depends on
        the utterance's length.
        """
        reach, rate = 0, 1
        for block in self.blocks:
            for layer in block.layers:
                if layer.conv.padding == "keras-same" and layer.conv.stride > 1:
                    return None
                reach += (layer.conv.depthwise.shape[1] - 1) * rate
                rate *= layer.conv.stride
            if block.se is not None:
                if not isinstance(block.se.context, int):
                    return None
                reach += (block.se.context // 2 + 1) * rate
        return reach

    def streaming_obstacles(self) -> list[str]:
        """Return every configuration key, with its value, that makes a block depend on the future.

        Lesson 12.
        """
        found = []
        for key, block in self.described_by:
            if block.kernel > 1 and block.padding != "causal":
                found.append(f"{key}.padding is {block.padding} (use causal)")
            if block.se not in ("none", "causal"):
                found.append(f"{key}.se is {block.se} (use causal or none)")
        return list(dict.fromkeys(found))

    def initial_state(self, batch: int = 1) -> list[Tensor]:
        """Return the initial states of all blocks, concatenated. Lesson 12."""
        return [tensor for block in self.blocks for tensor in block.initial_state(batch)]

    def step(
        self, features: Float[Tensor, "batch frames mels"], state: list[Tensor], phase: int = 0
    ) -> tuple[Float[Tensor, "batch frames_out channels"], list[Tensor]]:
        """Return the output frames that these feature frames complete, and the new state.

        See ``Encoder.step``. Lesson 12.
        """
        before, after, x = iter(state), [], features
        for block in self.blocks:
            x, own = block.step(x, before, phase)
            after += own
            phase = output_length(phase, block.stride)
        return x, after

    def profile(self) -> dict[str, list[float]]:
        """Return four numbers for each block. Lesson 04.

        - ``parameters``: the number of parameters, as ``count_parameters`` counts them.
        - ``work``: multiplications in its convolutions per second of sound, at 100 input frames per second.
        - ``field``: the receptive field of its output, in input frames.
        - ``rate``: the number of input frames per output frame.
        """
        profile: dict[str, list[float]] = {"parameters": [], "work": [], "field": [], "rate": []}
        rate, stack = 1, []
        for block in self.blocks:
            work = 0.0
            for conv in (layer.conv for layer in block.layers):
                rate *= conv.stride
                work += 100 / rate * (conv.depthwise.numel() + conv.pointwise.weight.numel())
                stack.append((conv.depthwise.shape[1], conv.stride))
            if block.shortcut is not None:
                weights = sum(weight.numel() for weight in block.shortcut.parameters() if weight.dim() > 1)
                work += 100 / rate * weights
            values = sum(count_parameters(block)), work, receptive_field(stack)[-1][0], rate
            for key, value in zip(profile, values, strict=True):
                profile[key].append(value)
        return profile

    def gates(
        self, features: Float[Tensor, "batch frames mels"], lengths: Int[Tensor, "batch"] | None = None
    ) -> list[Float[Tensor, "batch _ _"]]:
        """Return the gates of each squeeze-and-excitation module, in order. Lesson 03.

        Each is (batch, frames, channels), with a single frame for the whole utterance if the context is
        global.
        """
        modules = [module for module in self.modules() if isinstance(module, SqueezeExcite)]
        found: list[Tensor] = []
        hooks = [
            module.register_forward_pre_hook(lambda module, inputs: found.append(module.gates(*inputs)))
            for module in modules
        ]
        try:
            self(features, lengths)
        finally:
            for hook in hooks:
                hook.remove()
        return found


def _may_differ(lengths: Tensor, frames: int) -> bool:
    """Return whether there may be padding to mask. Assume so on an accelerator and in a recorded graph."""
    return is_traced() or lengths.device.type != "cpu" or bool((lengths != frames).any())


@contextlib.contextmanager
def _statistics_kept(block: Block) -> Iterator[None]:
    """Protect a block's running statistics while it runs again: they include this batch already."""
    own = [
        (norm, dict(norm.named_buffers())) for norm in block.modules() if isinstance(norm, MaskedBatchNorm)
    ]
    try:
        for norm, buffers in own:
            for name, value in buffers.items():
                setattr(norm, name, torch.empty_like(value))  # written to, never read
        yield
    finally:
        for norm, buffers in own:
            for name, value in buffers.items():
                setattr(norm, name, value)


def _block_keys(blocks: Sequence[BlockConfig]) -> list[str]:
    return [f"encoder.blocks[{number}]" for number in range(len(blocks))]


@dataclass
class ContextNetConfig(EncoderConfig):
    """Section ``encoder`` of a configuration with ``kind: contextnet``. Lesson 04.

    ``kernel``, ``activation``, ``downsampling``, ``padding`` and ``se`` describe the standard blocks
    (``standard_blocks``). If ``blocks`` is given, it replaces these keys. ``se_memory`` is the number of
    input frames after which causal squeeze-and-excitation forgets; None is never. ``padding`` is ``same``,
    ``causal``, or ``keras-same`` for networks that were trained with Keras's ``same``
    (`asrlib.models.layers.conv.keras_shift`).
    """

    kind: str = "contextnet"
    variant: str = "paper"
    alpha: float = 1.0
    kernel: int = 5
    activation: str = "swish"
    downsampling: str = "progressive"
    padding: str = "same"
    se: str | int = "global"
    se_memory: int | None = None
    blocks: list[BlockConfig] | None = None

    def build(self, mels: int) -> ContextNetEncoder:
        """Return the encoder, with new weights, for features of ``mels`` bins."""
        if self.blocks is not None:
            return ContextNetEncoder(mels, self.blocks, self.alpha, self.variant, se_memory=self.se_memory)
        blocks = standard_blocks(self.kernel, self.activation, self.padding, self.se, self.downsampling)
        keys = ["encoder"] * len(blocks)
        return ContextNetEncoder(mels, blocks, self.alpha, self.variant, keys, self.se_memory)

    def check(self, where: str) -> None:
        """Raise ``InputError``, naming the file ``where`` and the key, for invalid values."""
        validate.positive(where, "encoder", self, "alpha", "kernel", "se_memory")
        validate.at_most(where, "encoder", self, 100, "alpha")
        validate.at_most(where, "encoder", self, 10_000, "kernel")
        validate.choice(where, "encoder", self, "variant", VARIANTS)
        validate.choice(where, "encoder", self, "downsampling", DOWNSAMPLING)
        blocks = self.blocks or []
        for name, row in (("encoder", self), *zip(_block_keys(blocks), blocks, strict=True)):
            validate.choice(where, name, row, "activation", ACTIVATIONS)
            validate.choice(where, name, row, "padding", PADDINGS)
            if isinstance(row, BlockConfig):
                validate.positive(where, name, row, "filters", "layers", "kernel", "stride")
                validate.at_most(where, name, row, 100, "layers", "stride")
                validate.at_most(where, name, row, 10_000, "filters", "kernel")
