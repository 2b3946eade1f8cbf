"""From waveform to log-mel features: framing, STFT, mel filters, log, normalization.

Lesson 01 derives every step. These are the defaults:

- Frames are not centered: ``frames = 1 + (samples - window) // hop``. A frame never looks past its own
  window, so features can be streamed.
- The periodic Hann window is zero-padded at its end to the next power of two.
- Features are the power spectrum on the HTK mel scale with unnormalized triangles, and the natural log of
  ``x + log_floor``.

Every system has its own conventions, and a network works with the features that it was trained on. Theirs are
options (``FeatureConfig``). `asrlib.config.tensorflowasr_generations` has those of TensorFlowASR's versions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from asrlib import validate
from asrlib.errors import InputError
from asrlib.reading import shown
from asrlib.signal.framing import Count, frame, frame_count, mirrored, preemphasize
from asrlib.signal.mel import mel_filters, warp_filters
from asrlib.signal.resample import check_rate
from asrlib.signal.running import running_mean

NORMALIZATIONS = ("none", "utterance", "bin", "running", "recording")
SPECTRA = ("power", "magnitude")
FLOORS = ("add", "max")
# the unit of the logarithm, and how many of it are a decibel
LOG_UNITS = {"ln": math.log(10) / 10, "log10": 0.1, "db": 1.0}
EPSILON_PLACES = ("deviation", "variance")


@dataclass
class FeatureConfig:
    """Arguments of ``FrontEnd``: section ``features`` of a configuration. Lesson 01.

    - ``fft_size`` is in samples; None is the next power of two from the window's length on.
    - ``spectrum`` is ``power`` or ``magnitude``. The mel filters span ``low_hz`` to ``high_hz`` (None: half
      the sample rate), with slopes over ``hz`` or ``mel`` (`asrlib.signal.mel`).
    - ``floor`` says how ``log_floor`` keeps the logarithm finite: ``add`` adds it, ``max`` is the larger of
      the two. ``log_unit`` is ``ln``, ``log10`` or ``db`` (10 · log10).
    - ``top_db`` raises what is more than so many dB below the utterance's highest value to that level.
    - ``pad_end`` appends zeros, so that a window begins every hop of the signal: ceil(samples / hop) frames.
    - ``running_memory`` is the number of frames after which ``normalize: running`` forgets; None is never
      (`asrlib.signal.running`).
    - ``epsilon`` is added to the ``deviation`` or to the ``variance`` that features are normalized by,
      as ``epsilon_in`` says.
    - ``tail_ms`` appends silence. A causal network may then wait that long after a word before it writes it,
      even after the last one. The silence counts as part of the utterance in all of the above, and labels may
      have times in it.
    """

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
    fft_size: int | None = None
    spectrum: str = "power"
    low_hz: float = 0.0
    high_hz: float | None = None
    mel_slopes: str = "hz"
    floor: str = "add"
    log_unit: str = "ln"
    top_db: float | None = None
    pad_end: bool = False
    epsilon: float = 1e-3
    epsilon_in: str = "deviation"
    running_memory: int | None = None
    tail_ms: float = 0.0

    def check(self, where: str) -> None:
        """Raise ``InputError``, naming the file ``where`` and the key, for settings that cannot be used."""
        validate.positive(where, "features", self, "sample_rate", "mels", "log_floor", "high_hz", "top_db")
        validate.positive(where, "features", self, "running_memory")
        validate.not_negative(where, "features", self, "epsilon", "tail_ms")
        validate.at_most(where, "features", self, 10_000, "tail_ms")
        check_rate(self.sample_rate, f"{where}: key features.sample_rate")
        validate.at_most(where, "features", self, 10_000, "mels", "window_ms", "hop_ms")
        with validate.named(where, "features"):
            FrontEnd(**vars(self))


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
    **conventions: Any,
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
    mirrors the signal at its ends, which gives samples // hop + 1 frames. ``conventions`` are further keys of
    ``FeatureConfig``.

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
        **conventions,
    ).to(waveform.device)
    samples = torch.tensor([waveform.shape[0]], device=waveform.device)
    return front_end(waveform[None], samples)[0][0]


class FrontEnd(torch.nn.Module):
    """Compute ``log_mel`` for padded batches, on any device. Lesson 01.

    Padding is invisible: each utterance has the same features in a batch as alone, and frames past its length
    are zero. The arguments are the keys of ``FeatureConfig``; ``normalize`` is "none" by default. Raises
    ``InputError`` for an unknown choice, an FFT or hop that does not fit the window, and options that exclude
    each other.
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
        fft_size: int | None = FeatureConfig.fft_size,
        spectrum: str = FeatureConfig.spectrum,
        low_hz: float = FeatureConfig.low_hz,
        high_hz: float | None = FeatureConfig.high_hz,
        mel_slopes: str = FeatureConfig.mel_slopes,
        floor: str = FeatureConfig.floor,
        log_unit: str = FeatureConfig.log_unit,
        top_db: float | None = FeatureConfig.top_db,
        pad_end: bool = FeatureConfig.pad_end,
        epsilon: float = FeatureConfig.epsilon,
        epsilon_in: str = FeatureConfig.epsilon_in,
        running_memory: int | None = FeatureConfig.running_memory,
        tail_ms: float = FeatureConfig.tail_ms,
    ):
        super().__init__()
        for name, value, known in (
            ("normalize", normalize, NORMALIZATIONS),
            ("spectrum", spectrum, SPECTRA),
            ("floor", floor, FLOORS),
            ("log_unit", log_unit, LOG_UNITS),
            ("epsilon_in", epsilon_in, EPSILON_PLACES),
        ):
            if value not in known:
                raise InputError(f"{name} is {shown(value)}; use one of {', '.join(known)}")
        self.sample_rate = sample_rate
        self.window = round(sample_rate * window_ms / 1000)
        self.hop = round(sample_rate * hop_ms / 1000)
        if self.hop < 1 or self.window < self.hop:
            raise InputError(
                f"window_ms {window_ms} and hop_ms {hop_ms} give {self.window} and {self.hop} samples;"
                " the window must be at least as long as the hop, and the hop at least one sample"
            )
        self.fft_size = fft_size or 1 << (self.window - 1).bit_length()
        if self.fft_size < self.window:
            raise InputError(f"fft_size is {fft_size}, but the window has {self.window} samples")
        if pad_end and centered:
            raise InputError(
                "pad_end and centered are both true: a centered window needs no zeros at the end"
            )
        if top_db is not None and not logarithm:
            raise InputError(f"top_db is {top_db}, but logarithm is false: powers are not in dB")
        if not 0 <= tail_ms < math.inf:
            raise InputError(f"tail_ms is {tail_ms}; give the duration of silence in ms, 0 for none")
        self.tail = round(sample_rate * tail_ms / 1000)  # in samples
        self.preemphasis, self.normalize_signal = preemphasis, normalize_signal
        self.normalize, self.epsilon, self.epsilon_in = normalize, epsilon, epsilon_in
        self.running_memory = running_memory
        self.log_floor, self.logarithm = log_floor, logarithm
        self.spectrum, self.floor, self.log_unit, self.pad_end = spectrum, floor, log_unit, pad_end
        # the range of values of an utterance, in the logarithm's unit
        self.range = None if top_db is None else top_db * LOG_UNITS[log_unit]
        # number of samples mirrored at either end
        self.margin = self.window // 2 if centered else 0
        taper, filters = _tables(sample_rate, self.window, self.fft_size, mels, low_hz, high_hz, mel_slopes)
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
        counts = self.frame_count(lengths)
        if self.tail:
            spoken = torch.arange(waveforms.shape[1], device=waveforms.device) < lengths[:, None]
            waveforms = torch.nn.functional.pad(waveforms * spoken, (0, self.tail))
            lengths = lengths + self.tail
        inside = torch.arange(waveforms.shape[1], device=waveforms.device) < lengths[:, None]
        with torch.autocast(waveforms.device.type, enabled=False):  # power spectra need more than 16 bits
            if self.normalize_signal:
                waveforms = waveforms / (waveforms * inside).abs().amax(dim=1, keepdim=True).clamp(min=1e-9)
            signal = mirrored(preemphasize(waveforms, self.preemphasis) * inside, lengths, self.margin)
            features = self.log_mels(frame(self.padded(signal), self.window, self.hop), warp)
            mask = (
                torch.arange(features.shape[1], device=features.device)[None, :, None] < counts[:, None, None]
            )
            features = self.limited(features, mask)
            return self._normalized(features, mask) * mask, counts

    def frame_count(self, samples: Count) -> Count:
        """Return the number of frames of ``samples`` samples and the tail."""
        samples = samples + self.tail
        if self.pad_end:
            return (samples + self.hop - 1) // self.hop  # positive: ONNX rounds toward zero
        return frame_count(samples + 2 * self.margin, self.window, self.hop)

    def padded(self, signal: Float[Tensor, "*batch samples"]) -> Float[Tensor, "*batch padded"]:
        """Append the zeros that ``pad_end`` asks for."""
        if not self.pad_end:
            return signal
        samples = signal.shape[-1]  # with the tail
        complete = (self.frame_count(samples - self.tail) - 1) * self.hop + self.window
        return torch.nn.functional.pad(signal, (0, complete - samples))

    def log_mels(
        self, frames: Float[Tensor, "batch frames window"], warp: Float[Tensor, "batch"] | None = None
    ) -> Float[Tensor, "batch frames mels"]:
        """Return log-mel features, or mel powers without ``logarithm``, of pre-emphasized frames.

        They are not normalized yet.
        """
        spectrum = torch.fft.rfft(frames * self.taper, n=self.fft_size)
        power = spectrum.real.square() + spectrum.imag.square()
        filters = self.filters if warp is None else warp_filters(self.filters, warp)
        return self.scaled(power, filters)

    def scaled(self, power: Float[Tensor, "*frames bins"], filters: Tensor) -> Tensor:
        """Return features of power spectra: mel filters, and ``logarithm``."""
        mels = (power if self.spectrum == "power" else power.sqrt()) @ filters
        if not self.logarithm:
            return mels
        mels = mels + self.log_floor if self.floor == "add" else mels.clamp(min=self.log_floor)
        if self.log_unit == "ln":
            return torch.log(mels)
        return torch.log10(mels) * (10 if self.log_unit == "db" else 1)

    def limited(
        self, features: Float[Tensor, "batch frames mels"], mask: Tensor | None = None
    ) -> Float[Tensor, "batch frames mels"]:
        """Raise values more than ``top_db`` below the highest of their utterance's frames in ``mask``."""
        if self.range is None:
            return features
        inside = features if mask is None else features.masked_fill(~mask, -torch.inf)
        return torch.maximum(features, inside.amax((1, 2), keepdim=True) - self.range)

    def _normalized(self, features: Tensor, mask: Tensor) -> Tensor:
        if self.normalize == "none":
            return features
        if self.normalize == "running":
            return features - running_mean(features, memory=self.running_memory)[0]
        dims = (1, 2) if self.normalize == "utterance" else (1,)
        count = mask.expand_as(features).sum(dims, keepdim=True)
        mean = (features * mask).sum(dims, keepdim=True) / count
        variance = ((features - mean).square() * mask).sum(dims, keepdim=True) / count
        return (features - mean) / self.deviation(variance, count)

    def deviation(self, variance: Tensor, count: Tensor) -> Tensor:
        """Return the divisor that normalizes centered features, from their variance over ``count`` values."""
        if self.normalize == "recording":
            return (variance * (count / (count - 1).clamp(min=1))).sqrt().clamp(min=1e-12)
        if self.epsilon_in == "variance":
            return (variance + self.epsilon).sqrt()
        return variance.sqrt() + self.epsilon


@lru_cache(maxsize=8)
def _tables(
    sample_rate: int, window: int, fft_size: int, mels: int, low: float, high: float | None, slopes: str
) -> tuple[Tensor, Tensor]:
    with torch.device("cpu"):  # the tables are cached: they must not depend on the first caller's device
        taper = 0.5 - 0.5 * torch.cos(2 * math.pi * torch.arange(window, dtype=torch.float64) / window)
        return taper.float(), mel_filters(sample_rate, fft_size, mels, low, high, slopes)
