"""The augmentation policy of a training: which augmentations, how strong and how often. Lessons 01 and 09.

AugmentPolicy        probabilities and ranges: section ``augment`` of a configuration
draw_speed           a speed factor for each utterance, applied before a batch is padded
augmented_features   the features of a batch after all other augmentation
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from asrlib.signal.augment import (
    FREQ_MASKS,
    FREQ_WIDTH,
    TIME_FRACTION,
    TIME_MASKS,
    add_background,
    add_noise,
    babble,
    color_channel,
    draw_masks,
    expand_downward,
    gate_noise,
    hide,
    reverberate,
    shift_in_time,
    uniform,
)
from asrlib.signal.features import FrontEnd


@dataclass
class AugmentPolicy:
    """Probabilities and ranges of the augmentation of training utterances.

    A range is ``[low, high]``; a value is drawn from it for each utterance. ``time_*`` and ``freq_*`` are the
    arguments of ``spec_augment``, and the probabilities with which an utterance gets these masks.
    ``speed`` and ``warp`` are ranges of factors; None turns them off.
    ``noise_snr_db`` is a range in decibels, ``noise_color`` a range of exponents c of the noise's power
    spectrum 1 / f^c: 0 is white, 2 brown; with negative ones power rises with frequency.
    ``expander_threshold_db`` and ``expander_range_db`` are ranges of the arguments of ``expand_downward``.
    ``channel_db`` is the largest gain or attenuation of a simulated microphone, in decibels; 0 turns it off.
    ``shift_ms`` is the largest shift of speech within its recording, in milliseconds and in either direction.
    ``babble_*`` add other utterances of the batch, played backward, as background.
    """

    time_masks: int = TIME_MASKS
    time_fraction: float = TIME_FRACTION
    time_width: int | None = None
    freq_masks: int = FREQ_MASKS
    freq_width: int = FREQ_WIDTH
    time_probability: float = 1.0
    freq_probability: float = 1.0
    speed: list[float] | None = None
    warp: list[float] | None = None
    noise_probability: float = 0.0
    noise_snr_db: list[float] = field(default_factory=lambda: [5.0, 40.0])
    noise_color: list[float] = field(default_factory=lambda: [0.0, 2.0])
    expander_probability: float = 0.0
    expander_threshold_db: list[float] = field(default_factory=lambda: [10.0, 35.0])
    expander_range_db: list[float] = field(default_factory=lambda: [10.0, 50.0])
    gate_probability: float = 0.0
    channel_db: float = 0.0
    room_probability: float = 0.0
    shift_ms: float = 0.0
    babble_probability: float = 0.0
    babble_snr_db: list[float] = field(default_factory=lambda: [5.0, 30.0])


def draw_speed(policy: AugmentPolicy, count: int, generator: torch.Generator) -> list[float] | None:
    """Draw a speed factor for each of ``count`` utterances.

    Return None if the policy does not change speed.
    """
    if policy.speed is None:
        return None
    return uniform(*policy.speed, (count,), generator).tolist()


def augmented_features(
    waveforms: Float[Tensor, "batch samples"],
    lengths: Int[Tensor, "batch"],
    front_end: FrontEnd,
    policy: AugmentPolicy,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "batch frames mels"], Int[Tensor, "batch"]]:
    """Return the augmented features of a batch, and their lengths in frames.

    The order is: shift, babble, channel, room, expander, noise, gate; features with a warped frequency axis;
    SpecAugment. ``lengths`` are in samples. ``generator`` is on the CPU.
    """
    waveforms = augment_waveforms(waveforms, lengths, front_end.sample_rate, policy, generator)
    warp = draw_warp(policy, len(waveforms), generator)
    features, counts = front_end(waveforms, lengths, None if warp is None else warp.to(waveforms.device))
    times, bins = draw_spec_masks(policy, counts.cpu(), features.shape[1], features.shape[2], generator)
    return hide(features, times.to(features.device), bins.to(features.device)), counts


def augment_waveforms(
    waveforms: Float[Tensor, "batch samples"],
    lengths: Int[Tensor, "batch"],
    sample_rate: int,
    policy: AugmentPolicy,
    generator: torch.Generator,
) -> Float[Tensor, "batch samples"]:
    """Apply the first part of ``augmented_features``, up to the noise gate.

    ``lengths`` are in samples, ``sample_rate`` is in Hz, ``generator`` is on the CPU.
    """
    batch = waveforms.shape[0]

    def chosen(probability: float) -> Tensor:
        return (torch.rand(batch, generator=generator) < probability).float()

    if policy.shift_ms:
        furthest = policy.shift_ms / 1000 * sample_rate
        shifts = uniform(-furthest, furthest, (batch,), generator).round().long()
        waveforms = shift_in_time(waveforms, lengths, shifts)
    if policy.babble_probability:
        snr = uniform(*policy.babble_snr_db, (batch,), generator)
        snr = snr + 100.0 * (1 - chosen(policy.babble_probability))
        waveforms = add_background(waveforms, lengths, babble(waveforms, generator), snr)
    if policy.channel_db:
        gains_db = uniform(-policy.channel_db, policy.channel_db, (batch, 5), generator)
        waveforms = color_channel(waveforms, gains_db)
    if policy.room_probability:
        decay = uniform(0.1, 0.5, (batch,), generator)
        wet = uniform(0.05, 0.6, (batch,), generator) * chosen(policy.room_probability)
        waveforms = reverberate(waveforms, sample_rate, decay, wet, generator)
    if policy.expander_probability:
        expanded = chosen(policy.expander_probability)
        threshold = uniform(*policy.expander_threshold_db, (batch,), generator)
        amount = uniform(*policy.expander_range_db, (batch,), generator) * expanded
        waveforms = expand_downward(waveforms, sample_rate, threshold, amount)
    clean = waveforms
    if policy.noise_probability:
        snr = uniform(*policy.noise_snr_db, (batch,), generator)
        snr = snr + 100.0 * (1 - chosen(policy.noise_probability))
        color = uniform(*policy.noise_color, (batch,), generator)
        waveforms = add_noise(waveforms, lengths, snr, color, generator)
    if policy.gate_probability:
        waveforms = gate_noise(waveforms, clean, sample_rate, chosen(policy.gate_probability))
    return waveforms


def draw_warp(policy: AugmentPolicy, count: int, generator: torch.Generator) -> Float[Tensor, "batch"] | None:
    """Draw a warp factor of the frequency axis for each of ``count`` utterances, on the CPU.

    Return None if the policy does not warp.
    """
    return None if policy.warp is None else uniform(*policy.warp, (count,), generator)


def draw_spec_masks(
    policy: AugmentPolicy, lengths: Int[Tensor, "batch"], frames: int, mels: int, generator: torch.Generator
) -> tuple[Bool[Tensor, "batch frames"], Bool[Tensor, "batch mels"]]:
    """Draw SpecAugment's time and frequency masks with ``draw_masks``.

    ``lengths`` are in frames and on the CPU, and so are the masks.
    """
    times, bins = draw_masks(
        lengths,
        frames,
        mels,
        generator,
        policy.time_masks,
        policy.time_fraction,
        policy.time_width,
        policy.freq_masks,
        policy.freq_width,
    )
    if policy.time_probability < 1:
        times = times & (torch.rand(len(lengths), 1, generator=generator) < policy.time_probability)
    if policy.freq_probability < 1:
        bins = bins & (torch.rand(len(lengths), 1, generator=generator) < policy.freq_probability)
    return times, bins
