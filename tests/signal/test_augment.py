"""Augmentation: every random change is measured with an instrument it does not share with the code."""

import math

import numpy as np
import pytest
import torch

from asrlib.errors import InputError
from asrlib.signal.augment import (
    add_noise,
    change_speed,
    color_channel,
    expand_downward,
    fast_size,
    gate_noise,
    longest_after,
    reverberate,
    spec_augment,
    uniform,
)

RATE = 16000


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def tone(hz, seconds=1.0):
    return torch.sin(2 * torch.pi * hz * torch.arange(int(seconds * RATE)) / RATE)


def loudest_hz(waveform):
    spectrum = np.abs(np.fft.rfft(waveform.numpy() * np.hanning(len(waveform)), n=2**19))
    return spectrum.argmax() * RATE / 2**19


def test_uniform_fills_its_range():
    x = uniform(-2.0, 6.0, (1000, 5), generator())
    assert x.shape == (1000, 5)
    assert -2 <= float(x.min()) < -1.9 and 5.9 < float(x.max()) < 6
    assert abs(float(x.mean()) - 2) < 0.2
    assert torch.equal(x, uniform(-2.0, 6.0, (1000, 5), generator()))


# ---- SpecAugment -------------------------------------------------------------------------------------------


def masked_frames(features, lengths, seed=0, **options):
    """(batch, frames): True where SpecAugment's time masks hid a frame of all-one features."""
    out = spec_augment(features, lengths, generator(seed), freq_masks=0, **options)
    hidden = out == 0
    assert torch.equal(hidden.any(2), hidden.all(2))
    return hidden.any(2)


def test_one_time_mask_is_a_run_with_uniform_width_from_0_to_pT():
    batch = 4000
    lengths = torch.full((batch,), 100)
    hidden = masked_frames(torch.ones(batch, 100, 2), lengths, time_masks=1, time_fraction=0.1)
    widths = hidden.sum(1)
    share = torch.bincount(widths, minlength=11) / batch
    assert len(share) == 11  # 0..10, never 11
    torch.testing.assert_close(share, torch.full((11,), 1 / 11), atol=0.02, rtol=0)
    edges = hidden.int().diff(dim=1).abs().sum(1)
    assert int(edges.max()) <= 2  # one run


def test_time_masks_are_placed_evenly_where_they_fit():
    hidden = masked_frames(torch.ones(6000, 40, 1), torch.full((6000,), 40), time_masks=1, time_fraction=0.1)
    where = torch.arange(40)
    starts = torch.stack([where[row][0] for row in hidden[hidden.sum(1) == 4]])
    assert int(starts.min()) == 0 and int(starts.max()) == 36
    share = torch.bincount(starts) / len(starts)
    assert float(share.min()) > 0.5 / 37 and float(share.max()) < 1.6 / 37


def test_time_masks_scale_with_each_utterances_own_length():
    lengths = torch.tensor([200, 100, 40, 19])
    longest = torch.zeros(4, dtype=torch.long)
    for trial in range(300):
        hidden = masked_frames(torch.ones(4, 200, 1), lengths, trial, time_masks=1, time_fraction=0.05)
        longest = torch.maximum(longest, hidden.sum(1))
        assert not (hidden & (torch.arange(200) >= lengths[:, None])).any()  # never in the padding
    assert longest.tolist() == [10, 5, 2, 0]


def test_time_width_is_a_second_bound():
    lengths = torch.full((500,), 200)
    hidden = masked_frames(torch.ones(500, 200, 1), lengths, time_masks=1, time_fraction=0.5, time_width=7)
    assert int(hidden.sum(1).max()) == 7


def test_ten_time_masks_hide_what_ten_masks_should():
    """Mean cover of one frame far from the edges: 1 - (1 - E[width] / T)^10, about."""
    lengths = torch.full((2000,), 200)
    hidden = masked_frames(torch.ones(2000, 200, 1), lengths, time_masks=10, time_fraction=0.05)
    share = float(hidden[:, 50:150].float().mean())
    expected = 1 - (1 - 5 / 195) ** 10
    assert abs(share - expected) < 0.02


