"""The Conformer encoder (Gulati et al. 2020): attention over the whole recording, and self-conditioned CTC.

Convolutions see a few seconds; attention sees the whole recording. Between its layers the encoder may read
its own CTC head, and add the head's predictions back to the frames (Nozaki & Komatsu 2021). The variant is
that of Flynn and Ragni 2024 ("How Much Context Does My Attention-Based ASR System Need?"), whose published
checkpoints ``asrlib import --from lcasr`` reads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from asrlib import validate
from asrlib.backend import is_traced
from asrlib.errors import InputError
from asrlib.models.conformer_blocks import NORMS, ConformerLayer
from asrlib.models.encoder import Encoder, EncoderConfig
from asrlib.models.layers.conv import output_length
from asrlib.models.layers.mask import FrameMask, frame_mask
from asrlib.models.layers.positions import POSITIONS, FourierPositions, rotary_table
from asrlib.models.layers.recompute import recomputed
from asrlib.models.layers.subsampling import DepthwiseStriding


class NormedHead(nn.Module):
    """A CTC head: layer norm, then a linear layer from D channels to V scores."""

    def __init__(self, dim: int, vocabulary: int):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.linear = nn.Linear(dim, vocabulary)

    def forward(self, x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows V"]:
        """Return the scores of each frame."""
        return self.linear(self.norm(x))


class ConformerEncoder(Encoder):
    """The Conformer encoder: (batch, frames, mels) features to (batch, ceil(frames / 8), dim)."""

    def __init__(self, mels: int, config: ConformerConfig):
        super().__init__()
        self.config = config
        self.dim, self.reduction = config.dim, DepthwiseStriding.reduction
        self.reads_ctc_head = config.self_conditioning
        self.attention_window = config.attention_window
        self.checkpoint_layers = False
        self.subsampling = DepthwiseStriding(
            mels, config.subsampling_channels, config.dim, config.mask_subsampling
        )
        self.positions = FourierPositions(config.dim) if config.positions == "fourier" else None
        self.layers = nn.ModuleList(
            ConformerLayer(
                config.dim,
                config.heads,
                config.head_dim,
                config.expansion,
                config.kernel,
                config.norm,
                config.dropout,
            )
            for _ in range(config.layers)
        )
        # in a tuple, so that the head's weights belong to the model only
        self._head: tuple[NormedHead, ...] = ()
        self.way_back: nn.Linear | None = None

    def make_ctc_head(self, vocabulary: int) -> NormedHead:
        """Return a new CTC head, which self-conditioning reads from now on."""
        self._head = (NormedHead(self.dim, vocabulary),)
        if self.reads_ctc_head:
            self.way_back = nn.Linear(vocabulary, self.dim)
        return self._head[0]

    def forward(
        self, features: Float[Tensor, "batch frames mels"], lengths: Int[Tensor, "batch"] | None = None
    ) -> tuple[Float[Tensor, "batch frames_out dim"], Int[Tensor, "batch"]]:
        """Return the encoder's output and its lengths in frames; see ``Encoder.forward``."""
        encoder_out, lengths, _ = self._run(features, lengths, keep=False)
        return encoder_out, lengths

    def forward_with_intermediate(
        self, features: Float[Tensor, "batch frames mels"], lengths: Int[Tensor, "batch"] | None = None
    ) -> tuple[Float[Tensor, "batch frames_out dim"], Int[Tensor, "batch"], list[Tensor]]:
        """Return the results of ``forward``, and the CTC head's log-probabilities between the layers."""
        return self._run(features, lengths, keep=True)

    def _run(
        self, features: Tensor, lengths: Tensor | None, keep: bool
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        batch, frames, _ = features.shape
        masked = lengths is not None and _may_differ(lengths, frames)
        if lengths is None:
            lengths = torch.full((batch,), frames, dtype=torch.long, device=features.device)
        x = self.subsampling(features, lengths if masked else None)
        lengths = output_length(lengths, self.reduction)
        mask = FrameMask(frame_mask(lengths, x.shape[1])) if masked else None
        x = x if self.positions is None else self.positions(x)
        rotary, settings = None, self.config
        random = settings.dropout > 0
        if settings.positions == "rotary":
            shape = x.shape[1], settings.head_dim, settings.rotary_base, settings.rotary_interpolation
            rotary = rotary_table(*shape, device=x.device)
        intermediate = []
        for number, layer in enumerate(self.layers, start=1):
            arguments = x, mask, rotary, self.attention_window
            recompute = self.checkpoint_layers and self.training and torch.is_grad_enabled()
            x = recomputed(layer, *arguments, random=random) if recompute else layer(*arguments)
            if self.way_back is not None and number < len(self.layers):
                log_probs = self._head[0](x).float().log_softmax(-1)
                x = x + self.way_back(log_probs.exp().to(x.dtype))
                intermediate += [log_probs] if keep else []
        if settings.norm_twice and self._head:
            x = self._head[0].norm(x)
        return x if mask is None else x * mask.valid[..., None], lengths, intermediate

    def set_checkpointing(self, enabled: bool) -> None:
        """Turn gradient checkpointing of the layers on or off; see ``Encoder.set_checkpointing``."""
        self.checkpoint_layers = enabled

    def set_attention_window(self, frames: int | None) -> int | None:
        """Limit attention to ``frames`` frames on either side (None: no limit); return the old limit."""
        before, self.attention_window = self.attention_window, frames
        return before

    @property
    def reach(self) -> int | None:
        """The feature frames on either side that an output frame depends on; None: all."""
        if self.attention_window is None or self.positions is not None:  # Fourier positions are absolute
            return None
        per_layer = self.attention_window + self.config.kernel // 2
        return self.reduction * per_layer * len(self.layers) + self.subsampling.reach


def _may_differ(lengths: Tensor, frames: int) -> bool:
    """Return whether there may be padding to mask. Assume so on an accelerator and in a recorded graph."""
    return is_traced() or lengths.device.type != "cpu" or bool((lengths != frames).any())


@dataclass
class ConformerConfig(EncoderConfig):
    """Section ``encoder`` of a configuration with ``kind: conformer``.

    There are ``layers`` of width ``dim``, with feed-forward networks ``expansion`` times as wide, and
    ``heads`` attention heads of ``head_dim`` channels.

    - ``kernel`` is the width of the convolutions in frames, and ``norm`` their norm: ``batch_renorm`` or
      ``batch_norm``.
    - ``positions`` is ``rotary`` (with ``rotary_base`` and ``rotary_interpolation``), ``fourier`` (learned)
      or ``none``.
    - ``attention_window`` is the number of encoder frames (80 ms at a hop of 10 ms) on either side that a
      frame attends to; null means all.
    - ``self_conditioning`` adds the CTC head's predictions to the frames between layers.

    Two keys reproduce imported checkpoints exactly. ``norm_twice`` applies the CTC head's norm once more at
    the end. ``mask_subsampling: false`` lets a batch's padding leak into the last frames.
    """

    kind: str = "conformer"
    layers: int = 6
    dim: int = 256
    heads: int = 8
    head_dim: int = 32
    expansion: int = 4
    kernel: int = 9
    norm: str = "batch_renorm"
    subsampling_channels: int = 256
    positions: str = "rotary"
    rotary_base: float = 1.5e6
    rotary_interpolation: float = 1.0
    attention_window: int | None = None
    self_conditioning: bool = True
    norm_twice: bool = False
    mask_subsampling: bool = True
    dropout: float = 0.0

    def build(self, mels: int) -> ConformerEncoder:
        """Return the encoder, with new weights, for features of ``mels`` bins."""
        return ConformerEncoder(mels, self)

    def check(self, where: str) -> None:
        """Raise ``InputError``, naming the file ``where`` and the key, for invalid values."""
        sizes = ("layers", "dim", "heads", "head_dim", "expansion", "kernel", "subsampling_channels")
        validate.positive(where, "encoder", self, *sizes, "rotary_base", "rotary_interpolation")
        validate.positive(where, "encoder", self, "attention_window")
        validate.at_most(where, "encoder", self, 1000, "layers", "heads", "expansion")
        validate.at_most(where, "encoder", self, 100_000, "dim", "head_dim", "kernel", "subsampling_channels")
        validate.fractions(where, "encoder", self, "dropout")
        validate.choice(where, "encoder", self, "positions", POSITIONS)
        validate.choice(where, "encoder", self, "norm", NORMS)
        even = {"rotary": "head_dim", "fourier": "dim"}.get(self.positions)
        if even and getattr(self, even) % 2:
            raise InputError(
                f"{where}: key encoder.{even} is {getattr(self, even)}; with encoder.positions:"
                f" {self.positions} it must be even"
            )
