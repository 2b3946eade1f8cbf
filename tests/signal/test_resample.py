"""Resampling: torchaudio's, a tone that stays what it was, and a tone that no rate can hold."""

import math

import pytest
import torch
import torchaudio.functional

from asrlib.signal.resample import resample

RATES = [8000, 11025, 16000, 22050, 44100, 48000]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("new_rate", RATES)
def test_it_is_torchaudios_to_the_last_bit(rate, new_rate, seed):
    for count in (1, 7, 2900, 16001):
        x = torch.randn(count)
        ours, theirs = resample(x, rate, new_rate), torchaudio.functional.resample(x, rate, new_rate)
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("rate, new_rate", [(8000, 16000), (44100, 16000), (16000, 22050)])
def test_a_tone_below_both_limits_stays_what_it_was(rate, new_rate):
    def tone(rate):
        return torch.sin(2 * math.pi * 440 * torch.arange(rate) / rate)

    inner = slice(100, -100)  # at the ends silence joins in
    torch.testing.assert_close(
        resample(tone(rate), rate, new_rate)[inner], tone(new_rate)[inner], atol=3e-3, rtol=0
    )


def test_a_tone_above_the_new_limit_is_removed():
    high = torch.sin(2 * math.pi * 7000 * torch.arange(16000) / 16000)
    assert resample(high, 16000, 8000)[100:-100].abs().max() < 0.01


def test_gradients_reach_the_samples():
    x = torch.randn(50, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: resample(x, 3, 2), x)
