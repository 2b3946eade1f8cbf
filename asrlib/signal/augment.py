"""Augmentation, one function per kind: SpecAugment, speed, noise, channel, room, expander, noise gate.

Random numbers come from a ``torch.Generator`` on the CPU, so that a resumed training repeats a step exactly
on any device. ``asrlib.signal.augment_policy`` applies these functions to training batches.
``asrlib.signal.mel.warp_filters`` warps the frequency axis. Lessons 01 and 09.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from asrlib.errors import InputError

# ContextNet's settings for SpecAugment (Han et al. 2020, section 3.1)
TIME_MASKS, TIME_FRACTION = 10, 0.05
FREQ_MASKS, FREQ_WIDTH = 1, 27


def uniform(low: float, high: float, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw uniform random numbers in [low, high), float32 on the CPU."""
    return low + (high - low) * torch.rand(shape, generator=generator)


def spec_augment(
    features: Float[Tensor, "batch frames mels"],
    lengths: Int[Tensor, "batch"],
    generator: torch.Generator,
    time_masks: int = TIME_MASKS,
    time_fraction: float = TIME_FRACTION,
    time_width: int | None = None,
    freq_masks: int = FREQ_MASKS,
    freq_width: int = FREQ_WIDTH,
    fill: float = 0.0,
) -> Float[Tensor, "batch frames mels"]:
    """Apply SpecAugment without time warping (Park et al. 2019, section 2), as ContextNet does.

    Each of the ``time_masks`` time masks covers up to ``time_fraction`` of its utterance's own length, and at
    most ``time_width`` frames if that is given. Each of the ``freq_masks`` frequency masks covers up to
    ``freq_width`` mel bins. Masks may overlap. Masked cells become ``fill``; 0 is the mean of normalized
    features. ``lengths`` are in frames.
    """
    _, frames, mels = features.shape
    times, bins = draw_masks(
        lengths.cpu(), frames, mels, generator, time_masks, time_fraction, time_width, freq_masks, freq_width
    )
    return hide(features, times.to(features.device), bins.to(features.device), fill)


def draw_masks(
    lengths: Int[Tensor, "batch"],
    frames: int,
    mels: int,
    generator: torch.Generator,
    time_masks: int,
    time_fraction: float,
    time_width: int | None,
    freq_masks: int,
    freq_width: int,
) -> tuple[Bool[Tensor, "batch frames"], Bool[Tensor, "batch mels"]]:
    """Draw the frames and mel bins to mask in ``spec_augment``; True means masked.

    ``lengths`` are in frames and on the CPU, and so are the masks. ``frames`` and ``mels`` are the padded
    sizes.
    """
    batch = len(lengths)
    counts = lengths.float()[:, None]
    longest = counts * time_fraction if time_width is None else (counts * time_fraction).clamp(max=time_width)
    times = _bands(batch, time_masks, longest, counts, frames, generator)
    widest, all_bins = (torch.full((batch, 1), float(n)) for n in (min(freq_width, mels), mels))
    return times, _bands(batch, freq_masks, widest, all_bins, mels, generator)


def hide(
    features: Float[Tensor, "batch frames mels"],
    times: Bool[Tensor, "batch frames"],
    bins: Bool[Tensor, "batch mels"],
    fill: float = 0.0,
) -> Float[Tensor, "batch frames mels"]:
    """Return ``features`` with ``fill`` wherever ``times`` or ``bins`` is True."""
    return features.masked_fill(times[:, :, None] | bins[:, None, :], fill)


def _bands(
    batch: int, masks: int, longest: Tensor, extent: Tensor, size: int, generator: torch.Generator
) -> Tensor:
    """Return (batch, size) booleans, True inside any of ``masks`` random bands.

    A band's width is an integer drawn uniformly from 0..longest. Its position is drawn uniformly among those
    that fit into ``extent``.
    """
    width = (torch.rand(batch, masks, generator=generator) * (longest.floor() + 1)).floor()
    start = (torch.rand(batch, masks, generator=generator) * (extent - width + 1).clamp(min=1)).floor()
    position = torch.arange(size)
    inside = (position >= start[..., None]) & (position < (start + width)[..., None])
    return inside.any(dim=1)


