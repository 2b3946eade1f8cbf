"""ContextNet as one would first write it: the paper's network in PyTorch's own layers.

The same network as `asrlib.models.contextnet`'s (variant "paper") with `asrlib.models.transducer`'s, for
batches without padding and without what makes those fast: (batch, channels, time) as ``nn.Conv1d`` wants it,
the whole (B, T, U + 1, V) lattice of scores at once. Modules come in the same order, so that weights can be
copied from one to the other: tests and the benchmark hold the two against each other, lesson 04 reads this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from asrlib.models.contextnet_blocks import BlockConfig


class PlainBlock(nn.Module):
    """Han et al. 2020, section 2.2: m convolutions, gates, and the shortcut where the block is residual.

    Padding keeps the length (kernels are odd), but for the last convolution's stride.
    """

    def __init__(self, channels_in: int, block: BlockConfig, alpha: float = 1.0):
        super().__init__()
        self.channels = channels = int(block.filters * alpha)
        layers: list[nn.Module] = []
        for number in range(block.layers):
            width = channels if number else channels_in
            stride = block.stride if number == block.layers - 1 else 1
            layers += [
                # depthwise: one filter for each channel; pointwise: channels to channels at each frame
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
        y = self.layers(x)
        y = y * self.excite(y.mean(2, keepdim=True))  # squeeze over all of the utterance
        return y if self.shortcut is None else F.silu(y + self.shortcut(x))


def _batch_norm(channels: int) -> nn.BatchNorm1d:
    return nn.BatchNorm1d(channels, eps=1e-3, momentum=0.01)  # as Keras sets them


class PlainEncoder(nn.Module):
    """The blocks one behind the other: C0 … C22 for ``standard_blocks()``."""

    def __init__(self, mels: int, blocks: Sequence[BlockConfig], alpha: float = 1.0):
        super().__init__()
        self.blocks, channels = nn.Sequential(), mels
        for block in blocks:
            self.blocks.append(PlainBlock(channels, block, alpha))
            channels = self.blocks[-1].channels
        self.dim = channels

    def forward(self, features: Float[Tensor, "batch frames mels"]) -> Float[Tensor, "batch frames_out dim"]:
        return self.blocks(features.transpose(1, 2)).transpose(1, 2)


class PlainTransducer(nn.Module):
    """Encoder, prediction network (one LSTM) and joint network; blank is label 0."""

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
        """Return the scores of each label at each frame behind each prefix of the targets."""
        prediction_out, _ = self.rnn(self.embedding(F.pad(targets, (1, 0))))  # blank, then the labels
        from_prediction = self.prediction_linear(self.norm(prediction_out))
        hidden = torch.tanh(self.encoder_linear(encoder_out)[:, :, None] + from_prediction[:, None])
        return self.output(hidden)

    def loss(
        self, encoder_out: Float[Tensor, "batch T D"], targets: Int[Tensor, "batch U"], rnnt_loss: Callable
    ) -> Float[Tensor, ""]:
        """Return the loss per utterance in nats; ``rnnt_loss`` is torchaudio's or one of its arguments."""
        batch, frames, _ = encoder_out.shape
        lengths = (
            torch.full((batch,), n, dtype=torch.int32, device=targets.device)
            for n in (frames, targets.shape[1])
        )
        scores = self.scores(encoder_out, targets)
        return rnnt_loss(scores, targets.int(), *lengths, blank=0, reduction="sum") / batch


@torch.no_grad()
def copy_weights(plain: nn.Module, model: nn.Module) -> None:
    """Give ``plain`` the parameters and the running statistics of its counterpart in asrlib."""
    pairs = [*zip(plain.parameters(), model.parameters(), strict=True)]
    pairs += zip(plain.buffers(), model.buffers(), strict=True)
    for own, given in pairs:
        own.copy_(given.reshape(own.shape))
