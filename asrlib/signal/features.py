"""From waveform to log-mel features: framing, STFT, mel filters, log, normalization.

Lesson 01 derives every step. The conventions are TensorFlowASR's, so that its configurations mean the same
here:

- Frames are not centered: ``frames = 1 + (samples - window) // hop``. A frame never looks past its own
  window, so features can be streamed.
- The periodic Hann window is zero-padded at its end to the next power of two.
- Features are the power spectrum on the HTK mel scale with unnormalized triangles, and the natural log of
  ``x + log_floor``.

The conventions of other systems are options: ``centered`` windows, no ``logarithm``, ``normalize:
recording``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from asrlib import validate
from asrlib.errors import InputError

# an integer or a tensor of integers
Count = TypeVar("Count", int, Tensor)

NORMALIZATIONS = ("none", "utterance", "bin", "running", "recording")


@dataclass
class FeatureConfig:
    """Arguments of ``FrontEnd``: section ``features`` of a configuration. Lesson 01."""

    sample_rate: int = 16000
    window_ms: float = 25.0
    hop_ms: float = 10.0
    mels: int = 80
    preemphasis: float = 0.97
    normalize_signal: bool = False
    normalize: str = "utterance"
    log_floor: float = 1e-6
    logarithm: bool = True
    centered: bool = False

    def check(self, where: str) -> None:
        """Raise ``InputError``, naming the file ``where`` and the key, for settings that cannot be used."""
        validate.positive(where, "features", self, "sample_rate", "mels", "log_floor")
        validate.at_most(where, "features", self, 1_000_000, "sample_rate")
        validate.at_most(where, "features", self, 10_000, "mels", "window_ms", "hop_ms")
        with validate.named(where, "features"):
            FrontEnd(**vars(self))


def hz_to_mel(hz: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Convert Hz to mel on the HTK scale: 2595 · log10(1 + f / 700 Hz). Lesson 01."""
    return 2595.0 * torch.log10(1.0 + hz / 700.0)


