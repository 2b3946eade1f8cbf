"""Resampling: torchaudio's, a tone that stays what it was, and a tone that no rate can hold."""

import math

import numpy as np
import pytest
import torch
import torchaudio.functional

from asrlib.errors import InputError
from asrlib.signal.resample import check_rate, filter_reach, has_table, interpolate, resample

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


@pytest.mark.parametrize("rate, new_rate", [(44101, 16000), (16000, 44101), (22051, 8000), (399989, 4001)])
def test_rates_without_a_common_divisor(rate, new_rate):
    """Their period is a second: a table of its filters took 14 s and 6.5 GB."""
    shared = math.gcd(rate, new_rate)
    assert shared == 1 and not has_table(rate, new_rate)

    def tone(rate):
        return torch.sin(2 * math.pi * 440 * torch.arange(rate // 4) / rate)

    found = resample(tone(rate), rate, new_rate)
    assert len(found) == -(-(rate // 4) * new_rate // rate)
    expected = tone(new_rate)[100 : len(found) - 100]
    torch.testing.assert_close(found[100:][: len(expected)], expected, atol=3e-3, rtol=0)


@pytest.mark.parametrize("rate, new_rate", [(44100, 16000), (16000, 22050), (8000, 16000), (48000, 8000)])
def test_filters_one_by_one_are_those_of_the_table(rate, new_rate, seed):
    x, shared = torch.randn(5000), math.gcd(rate, new_rate)
    old, new = rate // shared, new_rate // shared
    assert has_table(old, new)
    whole = resample(x, rate, new_rate)
    torch.testing.assert_close(interpolate(x, old, new, 0, len(whole)), whole, atol=3e-4, rtol=0)
    # a part, from the input samples that it depends on
    first = 2 * len(whole) // 3
    dropped = first * old // new - filter_reach(old, new)
    part = interpolate(x[dropped:], old, new, first, len(whole), dropped)
    torch.testing.assert_close(part, whole[first:], atol=3e-4, rtol=0)


@pytest.mark.parametrize("rate", [4001, 44101, 399989])
def test_memory_and_work_are_in_proportion_to_the_sound(rate, monkeypatch):
    """Not one tensor of more than some times as many entries as there are taps."""
    entries = []
    usual = torch.Tensor.clamp

    def counted(self, *arguments, **named):
        entries.append(self.numel())
        return usual(self, *arguments, **named)

    monkeypatch.setattr(torch.Tensor, "clamp", counted)
    for seconds in (1, 2):
        entries.clear()
        resample(torch.zeros(seconds * rate), rate, 16000)
        assert max(entries) <= 1 << 18
        taps = 2 * filter_reach(rate, 16000) + 2
        assert sum(entries) <= 3 * taps * seconds * 16000  # the index, and the time


def test_gradients_reach_the_samples_of_any_rates():
    x = torch.randn(30, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: interpolate(x, 5, 3, 0, 18), x)


@pytest.mark.parametrize("rate", [4000, np.int64(16000), 44100.0, torch.tensor(8000), 400000])
def test_rates_that_can_be(rate):
    assert check_rate(rate) == rate and type(check_rate(rate)) is int


@pytest.mark.parametrize(
    "rate",
    [0, -16000, 3999, 400001, 16000.5, float("nan"), float("inf"), 10**400, True, None, "16000", [16000]],
)
def test_rates_that_cannot_be(rate):
    with pytest.raises(InputError, match="rate is .*; give whole Hz, 4,000 to 400,000") as caught:
        check_rate(rate, "rate")
    assert len(str(caught.value)) < 120
