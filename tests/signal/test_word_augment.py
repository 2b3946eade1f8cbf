"""Shifts in time and voices in the background: what moves, how loud, and what stays as it is."""

import pytest
import torch

from asrlib.signal.augment import add_background, babble, shift_in_time


def test_shifts_lose_what_leaves_and_fill_with_silence():
    waveforms = torch.arange(1.0, 7.0).repeat(4, 1)
    waveforms[3, 4:] = 0  # padding
    moved = shift_in_time(waveforms, torch.tensor([6, 6, 6, 4]), torch.tensor([0, 2, -1, 1]))
    assert moved.tolist() == [
        [1, 2, 3, 4, 5, 6],
        [0, 0, 1, 2, 3, 4],
        [2, 3, 4, 5, 6, 0],
        [0, 1, 2, 3, 0, 0],
    ]


def test_padding_is_not_moved_into_an_utterance():
    waveforms = torch.tensor([[1.0, 2.0, 9.0, 9.0]])
    assert shift_in_time(waveforms, torch.tensor([2]), torch.tensor([-1])).tolist() == [[2, 0, 0, 0]]


@pytest.mark.parametrize("snr", [0.0, 10.0, 25.0])
def test_the_background_is_as_loud_as_asked(snr):
    draw = torch.Generator().manual_seed(0)
    waveforms, background = torch.randn(2, 1000, generator=draw), 3 * torch.randn(2, 1000, generator=draw)
    lengths = torch.tensor([1000, 600])
    waveforms[1, 600:] = 0
    noise = add_background(waveforms, lengths, background, torch.full((2,), snr)) - waveforms
    assert not noise[1, 600:].any()
    ratio = 10 * torch.log10(waveforms.square().sum(1) / noise.square().sum(1))
    assert torch.allclose(ratio, torch.full((2,), snr), atol=1e-3)


def test_silence_stays():
    lengths, sound = torch.tensor([5]), torch.ones(1, 5)
    assert torch.equal(add_background(sound, lengths, 0 * sound, torch.zeros(1)), sound)
    assert torch.equal(add_background(0 * sound, lengths, sound, torch.zeros(1)), 0 * sound)


def test_babble_is_the_others_backward():
    waveforms = torch.tensor([[1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, 40.0]])
    draw = torch.Generator().manual_seed(0)
    for _ in range(20):
        voices = babble(waveforms, draw, voices=1)
        for heard, other in zip(voices, waveforms.flip(0), strict=True):  # of two, never itself
            turned = other.flip(0)
            assert any(torch.equal(heard, turned.roll(n)) for n in range(4))
    assert babble(waveforms, draw, voices=3)[0].sum() == 3 * 100
    assert not babble(waveforms[:1], draw).any()  # nobody else is there