def mel_to_hz(mel: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Convert mel to Hz: the inverse of ``hz_to_mel``."""
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)


def mel_filters(
    sample_rate: int, fft_size: int, mels: int, low_hz: float = 0.0, high_hz: float | None = None
) -> Float[Tensor, "bins mels"]:
    """Return triangular filters evenly spaced in mel, each with a peak of 1. Lesson 01.

    They span ``low_hz`` to ``high_hz`` (None: half the sample rate). ``sample_rate`` is in Hz; there are
    ``fft_size // 2 + 1`` bins. Raises ``InputError`` unless 0 <= low_hz < high_hz <= sample_rate / 2.
    """
    high_hz = high_hz or sample_rate / 2
    if not 0 <= low_hz < high_hz <= sample_rate / 2:
        raise InputError(f"mel filters from {low_hz} to {high_hz} Hz do not fit in 0 to {sample_rate / 2} Hz")
    frequency = torch.linspace(0, sample_rate / 2, fft_size // 2 + 1, dtype=torch.float64)
    ends = hz_to_mel(torch.tensor([low_hz, high_hz], dtype=torch.float64))
    edges = mel_to_hz(torch.linspace(float(ends[0]), float(ends[1]), mels + 2, dtype=torch.float64))
    return _triangles(frequency[:, None], edges).float()


def _triangles(frequency: Tensor, edges: Tensor) -> Tensor:
    """Return triangles that rise from edge m to edge m + 1 and fall to edge m + 2."""
    left, center, right = edges[:-2], edges[1:-1], edges[2:]
    rise = (frequency - left) / (center - left)
    fall = (right - frequency) / (right - center)
    return torch.minimum(rise, fall).clamp(min=0)


def warp_filters(
    filters: Float[Tensor, "bins mels"], warp: Float[Tensor, "batch"]
) -> Float[Tensor, "batch bins mels"]:
    """Return the filters with their frequency axis stretched by one factor per utterance.

    This is vocal tract length perturbation (Jaitly & Hinton 2013). A factor above 1 moves every filter up in
    frequency, as if the speech came from a longer vocal tract. Values between FFT bins are interpolated
    linearly. Filters that extend past half the sample rate are cut off there. Lesson 01.
    """
    bins = filters.shape[0]
    position = torch.arange(bins, device=filters.device) / warp[:, None]
    lower = position.long().clamp(max=bins - 1)
    upper = (lower + 1).clamp(max=bins - 1)
    fraction = (position - lower).clamp(0, 1)[..., None]
    return filters[lower] * (1 - fraction) + filters[upper] * fraction


def frame_count(samples: Count, window: int, hop: int) -> Count:
    """Return the number of frames in ``samples`` samples. A signal shorter than a window is one frame.

    ``window`` and ``hop`` are in samples.
    """
    if isinstance(samples, Tensor):
        return 1 + (samples - window).clamp(min=0) // hop
    return 1 + max(samples - window, 0) // hop


def frame(
    signal: Float[Tensor, "*batch samples"], window: int, hop: int
) -> Float[Tensor, "*batch frames window"]:
    """Split a signal into overlapping frames of ``window`` samples, ``hop`` samples apart. Lesson 01.

    The result is a view. A signal shorter than a window is zero-padded to one frame first.
    """
    if signal.shape[-1] < window:
        signal = torch.nn.functional.pad(signal, (0, window - signal.shape[-1]))
    return signal.unfold(-1, window, hop)


def preemphasize(
    signal: Float[Tensor, "*batch samples"], coefficient: float
) -> Float[Tensor, "*batch samples"]:
    """Return y[n] = x[n] - coefficient · x[n - 1]. The first sample stays as it is."""
    if not coefficient:
        return signal
    return torch.cat([signal[..., :1], signal[..., 1:] - coefficient * signal[..., :-1]], dim=-1)


def log_mel(
    waveform: Float[Tensor, "samples"],
    sample_rate: int,
    window_ms: float = FeatureConfig.window_ms,
    hop_ms: float = FeatureConfig.hop_ms,
    mels: int = FeatureConfig.mels,
    preemphasis: float = FeatureConfig.preemphasis,
    normalize_signal: bool = FeatureConfig.normalize_signal,
    normalize: str = "none",
    log_floor: float = FeatureConfig.log_floor,
    logarithm: bool = FeatureConfig.logarithm,
    centered: bool = FeatureConfig.centered,
) -> Float[Tensor, "frames mels"]:
    """Return the log-mel features of one utterance, in natural log. Lesson 01.

    ``waveform`` is mono in [-1, 1] at ``sample_rate`` Hz. ``window_ms`` and ``hop_ms`` are in milliseconds.
    ``normalize_signal`` divides the waveform by its peak. ``normalize`` is one of

    - ``"none"``;
    - ``"utterance"``: zero mean and unit variance over all frames and bins;
    - ``"bin"``: zero mean and unit variance for each mel bin;
    - ``"recording"``: like ``"bin"``, but with the unbiased standard deviation and nothing added to it, which
      suits small features without a logarithm;
    - ``"running"``: subtract from each bin the mean of its frames so far, which evens out loudness and
      microphones without looking ahead.

    Without ``logarithm``, return mel powers. ``centered`` puts the middle of window n at sample n · hop and
    mirrors the signal at its ends, which gives samples // hop + 1 frames.

    Raises ``InputError`` for a waveform that is not a tensor of floats with one dimension or is empty, an
    unknown ``normalize``, and a window shorter than the hop.
    """
    if not isinstance(waveform, Tensor):
        raise InputError(
            f"waveform is a {type(waveform).__name__}; give a tensor, such as torch.from_numpy(samples)"
        )
    if not waveform.is_floating_point():
        raise InputError(
            f"waveform holds {str(waveform.dtype).removeprefix('torch.')}; give floats in [-1, 1]: those"
            " of 16 bits are waveform.float() / 32768"
        )
    if waveform.dim() != 1:
        raise InputError(
            f"waveform has shape {tuple(waveform.shape)}; give one channel of one utterance, (samples,)"
        )
    if waveform.numel() == 0:
        raise InputError("waveform is empty: give at least one sample")
    front_end = FrontEnd(
        sample_rate,
        window_ms,
        hop_ms,
        mels,
        preemphasis,
        normalize_signal,
        normalize,
        log_floor,
        logarithm,
        centered,
    ).to(waveform.device)
    samples = torch.tensor([waveform.shape[0]], device=waveform.device)
    return front_end(waveform[None], samples)[0][0]


class FrontEnd(torch.nn.Module):
    """Compute ``log_mel`` for padded batches, on any device. Lesson 01.

    Padding is invisible: each utterance has the same features in a batch as alone, and frames past its length
    are zero. The arguments are those of ``log_mel``. Raises ``InputError`` for an unknown ``normalize`` and a
    window shorter than the hop.
    """

    taper: Tensor
    filters: Tensor

    def __init__(
        self,
        sample_rate: int = FeatureConfig.sample_rate,
        window_ms: float = FeatureConfig.window_ms,
        hop_ms: float = FeatureConfig.hop_ms,
        mels: int = FeatureConfig.mels,
        preemphasis: float = FeatureConfig.preemphasis,
        normalize_signal: bool = FeatureConfig.normalize_signal,
        normalize: str = "none",
        log_floor: float = FeatureConfig.log_floor,
        logarithm: bool = FeatureConfig.logarithm,
        centered: bool = FeatureConfig.centered,
    ):
        super().__init__()
        if normalize not in NORMALIZATIONS:
            raise InputError(f"normalize is {normalize!r}; use one of {', '.join(NORMALIZATIONS)}")
        self.sample_rate = sample_rate
        self.window = round(sample_rate * window_ms / 1000)
        self.hop = round(sample_rate * hop_ms / 1000)
        if self.hop < 1 or self.window < self.hop:
            raise InputError(
                f"window_ms {window_ms} and hop_ms {hop_ms} give {self.window} and {self.hop} samples;"
                " the window must be at least as long as the hop, and the hop at least one sample"
            )
        self.fft_size = 1 << (self.window - 1).bit_length()
        self.preemphasis = preemphasis
        self.normalize_signal = normalize_signal
        self.normalize = normalize
        self.log_floor = log_floor
        self.logarithm = logarithm
        # number of samples mirrored at either end
        self.margin = self.window // 2 if centered else 0
        taper, filters = _tables(sample_rate, self.window, self.fft_size, mels)
        self.register_buffer("taper", taper, persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def forward(
        self,
        waveforms: Float[Tensor, "batch samples"],
        lengths: Int[Tensor, "batch"],
        warp: Float[Tensor, "batch"] | None = None,
    ) -> tuple[Float[Tensor, "batch frames mels"], Int[Tensor, "batch"]]:
        """Return the features of a batch, and their lengths in frames.

        ``lengths`` are in samples. ``warp`` stretches each utterance's frequency axis (see ``warp_filters``).
        """
        inside = torch.arange(waveforms.shape[1], device=waveforms.device) < lengths[:, None]
        with torch.autocast(waveforms.device.type, enabled=False):  # power spectra need more than 16 bits
            if self.normalize_signal:
                waveforms = waveforms / (waveforms * inside).abs().amax(dim=1, keepdim=True).clamp(min=1e-9)
            signal = mirrored(preemphasize(waveforms, self.preemphasis) * inside, lengths, self.margin)
            features = self.log_mels(frame(signal, self.window, self.hop), warp)
            counts = self.frame_count(lengths)
            mask = (
                torch.arange(features.shape[1], device=features.device)[None, :, None] < counts[:, None, None]
            )
            return self._normalized(features, mask) * mask, counts

    def frame_count(self, samples: Count) -> Count:
        """Return the number of frames in ``samples`` samples."""
        return frame_count(samples + 2 * self.margin, self.window, self.hop)

    def log_mels(
        self, frames: Float[Tensor, "batch frames window"], warp: Float[Tensor, "batch"] | None = None
    ) -> Float[Tensor, "batch frames mels"]:
        """Return log-mel features, or mel powers without ``logarithm``, of pre-emphasized frames.

        They are not normalized yet.
        """
        spectrum = torch.fft.rfft(frames * self.taper, n=self.fft_size)
        power = spectrum.real.square() + spectrum.imag.square()
        filters = self.filters if warp is None else warp_filters(self.filters, warp)
        return self.scaled(power @ filters)

    def scaled(self, power: Float[Tensor, "*frames mels"]) -> Float[Tensor, "*frames mels"]:
        """Return the natural logarithm of mel powers, or the powers themselves without ``logarithm``."""
        return torch.log(power + self.log_floor) if self.logarithm else power

    def _normalized(self, features: Tensor, mask: Tensor) -> Tensor:
        if self.normalize == "none":
            return features
        if self.normalize == "running":
            return features - running_mean(features)[0]
        dims = (1, 2) if self.normalize == "utterance" else (1,)
        count = mask.expand_as(features).sum(dims, keepdim=True)
        mean = (features * mask).sum(dims, keepdim=True) / count
        variance = ((features - mean).square() * mask).sum(dims, keepdim=True) / count
        return (features - mean) / deviation(variance, count, self.normalize)


def deviation(variance: Tensor, count: Tensor, normalize: str) -> Tensor:
    """Return the divisor that normalizes centered features, from their variance over ``count`` values."""
    if normalize == "recording":
        return (variance * (count / (count - 1).clamp(min=1))).sqrt().clamp(min=1e-12)
    return variance.sqrt() + 1e-3


def mirrored(
    signal: Float[Tensor, "batch samples"], lengths: Int[Tensor, "batch"], margin: int
) -> Float[Tensor, "batch padded"]:
    """Extend each signal by ``margin`` samples at both ends, mirrored at its first and last sample."""
    if not margin:
        return signal
    position = torch.arange(-margin, signal.shape[1] + margin, device=signal.device).abs()
    last = lengths[:, None] - 1
    position = torch.minimum(position, 2 * last - position).clamp(min=0)
    return signal.gather(1, torch.minimum(position, last))


def running_mean(
    x: Float[Tensor, "batch frames channels"],
    total: Float[Tensor, "batch 1 channels"] | None = None,
    count: Float[Tensor, ""] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return each frame's mean over the frames up to it, and the sum and number of all frames.

    Pass the sum and number as ``total`` and ``count`` to continue with the next chunk. None starts them at
    zero, in 64 bits, because a long stream needs the precision.
    """
    total = x.new_zeros(x.shape[0], 1, x.shape[2], dtype=torch.float64) if total is None else total
    count = total.new_zeros(()) if count is None else count
    totals = total + torch.cumsum(x.to(total.dtype), dim=1)
    counts = count + torch.arange(1, x.shape[1] + 1, device=x.device)
    after = totals[:, -1:] if x.shape[1] else total
    return (totals / counts[:, None]).to(x.dtype), after, count + x.shape[1]


@lru_cache(maxsize=8)
def _tables(sample_rate: int, window: int, fft_size: int, mels: int) -> tuple[Tensor, Tensor]:
    with torch.device("cpu"):  # the tables are cached: they must not depend on the first caller's device
        taper = 0.5 - 0.5 * torch.cos(2 * math.pi * torch.arange(window, dtype=torch.float64) / window)
        return taper.float(), mel_filters(sample_rate, fft_size, mels)
