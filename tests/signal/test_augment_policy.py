"""asrlib.signal.augment_policy: each key acts, and the same generator draws the same batch."""

import numpy as np
import pytest
import tiny
import torch

from asrlib.signal.augment_policy import (
    AugmentPolicy,
    augment_waveforms,
    augmented_features,
    draw_spec_masks,
    draw_speed,
)
from asrlib.signal.features import FrontEnd

NOTHING = AugmentPolicy(time_masks=0, freq_masks=0)
EVERYTHING = AugmentPolicy(
    warp=[0.9, 1.1],
    noise_probability=0.5,
    channel_db=6.0,
    expander_probability=0.5,
    room_probability=0.5,
    shift_ms=50,
    babble_probability=0.5,
    freq_width=4,
    time_masks=2,
)


@pytest.fixture
def three():
    """Three utterances of tones, padded, and their lengths in samples."""
    rows = [tiny.tones(text, seed=n) for n, text in enumerate(("low mid", "high", "mid high low"))]
    lengths = torch.tensor([len(row) for row in rows])
    return torch.from_numpy(np.stack([np.pad(row, (0, lengths.max() - len(row))) for row in rows])), lengths


def test_speed_is_drawn_in_its_range():
    draw = torch.Generator().manual_seed(0)
    assert draw_speed(AugmentPolicy(speed=None), 5, draw) is None
    speeds = draw_speed(AugmentPolicy(speed=[0.9, 1.3]), 500, draw)
    assert 0.9 <= min(speeds) < 0.92 and 1.28 < max(speeds) <= 1.3


def test_augmented_features_repeat_with_the_generator(three):
    front_end = FrontEnd(tiny.RATE, mels=20)

    def features(config, seed):
        draw = torch.Generator().manual_seed(seed)
        return augmented_features(*three, front_end, config, draw)

    plain, counts = front_end(*three)
    unchanged, same_counts = features(NOTHING, 0)
    assert torch.equal(plain, unchanged) and torch.equal(counts, same_counts)
    once, _ = features(EVERYTHING, 0)
    assert once.isfinite().all() and once.shape == plain.shape
    assert torch.equal(once, features(EVERYTHING, 0)[0])
    assert not torch.equal(once, features(EVERYTHING, 1)[0])
    assert not torch.equal(once, plain)


@pytest.mark.parametrize(
    "change",
    [
        {"warp": [1.1, 1.2]},
        {"noise_probability": 1.0},
        {"channel_db": 6.0},
        {"room_probability": 1.0},
        {"expander_probability": 1.0},
        {"shift_ms": 200},
        {"babble_probability": 1.0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_key_of_the_configuration_changes_every_utterance(three, change):
    front_end = FrontEnd(tiny.RATE, mels=20)
    config = AugmentPolicy(time_masks=0, freq_masks=0, **change)
    draw = torch.Generator().manual_seed(0)
    changed, _ = augmented_features(*three, front_end, config, draw)
    plain, _ = front_end(*three)
    assert ((changed - plain).abs().amax((1, 2)) > 0.05).all()


@pytest.mark.parametrize("color", [-1.0, 0.0, 2.0])
def test_noise_has_the_color_of_the_policy(three, color):
    waveforms, lengths = three
    policy = AugmentPolicy(noise_probability=1.0, noise_snr_db=[0.0, 0.0], noise_color=[color, color])
    noise = augment_waveforms(waveforms, lengths, tiny.RATE, policy, torch.Generator().manual_seed(0))
    power = torch.fft.rfft((noise - waveforms)[0, : lengths[0]]).abs().square()
    low, high = power[len(power) // 8 : len(power) // 4].mean(), power[len(power) // 2 :].mean()
    # the means of 1 / f^color between 1/8 and 1/4, and between 1/2 and 1, of the highest frequency
    steps = torch.linspace(0, 1, 10_001)[1:]
    expected = steps[1250:2500].pow(-color).mean() / steps[5000:].pow(-color).mean()
    assert float(low / high) == pytest.approx(float(expected), rel=0.15)


def test_a_share_of_the_utterances_is_expanded_within_the_ranges(three):
    waveforms, lengths = three[0][:1].repeat(400, 1), three[1][:1].repeat(400)
    policy = AugmentPolicy(expander_probability=0.4, expander_threshold_db=[0, 0], expander_range_db=[10, 20])
    expanded = augment_waveforms(waveforms, lengths, tiny.RATE, policy, torch.Generator().manual_seed(0))
    # below the loudest 10 ms everything is attenuated, by the whole range
    gain_db = 20 * torch.log10((expanded / waveforms).nanquantile(0.2, dim=1).clamp(1e-9))
    changed = gain_db < -1
    assert 0.33 < float(changed.float().mean()) < 0.47
    assert -20.1 < gain_db[changed].min() < -19 and -11 < gain_db[changed].max() < -9.9


@pytest.mark.parametrize("time, freq", [(0.3, 0.8), (1.0, 1.0), (0.0, 0.0)])
def test_masks_have_a_probability_for_each_utterance(time, freq):
    policy = AugmentPolicy(time_masks=10, freq_masks=10, time_probability=time, freq_probability=freq)
    lengths = torch.full((500,), 400)
    draw = torch.Generator().manual_seed(0)
    times, bins = draw_spec_masks(policy, lengths, 400, 80, draw)
    for masks, probability in ((times, time), (bins, freq)):
        assert abs(float(masks.any(dim=1).float().mean()) - probability) < 0.06
    certain = draw_spec_masks(
        AugmentPolicy(time_masks=10, freq_masks=10), lengths, 400, 80, torch.Generator().manual_seed(0)
    )
    chosen = times.any(dim=1)
    assert torch.equal(times[chosen], certain[0][chosen])  # the masks themselves are the same
