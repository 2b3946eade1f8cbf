"""The modules that ``export`` traces: a recognizer as plain tensor operations.

Each module computes the same as its counterpart in a form that ONNX and TFLite support. The Fourier
transform is a convolution, control flow does not depend on lengths, recurrent networks are matrix
products, and states are inputs and outputs. The modules process one utterance at a time.

This module has the front end, the encoder and the CTC head. ``transducer_graph`` has the transducer, and
``stream_step`` one step of a stream. Lesson 12b.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asrlib.models.encoder import Encoder
from asrlib.models.layers.mask import frame_mask
from asrlib.signal.features import FrontEnd
from asrlib.signal.framing import mirrored, preemphasize
from asrlib.signal.mel import warp_filters
from asrlib.signal.running import running_mean


class TracedFrontEnd(nn.Module):
    """``FrontEnd`` for one utterance, with operations that both formats support.

    Taper and Fourier transform are one convolution, whose kernels are tapered cosines and sines and whose
    stride is the hop. ``warps`` are factors by which the frequency axis is stretched. ``sums`` is the dtype
    of running sums; TFLite has no 64-bit floats.
    """

    def __init__(self, front_end: FrontEnd, warps: Sequence[float], sums: torch.dtype = torch.float64):
        super().__init__()
        self.settings, self.sums = front_end, sums
        sample = torch.arange(front_end.window, dtype=torch.float64)
        bin = torch.arange(front_end.fft_size // 2 + 1, dtype=torch.float64)
        angle = 2 * torch.pi * bin[:, None] * sample / front_end.fft_size
        waves = torch.cat([angle.cos(), -angle.sin()]) * front_end.taper.double()
        self.register_buffer("waves", waves.float()[:, None])
        filters = [
            front_end.filters if warp == 1 else warp_filters(front_end.filters, torch.tensor([warp]))[0]
            for warp in warps
        ]
        self.register_buffer("filters", torch.stack(filters))

    def log_mels(self, emphasized: Tensor) -> Tensor:
        """Return log-mel features (warps, frames, mels), not normalized, of a signal (1, samples)."""
        real, imaginary = F.conv1d(emphasized[:, None], self.waves, stride=self.settings.hop).chunk(2, dim=1)
        power = (real.square() + imaginary.square()).transpose(1, 2)
        return self.settings.scaled(power, self.filters)

    def forward(self, signal: Tensor, length: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return features (warps, frames, mels) of a signal (samples,), and the number of valid frames.

        ``length``, (1,), is the number of valid samples; None means all, and the number of frames is None.
        """
        settings, signal = self.settings, signal[None]
        inside = 1 if length is None else frame_mask(length, signal.shape[1])
        count = None if length is None else settings.frame_count(length)
        if settings.tail:
            signal = F.pad(signal * inside, (0, settings.tail))
            length = None if length is None else length + settings.tail
            inside = 1 if length is None else frame_mask(length, signal.shape[1])
        if settings.normalize_signal:
            signal = signal / (signal * inside).abs().amax(1, keepdim=True).clamp(min=1e-9)
        emphasized = preemphasize(signal, settings.preemphasis) * inside
        ends = torch.full((1,), signal.shape[1]) if length is None else length
        features = self.log_mels(settings.padded(mirrored(emphasized, ends, settings.margin)))
        mask = None
        if count is not None:
            inside = frame_mask(count, features.shape[1])[..., None]
            mask = inside.float()
        features = settings.limited(features, None if count is None else inside)
        if settings.normalize == "running":
            start = torch.zeros_like(features[:, :1], dtype=self.sums)
            features = features - running_mean(features, start, memory=settings.running_memory)[0]
        elif settings.normalize != "none":
            dims = (1, 2) if settings.normalize == "utterance" else (1,)
            mean = _mean(features, mask, dims)
            variance = _mean((features - mean).square(), mask, dims)
            frames = torch.ones_like(features[:, :, :1]) if mask is None else mask
            features = (features - mean) / settings.deviation(variance, frames.sum(1, keepdim=True))
        return features if mask is None else features * mask, count


class LogMels(nn.Module):
    """Maps samples (n,) to the log-mel features (frames, mels) of their complete windows, not normalized.

    The first sample is the one before the first window. The page of ``asrlib.export.web`` draws them.
    """

    def __init__(self, front_end: FrontEnd):
        super().__init__()
        self.front_end = TracedFrontEnd(front_end, [1.0])

    def forward(self, signal: Tensor) -> Tensor:
        """Return the features of ``signal``."""
        emphasized = signal[1:] - self.front_end.settings.preemphasis * signal[:-1]
        return self.front_end.log_mels(emphasized[None])[0]


class SignalToFrames(nn.Module):
    """Front end and encoder: maps a signal (samples,) to encoder frames (warps, T, D_enc).

    Also returns how many of the T frames are within ``length``, or None if ``length`` is None.
    """

    def __init__(
        self,
        front_end: FrontEnd,
        encoder: Encoder,
        warps: Sequence[float],
        sums: torch.dtype = torch.float64,
    ):
        super().__init__()
        self.front_end, self.encoder = TracedFrontEnd(front_end, warps, sums), encoder

    def forward(self, signal: Tensor, length: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return the encoder frames of ``signal``, and how many of them are valid."""
        features, count = self.front_end(signal, length)
        encoder_out, count_out = self.encoder(features, count)
        return encoder_out, None if count is None else count_out


def _mean(x: Tensor, mask: Tensor | None, dims: tuple[int, ...]) -> Tensor:
    if mask is None:
        return x.mean(dims, keepdim=True)
    count = mask.sum(1, keepdim=True) * (1 if dims == (1,) else x.shape[2])
    return (x * mask).sum(dims, keepdim=True) / count


class GreedyCTC(nn.Module):
    """Greedy CTC search from signal to labels.

    The log-probabilities of the CTC heads are averaged over warps and networks. Returns ``tokens``,
    ``log_probs``, both (T, 1), and ``score``, (1,).
    """

    def __init__(self, frames: Sequence[SignalToFrames], heads: Sequence[nn.Module]):
        super().__init__()
        self.frames, self.heads = nn.ModuleList(frames), nn.ModuleList(heads)

    def forward(self, signal: Tensor, length: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return labels, log-probabilities and score of ``signal``."""
        log_probs = []
        for frames, head in zip(self.frames, self.heads, strict=True):
            encoder_out, count = frames(signal, length)
            log_probs.append(head(encoder_out).log_softmax(-1).mean(0))
        log_probs = torch.stack(log_probs).mean(0).log_softmax(-1)
        best, label = log_probs.max(-1)
        if count is not None:
            inside = frame_mask(count, label.shape[0])[0]
            best, label = best * inside, label * inside
        before = F.pad(label[:-1], (1, 0))
        emits = ((label != before) & (label != 0)).to(best.dtype)
        return (label * emits)[:, None].int(), (best * emits)[:, None], best.sum(0, keepdim=True)
