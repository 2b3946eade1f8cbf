"""A straightforward ContextNet transducer: the paper's network in PyTorch's own layers. Lesson 04.

It is the same network as `asrlib.models.contextnet` (variant "paper") with `asrlib.models.transducer`, for
batches without padding and without their optimizations. Tensors are (batch, channels, time), as ``nn.Conv1d``
expects, and the whole (B, T, U + 1, V) lattice of scores is computed at once. The modules have the same
order, so that weights can be copied from one network to the other. Tests and the benchmark compare the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from asrlib.models.contextnet_blocks import BlockConfig


class PlainBlock(nn.Module):
    """A block of ContextNet (Han et al. 2020, section 2.2): convolutions, gates, and a shortcut if residual.

    Kernels are odd. Padding keeps the length, except for the stride of the last convolution.
    """

    def __init__(self, channels_in: int, block: BlockConfig, alpha: float = 1.0):
        super().__init__()
        self.channels = channels = int(block.filters * alpha)
        layers: list[nn.Module] = []
        for number in range(block.layers):
            width = channels if number else channels_in
            stride = block.stride if number == block.layers - 1 else 1
            layers += [
                # depthwise: one filter per channel; pointwise: mixes the channels of each frame
                nn.Conv1d(width, width, block.kernel, stride, block.kernel // 2, groups=width, bias=False),
                nn.Conv1d(width, channels, 1),
                _batch_norm(channels),
                nn.SiLU(),
            ]
        self.layers = nn.Sequential(*layers)
        self.excite = nn.Sequential(
            nn.Conv1d(channels, channels // 8, 1),
            nn.SiLU(),
            nn.Conv1d(channels // 8, channels, 1),
            nn.Sigmoid(),
        )
        self.shortcut = None
        if block.residual:
            self.shortcut = nn.Sequential(
                nn.Conv1d(channels_in, channels, 1, block.stride), _batch_norm(channels)
            )

    def forward(self, x: Float[Tensor, "batch cin frames"]) -> Float[Tensor, "batch cout frames_out"]:
        """Return the block's output."""
        y = self.layers(x)
        y = y * self.excite(y.mean(2, keepdim=True))  # squeeze over the whole utterance
        return y if self.shortcut is None else F.silu(y + self.shortcut(x))


def _batch_norm(channels: int) -> nn.BatchNorm1d:
    return nn.BatchNorm1d(channels, eps=1e-3, momentum=0.01)  # Keras's defaults


class PlainEncoder(nn.Module):
    """The blocks in sequence: C0 … C22 for ``standard_blocks()``."""

    def __init__(self, mels: int, blocks: Sequence[BlockConfig], alpha: float = 1.0):
        super().__init__()
        self.blocks, channels = nn.Sequential(), mels
        for block in blocks:
            self.blocks.append(PlainBlock(channels, block, alpha))
            channels = self.blocks[-1].channels
        self.dim = channels

    def forward(self, features: Float[Tensor, "batch frames mels"]) -> Float[Tensor, "batch frames_out dim"]:
        """Return the encoder's output. All utterances of the batch have the same length."""
        return self.blocks(features.transpose(1, 2)).transpose(1, 2)


class PlainTransducer(nn.Module):
    """Encoder, prediction network (one LSTM) and joint network. Blank is label 0."""

    def __init__(self, encoder: PlainEncoder, vocabulary: int, embed_dim: int, units: int, dim: int):
        super().__init__()
        self.encoder = encoder
        self.embedding = nn.Embedding(vocabulary, embed_dim)
        self.rnn = nn.LSTM(embed_dim, units, batch_first=True)
        self.norm = nn.LayerNorm(units, eps=1e-3)
        self.encoder_linear = nn.Linear(encoder.dim, dim)
        self.prediction_linear = nn.Linear(units, dim, bias=False)
        self.output = nn.Linear(dim, vocabulary)

    def scores(
        self, encoder_out: Float[Tensor, "batch T D"], targets: Int[Tensor, "batch U"]
    ) -> Float[Tensor, "batch T U1 V"]:
        """Return the score of every label at every frame after every prefix of the targets."""
        prediction_out, _ = self.rnn(self.embedding(F.pad(targets, (1, 0))))  # blank, then the labels
        from_prediction = self.prediction_linear(self.norm(prediction_out))
        hidden = torch.tanh(self.encoder_linear(encoder_out)[:, :, None] + from_prediction[:, None])
        return self.output(hidden)

    def loss(
        self, encoder_out: Float[Tensor, "batch T D"], targets: Int[Tensor, "batch U"], rnnt_loss: Callable
    ) -> Float[Tensor, ""]:
        """Return the mean loss per utterance, in nats.

        ``rnnt_loss`` is torchaudio's, or a function with the same arguments.
        """
        batch, frames, _ = encoder_out.shape
        lengths = (
            torch.full((batch,), n, dtype=torch.int32, device=targets.device)
            for n in (frames, targets.shape[1])
        )
        scores = self.scores(encoder_out, targets)
        return rnnt_loss(scores, targets.int(), *lengths, blank=0, reduction="sum") / batch


@torch.no_grad()
def copy_weights(plain: nn.Module, model: nn.Module) -> None:
    """Copy the parameters and running statistics of asrlib's ``model`` into its ``plain`` counterpart."""
    pairs = [*zip(plain.parameters(), model.parameters(), strict=True)]
    pairs += zip(plain.buffers(), model.buffers(), strict=True)
    for own, given in pairs:
        own.copy_(given.reshape(own.shape))