def test_frequency_masks_are_runs_of_bins_over_all_frames():
    batch = 5000
    features, lengths = torch.ones(batch, 3, 80), torch.full((batch,), 3)
    out = spec_augment(features, lengths, generator(), time_masks=0, freq_masks=1, freq_width=27)
    hidden = out == 0
    assert torch.equal(hidden.any(1), hidden.all(1))
    widths = hidden[:, 0].sum(1)
    share = torch.bincount(widths, minlength=28) / batch
    assert len(share) == 28
    torch.testing.assert_close(share, torch.full((28,), 1 / 28), atol=0.015, rtol=0)
    assert hidden[:, 0, 0].any() and hidden[:, 0, 79].any()


def test_spec_augment_keeps_the_rest_and_fills_with_what_is_asked():
    features, lengths = torch.rand(3, 50, 20) + 1, torch.tensor([50, 30, 20])
    out = spec_augment(features, lengths, generator(), time_fraction=0.2, freq_width=8, fill=-7.0)
    changed = out != features
    assert changed.any() and not changed.all()
    assert (out[changed] == -7).all()


def test_spec_augment_is_reproducible_and_utterances_differ():
    features, lengths = torch.ones(8, 100, 40), torch.full((8,), 100)
    first, again, other = (spec_augment(features, lengths, generator(s)) for s in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert len({tuple(row.flatten().tolist()) for row in first}) == 8


def test_a_mask_wider_than_the_spectrum_fits():
    out = spec_augment(torch.ones(200, 4, 5), torch.full((200,), 4), generator(), time_masks=0, freq_width=27)
    assert int((out == 0)[:, 0].sum(1).max()) == 5


# ---- speed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.8, 0.9, 1.1, 1.25, 2.0])
def test_speed_moves_a_tone_and_the_length(factor):
    fast = change_speed(tone(1000.0), factor)
    true_factor = RATE / len(fast)  # the factor is rounded so that the transforms are quick
    assert abs(true_factor / factor - 1) < 0.01
    assert abs(loudest_hz(fast) - 1000.0 * true_factor) < 1.0


def test_speed_is_the_same_signal_read_at_other_times():
    signal = tone(440.0) * torch.hann_window(RATE)
    fast = change_speed(signal, 1.2)
    factor = RATE / len(fast)
    at = torch.arange(len(fast)) * factor / RATE
    envelope = 0.5 - 0.5 * torch.cos(2 * torch.pi * at)
    torch.testing.assert_close(fast, torch.sin(2 * torch.pi * 440.0 * at) * envelope, atol=0.02, rtol=0)


def test_the_end_does_not_ring_at_the_start():
    signal = torch.zeros(2**14)
    signal[-1] = 1.0
    for factor in (0.9, 1.1):
        assert float(change_speed(signal, factor)[:50].abs().max()) < 0.02


def test_speed_of_one_changes_nothing():
    signal = torch.randn(5001, generator=generator())
    torch.testing.assert_close(change_speed(signal, 1.0), signal, atol=1e-5, rtol=0)


@pytest.mark.parametrize("factor", [0.0, -1.0, math.nan])
def test_a_speed_that_is_not_positive_is_refused(factor):
    with pytest.raises(InputError, match="must be positive"):
        change_speed(tone(100.0, 0.1), factor)


def test_fast_sizes_are_long_enough_and_not_wasteful():
    for samples in [1, 2, 15, 16, 17, 1000, 12345, 475_760]:
        size = fast_size(samples)
        assert samples <= size <= samples * 9 / 8
        odd = size // (size & -size)
        assert odd <= 16


# ---- noise -------------------------------------------------------------------------------------------------


def test_noise_reaches_its_signal_to_noise_ratio_over_each_utterance():
    """Also for brown noise, whose power is uneven in time, and beside a longer utterance."""
    clean = torch.randn(4, 3 * RATE, generator=generator(5))
    lengths = torch.tensor([3 * RATE, RATE, RATE // 2, 2 * RATE])
    clean = clean * (torch.arange(3 * RATE) < lengths[:, None])
    snr = torch.tensor([0.0, 10.0, 20.0, -5.0])
    noise = add_noise(clean, lengths, snr, torch.tensor([0.0, 1.0, 2.0, 2.0]), generator()) - clean
    for x, n, length, expected in zip(clean, noise, lengths, snr, strict=True):
        ratio = 10 * torch.log10(x[:length].square().mean() / n[:length].square().mean())
        assert abs(float(ratio - expected)) < 0.05
        assert not n[length:].any()


@pytest.mark.parametrize("colour", [0.0, 1.0, 2.0])
def test_noise_has_the_slope_of_its_colour(colour):
    """Power falls by 10 · colour decibels a decade."""
    batch, samples = 4, 2**16
    clean = torch.full((batch, samples), 0.1)
    lengths = torch.full((batch,), samples)
    noise = add_noise(clean, lengths, torch.zeros(batch), torch.full((batch,), colour), generator()) - clean
    power = np.abs(np.fft.rfft(noise.double().numpy())) ** 2
    frequency = np.arange(power.shape[1])
    decibels = [10 * np.log10(power[:, lo : 2 * lo].mean()) for lo in (128, 512, 2048, 8192)]
    middle = [np.log10(frequency[lo : 2 * lo]).mean() for lo in (128, 512, 2048, 8192)]
    slope = np.polyfit(middle, decibels, 1)[0]
    assert abs(slope + 10 * colour) < 1.0


def test_noise_is_reproducible_and_differs_between_utterances():
    clean, lengths, zeros = torch.ones(2, 1000), torch.tensor([1000, 1000]), torch.zeros(2)
    first, again, other = (add_noise(clean, lengths, zeros, zeros, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])
    assert not add_noise(torch.zeros(2, 1000), lengths, zeros, zeros, generator()).any()


# ---- channel and room --------------------------------------------------------------------------------------


def test_a_channel_gains_what_is_asked_at_each_frequency():
    """Points every 2 kHz: 1 kHz is half way between the first two."""
    gains = torch.tensor([[0.0, 6.0, -12.0, 0.0, 3.0], [0.0] * 5])
    for hz, decibels in ((1000.0, 3.0), (2000.0, 6.0), (3000.0, -3.0), (4000.0, -12.0), (5000.0, -6.0)):
        signal = (tone(hz) * torch.hann_window(RATE)).expand(2, -1)
        out = color_channel(signal, gains)
        gained = 10 * torch.log10(out.square().sum(1) / signal.square().sum(1))
        torch.testing.assert_close(gained, torch.tensor([decibels, 0.0]), atol=0.1, rtol=0)
        assert out.shape == signal.shape


def test_a_flat_channel_is_a_gain():
    signal = torch.randn(2, 1001, generator=generator())
    out = color_channel(signal, torch.full((2, 3), 20.0))
    torch.testing.assert_close(out, 10 * signal, atol=1e-4, rtol=1e-4)


def impulse_response(decay, wet, samples=RATE, seed=0):
    impulse = torch.zeros(len(decay), samples)
    impulse[:, 0] = 1
    return reverberate(impulse, RATE, torch.tensor(decay), torch.tensor(wet), generator(seed))


def test_a_room_keeps_the_direct_sound_and_adds_wet_times_its_energy():
    response = impulse_response([0.2, 0.3, 0.3], [0.5, 0.1, 0.0])
    torch.testing.assert_close(response[:, 0], torch.ones(3), atol=1e-4, rtol=0)
    energy = response[:, 1:].square().sum(1)
    torch.testing.assert_close(energy, torch.tensor([0.5, 0.1, 0.0]), atol=1e-3, rtol=0)


def test_a_rooms_echo_has_fallen_by_60_decibels_after_its_decay():
    response = impulse_response([0.5, 0.25], [1.0, 1.0])
    for row, decay in zip(response, (0.5, 0.25), strict=True):
        # two tenths of the decay, eight tenths apart: 0.8 · 60 dB
        step = int(0.1 * decay * RATE)
        early, late = row[1 : 1 + step], row[1 + 8 * step : 1 + 9 * step]
        fallen = 10 * torch.log10(early.square().sum() / late.square().sum())
        assert abs(float(fallen) - 48) < 3


def test_reverberation_is_convolution_with_the_rooms_response():
    signal = torch.randn(1, 3000, generator=generator(1))
    response = impulse_response([0.1], [0.5], samples=3000)[0]
    ours = reverberate(signal, RATE, torch.tensor([0.1]), torch.tensor([0.5]), generator())[0]
    theirs = np.convolve(signal[0].numpy(), response.numpy())[:3000]
    torch.testing.assert_close(ours, torch.from_numpy(theirs).float(), atol=1e-3, rtol=0)


def test_an_expander_attenuates_what_is_below_its_threshold():
    levels_db = torch.tensor([0.0, -15.0, -25.0, -60.0])
    signal = torch.cat([tone(1000, 0.2) * 10 ** (level / 20) for level in levels_db])
    signal = torch.stack([signal, 1e-3 * signal, signal, torch.zeros_like(signal)])
    threshold, amount = torch.tensor([20.0, 20.0, 10.0, 20.0]), torch.tensor([30.0, 30.0, 6.0, 30.0])
    expanded = expand_downward(signal, RATE, threshold, amount)
    assert expanded.shape == signal.shape and torch.equal(expanded[3], signal[3])
    # within each level, 20 ms from the changes; thresholds are relative to the utterance's own peak
    parts = torch.arange(4)[:, None] * RATE // 5 + torch.arange(RATE // 50, RATE // 5 - RATE // 50)
    gains_db = 10 * torch.log10(expanded[:3, parts].square().sum(-1) / signal[:3, parts].square().sum(-1))
    expected = torch.tensor([[0.0, 0.0, -30.0, -30.0]] * 2 + [[0.0, -6.0, -6.0, -6.0]])
    torch.testing.assert_close(gains_db, expected, atol=0.01, rtol=0)
    # the gain changes over 10 ms, within 10 ms of where the level does
    loud = signal[0].abs() > 1e-4
    gain = torch.where(loud, expanded[0] / signal[0], 1.0)
    changing = ((gain > 0.0317) & (gain < 0.999)).nonzero()[:, 0]
    assert 0.006 * RATE < len(changing) < 0.011 * RATE
    assert ((changing / RATE - 0.4).abs() < 0.01).all()


def test_what_is_weak_beside_a_vowel_is_expanded_but_not_gated():
    signal = torch.cat([0.003 * tone(3000, 0.03), tone(300, 0.2)])[None]
    one, weak = torch.ones(1), slice(0, RATE // 50)
    assert torch.equal(gate_noise(signal, signal, RATE, one)[0, weak], signal[0, weak])
    expanded = expand_downward(signal, RATE, 20 * one, 40 * one)
    torch.testing.assert_close(expanded[0, weak], 0.01 * signal[0, weak], atol=0, rtol=1e-4)


def test_noise_gate_silences_pauses_and_leaves_speech_alone():
    clean = torch.zeros(3, 2 * RATE)
    clean[:, RATE // 2 : RATE] = tone(440, 0.5)
    clean[2, RATE // 2 : RATE] *= 1e-3  # as quiet as the hiss: the gate is relative to the utterance itself
    noisy = clean + 1e-3 * torch.randn(clean.shape, generator=generator())
    gated = gate_noise(noisy, clean, RATE, torch.tensor([1.0, 0.0, 1.0]))
    assert torch.equal(gated[1], noisy[1])
    for row in (0, 2):
        open_at = gated[row].nonzero()
        # half a window and 30 ms beyond the speech on either side
        assert RATE // 2 - RATE // 20 < int(open_at.min()) < RATE // 2 - RATE // 50
        assert RATE + RATE // 50 < int(open_at.max()) < RATE + RATE // 20
        inside = slice(int(open_at.min()), int(open_at.max()))
        assert torch.equal(gated[row, inside], noisy[row, inside])


@pytest.mark.usefixtures("seed")
def test_longest_after_a_change_of_speed():
    for samples in torch.randint(1, 20000, (200,)).tolist():
        factor = float(torch.empty(()).uniform_(0.7, 1.4))
        changed = change_speed(torch.zeros(samples), factor).shape[0]
        assert changed <= longest_after(samples, factor) <= changed * 1.02 + 20
