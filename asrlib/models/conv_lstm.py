"""The convolutional LSTM encoder of csr-pytorch (its version of October 2019): "ConvNet2" and "3x LSTM".

    features (B, T, F) as an image -> 4 x [Conv2d, batch norm, Hardtanh(0, 20)], which halve T twice and F
    four times -> frequencies and channels flattened -> bidirectional LSTMs whose two directions are added

With two LSTMs it is csr-pytorch's ConvNet2, which has 14,306,734 parameters including the linear layer to its
46 labels. With three LSTMs, and a batch norm shared by the outputs of the first two, it is the 3x LSTM, with
18,510,254 parameters. Deep Speech 2 (Amodei et al. 2016) has the same parts. Lesson 14.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from asrlib import validate
from asrlib.backend import is_traced
from asrlib.errors import InputError
from asrlib.models.encoder import Encoder, EncoderConfig
from asrlib.models.layers.batch_norm import MaskedBatchNorm
from asrlib.models.layers.mask import FrameMask, frame_mask

# of the four convolutions: kernel, stride in frequency and in time, padding in time (in frequency: none)
SHAPES = ((5, (2, 2), 2), (5, (2, 2), 2), (3, (2, 1), 1), (3, (2, 1), 1))
LENGTHS = ("right", "original")


class ConvLSTM(Encoder):
    """Four convolutions over time and frequency, then bidirectional LSTMs. Lesson 14.

    With ``masked``, every layer sets the padding to zero and batch norm takes its statistics from valid
    frames, so that padding changes nothing. The original returns the right number of frames, ceil(length /
    4), but frames in the padding leak into the last valid frames and into the statistics. Raises
    ``InputError`` for too few mel bins.
    """

    reduction = 4

    def __init__(self, mels: int, channels: list[int], units: int, layers: int, masked: bool = True):
        super().__init__()
        self.dim, self.masked = units, masked
        bins, blocks, before = mels, [], 1
        for (kernel, stride, padding), after in zip(SHAPES, channels, strict=True):
            bins = (bins - kernel) // stride[0] + 1
            if bins < 1:
                raise InputError(f"{mels} mel bins are too few for its four convolutions: use at least 37")
            blocks.append(_ConvBlock(before, after, kernel, stride, padding))
            before = after
        self.blocks = nn.ModuleList(blocks)
        widths = [before * bins] + [units] * (layers - 1)
        self.lstms = nn.ModuleList(nn.LSTM(width, units, bidirectional=True) for width in widths)
        # a single norm: the original calls the same layer after every LSTM but the last
        self.norm = MaskedBatchNorm(units, eps=1e-5, momentum=0.1) if layers > 2 else None

    def forward(
        self, features: Float[Tensor, "batch frames mels"], lengths: Int[Tensor, "batch"] | None = None
    ) -> tuple[Float[Tensor, "batch frames_out dim"], Int[Tensor, "batch"]]:
        batch, frames, _ = features.shape
        if is_traced():
            raise InputError("a conv_lstm cannot be exported: its LSTMs run backward from each length")
        counts = torch.full((batch,), frames, device=features.device) if lengths is None else lengths
        ragged = lengths is not None and bool((counts < frames).any())
        x = features.transpose(1, 2)[:, None]  # batch, 1, mels, frames
        steps = counts
        if ragged and self.masked:
            x = x * frame_mask(counts, frames)[:, None, None]
        for block in self.blocks:
            steps = -(-steps // block.conv.stride[1])
            frames_out = -(-x.shape[3] // block.conv.stride[1])
            x = block(x, frame_mask(steps, frames_out) if ragged and self.masked else None)
        x = x.flatten(1, 2).permute(2, 0, 1)  # frames, batch, channels · mels
        valid = frame_mask(steps, len(x))
        for number, lstm in enumerate(self.lstms):
            x = _both_directions(lstm, x, steps if ragged else None)
            if self.norm is not None and number < len(self.lstms) - 1:
                mask = FrameMask(valid) if ragged and self.masked else None
                x = self.norm(x.transpose(0, 1), mask).transpose(0, 1)
        return x.transpose(0, 1) * valid[..., None], steps


class _ConvBlock(nn.Module):
    """Convolution, batch norm and Hardtanh between 0 and 20, with zeros where ``valid`` is False."""

    def __init__(self, before: int, after: int, kernel: int, stride: tuple[int, int], padding: int):
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, (0, padding))
        self.norm = MaskedBatchNorm(after, eps=1e-5, momentum=0.1)

    def forward(
        self,
        x: Float[Tensor, "batch channels bins frames"],
        valid: Bool[Tensor, "batch frames_out"] | None,
    ) -> Float[Tensor, "batch channels_out bins_out frames_out"]:
        x = self.conv(x)
        batch, channels, bins, frames = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(batch * bins, frames, channels)
        mask = None if valid is None else FrameMask(valid.repeat_interleave(bins, 0))
        rows = self.norm(rows, mask, _clipped)
        return rows.reshape(batch, bins, frames, channels).permute(0, 3, 1, 2)


def _clipped(x: Tensor) -> Tensor:
    return F.hardtanh(x, 0.0, 20.0)


def _both_directions(
    lstm: nn.LSTM, x: Float[Tensor, "frames batch width"], lengths: Int[Tensor, "batch"] | None
) -> Float[Tensor, "frames batch units"]:
    """Return the sum of both directions, with the backward one starting at each length, and zeros past it."""
    if lengths is None:
        y = lstm(x)[0]
    else:
        packed = pack_padded_sequence(x, lengths.cpu(), enforce_sorted=False)
        y = pad_packed_sequence(lstm(packed)[0], total_length=len(x))[0]
    forward, backward = y.chunk(2, dim=-1)
    return forward + backward


@dataclass
class ConvLSTMConfig(EncoderConfig):
    """Section ``encoder`` of a configuration with ``kind: conv_lstm``. Lesson 14.

    ``channels`` are those of the four convolutions. ``units`` is the size of each direction of an LSTM, and
    the number of output channels. ``layers`` is the number of LSTMs. ``lengths`` is ``right`` to mask the
    padding, or ``original`` not to, as in csr-pytorch.
    """

    kind: str = "conv_lstm"
    channels: list[int] = field(default_factory=lambda: [64, 128, 256, 512])
    units: int = 512
    layers: int = 2
    lengths: str = "right"

    def build(self, mels: int) -> ConvLSTM:
        """Return the encoder, with new weights, for features of ``mels`` bins."""
        return ConvLSTM(mels, self.channels, self.units, self.layers, masked=self.lengths == "right")

    def check(self, where: str) -> None:
        """Raise ``InputError``, naming the file ``where`` and the key, for invalid values."""
        validate.positive(where, "encoder", self, "units", "layers")
        validate.at_most(where, "encoder", self, 1000, "layers")
        validate.at_most(where, "encoder", self, 100_000, "units")
        validate.choice(where, "encoder", self, "lengths", LENGTHS)
        if len(self.channels) != len(SHAPES) or not 1 <= min(self.channels) <= max(self.channels) <= 10_000:
            raise InputError(
                f"{where}: key encoder.channels is {self.channels}; expected four numbers from 1 to 10,000"
            )