def fast_size(samples: int) -> int:
    """Return a length of at least ``samples`` whose Fourier transform is fast.

    It is a multiple of a power of two, and at most an eighth longer.
    """
    step = max(1 << max(samples.bit_length() - 4, 0), 1)
    return -(-samples // step) * step


def change_speed(waveform: Float[Tensor, "samples"], factor: float) -> Float[Tensor, "samples_out"]:
    """Change speed by resampling: tempo, pitch and formants change together (Ko et al. 2015).

    A factor above 1 plays faster. Resampling truncates or zero-pads the spectrum, which is exact for a
    band-limited signal. The factor is rounded so that both transforms are fast. Raises ``InputError`` unless
    ``factor`` is positive.
    """
    if not factor > 0:
        raise InputError(f"speed factor is {factor}; it must be positive")
    samples = waveform.shape[0]
    size = fast_size(samples + 64)
    step = max(size >> 7, 1)
    new_size = max(round(size / factor / step), 1) * step
    spectrum = torch.fft.rfft(waveform, n=size)
    return torch.fft.irfft(spectrum, n=new_size)[: round(samples * new_size / size)] * (new_size / size)


def longest_after(samples: int, slowest: float) -> int:
    """Return an upper bound on the length, in samples, of ``samples`` samples after ``change_speed``.

    ``slowest`` is the smallest speed factor.
    """
    # rounding the factor in `change_speed` adds at most half a 128th of the transform's size
    return math.ceil(samples * (1 / slowest + 1 / 256)) + 1


def shift_in_time(
    waveforms: Float[Tensor, "batch samples"],
    lengths: Int[Tensor, "batch"],
    shifts: Int[Tensor, "batch"],
) -> Float[Tensor, "batch samples"]:
    """Move the sound of each utterance ``shifts`` samples later (earlier if negative), within its length.

    Samples moved past an end are lost, and silence fills the other end, as in a recording of the same length
    that started at another moment. ``lengths`` are in samples. Lesson 14.
    """
    place = torch.arange(waveforms.shape[1], device=waveforms.device) - shifts.to(waveforms.device)[:, None]
    inside = (place >= 0) & (place < lengths.to(waveforms.device)[:, None])
    moved = waveforms.gather(1, place.clamp(0, waveforms.shape[1] - 1)) * inside
    return moved * (torch.arange(waveforms.shape[1], device=waveforms.device) < lengths[:, None])


def add_background(
    waveforms: Float[Tensor, "batch samples"],
    lengths: Int[Tensor, "batch"],
    background: Float[Tensor, "batch samples"],
    snr_db: Float[Tensor, "batch"],
) -> Float[Tensor, "batch samples"]:
    """Add a row of ``background`` to each utterance, at a signal-to-noise ratio of ``snr_db`` decibels.

    ``lengths`` are in samples. If the utterance or its background is silent, nothing is added.
    """
    mask = torch.arange(waveforms.shape[1], device=waveforms.device) < lengths[:, None]
    background = background * mask
    signal, noise = ((x * mask).square().sum(1) for x in (waveforms, background))
    ratio = torch.where(noise > 0, signal / noise.clamp(min=1e-12), 0.0)
    gain = torch.sqrt(ratio * 10 ** (-snr_db.to(waveforms.device) / 10))
    return waveforms + gain[:, None] * background


def babble(
    waveforms: Float[Tensor, "batch samples"], generator: torch.Generator, voices: int = 3
) -> Float[Tensor, "batch samples"]:
    """Make a background of voices for each utterance, from ``voices`` other utterances of the batch.

    They are played backward, starting at random places, and summed. Voices played backward sound like people
    in the next room, and contain no words to learn.
    """
    batch, samples = waveforms.shape
    total = torch.zeros_like(waveforms)
    for _ in range(voices if batch > 1 else 0):
        other = (torch.arange(batch) + torch.randint(1, batch, (batch,), generator=generator)) % batch
        start = torch.randint(0, samples, (batch, 1), generator=generator)
        place = (start - torch.arange(samples)) % samples
        total += waveforms[other.to(waveforms.device)].gather(1, place.to(waveforms.device))
    return total


def add_noise(
    waveforms: Float[Tensor, "batch samples"],
    lengths: Int[Tensor, "batch"],
    snr_db: Float[Tensor, "batch"],
    color: Float[Tensor, "batch"],
    generator: torch.Generator,
) -> Float[Tensor, "batch samples"]:
    """Add stationary noise at a signal-to-noise ratio of ``snr_db`` decibels per utterance.

    ``color`` is the exponent of the noise's power spectrum 1 / f^color: 0 is white, 1 pink, 2 brown,
    -1 blue.
    ``lengths`` are in samples. Padding stays free of noise.
    """
    batch, samples = waveforms.shape
    size = fast_size(samples)
    # white noise has a white spectrum: draw the spectrum itself
    spectrum = torch.view_as_complex(torch.randn(batch, size // 2 + 1, 2, generator=generator)).to(
        waveforms.device
    )
    bins = torch.arange(spectrum.shape[1], device=waveforms.device).clamp(min=1)
    shape = torch.exp(torch.log(bins) * (-0.5 * color.to(waveforms.device)[:, None]))
    noise = torch.fft.irfft(spectrum * shape, n=size)[:, :samples]
    mask = torch.arange(samples, device=waveforms.device) < lengths[:, None]
    noise = noise * mask
    # energies over the same samples: the number of samples cancels in the ratio
    signal_energy = (waveforms * mask).square().sum(1)
    noise_energy = noise.square().sum(1).clamp(min=1e-12)
    gain = torch.sqrt(signal_energy / noise_energy * 10 ** (-snr_db.to(waveforms.device) / 10))
    return waveforms + gain[:, None] * noise


def color_channel(
    waveforms: Float[Tensor, "batch samples"],
    gains_db: Float[Tensor, "batch points"],
) -> Float[Tensor, "batch samples"]:
    """Apply a microphone's frequency response to each utterance.

    ``gains_db`` holds gains in decibels at frequencies evenly spaced from 0 Hz to half the sample rate. Gains
    between these points are interpolated linearly.
    """
    size = fast_size(waveforms.shape[1])
    spectrum = torch.fft.rfft(waveforms, n=size)
    gain = torch.nn.functional.interpolate(
        gains_db[:, None].to(waveforms.device), size=spectrum.shape[1], mode="linear", align_corners=True
    )[:, 0]
    return torch.fft.irfft(spectrum * 10 ** (gain / 20), n=size)[:, : waveforms.shape[1]]


def reverberate(
    waveforms: Float[Tensor, "batch samples"],
    sample_rate: int,
    decay_s: Float[Tensor, "batch"],
    wet: Float[Tensor, "batch"],
    generator: torch.Generator,
) -> Float[Tensor, "batch samples"]:
    """Add the reverberation of a random room to each utterance.

    The room's impulse response is exponentially decaying noise. It is 60 dB down after ``decay_s`` seconds,
    and its energy is ``wet`` times that of the direct sound. ``sample_rate`` is in Hz.
    """
    taps = int(sample_rate * float(decay_s.max()))
    time = torch.arange(1, taps + 1) / sample_rate
    tail = torch.randn(waveforms.shape[0], taps, generator=generator) * torch.exp(
        -6.9 * time / decay_s[:, None]
    )
    tail = tail * torch.sqrt(wet[:, None] / tail.square().sum(1, keepdim=True).clamp(min=1e-12))
    size = fast_size(waveforms.shape[1] + taps)
    echo = torch.fft.irfft(
        torch.fft.rfft(waveforms, n=size) * torch.fft.rfft(tail.to(waveforms.device), n=size), n=size
    )
    return waveforms + torch.nn.functional.pad(echo, (1, 0))[:, : waveforms.shape[1]]


def expand_downward(
    waveforms: Float[Tensor, "batch samples"],
    sample_rate: int,
    threshold_db: Float[Tensor, "batch"],
    range_db: Float[Tensor, "batch"],
) -> Float[Tensor, "batch samples"]:
    """Attenuate what is weak, as a downward expander or a telephone's noise suppression does.

    Where the 10 ms around a sample have a power more than ``threshold_db`` decibels below the loudest 10 ms
    of the utterance, the sample is attenuated by ``range_db`` decibels. Changes of gain take 10 ms. A weak
    "s" or "f" goes, which `gate_noise` keeps because it is next to a vowel. ``sample_rate`` is in Hz.
    """
    window = sample_rate // 100
    power = _moving_mean(waveforms.square(), window)
    threshold = power.amax(1, keepdim=True) * 10 ** (-threshold_db.to(power)[:, None] / 10)
    gain_db = -range_db.to(power)[:, None] * (power < threshold)
    return waveforms * _moving_mean(10 ** (gain_db / 20), window)


def _moving_mean(x: Float[Tensor, "batch samples"], window: int) -> Float[Tensor, "batch samples"]:
    """Return the mean of the samples in a window around each sample, without those beyond the ends."""
    mean = torch.nn.functional.avg_pool1d(
        x[:, None], window, stride=1, padding=window // 2, count_include_pad=False
    )
    return mean[:, 0, : x.shape[1]]


def gate_noise(
    noisy: Float[Tensor, "batch samples"],
    clean: Float[Tensor, "batch samples"],
    sample_rate: int,
    chosen: Float[Tensor, "batch"],
    threshold_db: float = 30.0,
) -> Float[Tensor, "batch samples"]:
    """Apply a noise gate, as telephones and recorders do.

    The output is silent where the speech in ``clean`` is ``threshold_db`` decibels or more below the loudest
    20 ms of its utterance. The gate opens 30 ms before speech and closes 30 ms after it. ``chosen`` is 1 for
    the utterances to gate and 0 for the others. ``sample_rate`` is in Hz.
    """
    window = sample_rate // 50  # 20 ms
    power = _moving_mean(clean.square(), window)
    speech = (power > power.amax(1, keepdim=True) * 10 ** (-threshold_db / 10)).float()
    hold = 2 * (sample_rate * 3 // 100) + 1
    gate = torch.nn.functional.max_pool1d(speech[:, None], hold, stride=1, padding=hold // 2)[:, 0]
    return noisy * (1 - chosen.to(noisy.device)[:, None] * (1 - gate))
