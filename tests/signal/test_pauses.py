"""Cuts at pauses: in the longest within reach, never where there is none, whatever the blocks."""

import itertools

import pytest
import torch

from asrlib.signal.pauses import find_cuts

RATE = 8000


def sound(*parts, seed=0):
    """Noise of (seconds, amplitude) parts."""
    generator = torch.Generator().manual_seed(seed)
    return torch.cat([level * torch.randn(round(s * RATE), generator=generator) for s, level in parts])


def cuts(signal, longest=4.0, block=2345, rate=RATE):
    found = list(find_cuts(signal.split(block), rate, round(longest * rate)))
    return [cut / rate for cut in found]


def near(*seconds):
    return pytest.approx(list(seconds), abs=0.04)


SPEECH, QUIET = 0.1, 0.001


def test_one_pause_is_where_the_cut_is():
    signal = sound((3, SPEECH), (0.6, QUIET), (2, SPEECH))
    assert cuts(signal) == near(3.3)
    assert cuts(signal, longest=6) == []  # it need not be cut


@pytest.mark.parametrize("block", [1, 79, 80, 81, 8000, 10**6])
def test_blocks_make_no_difference(block):
    signal = sound(*[(1.3, SPEECH), (0.4, QUIET), (2.1, SPEECH), (0.25, QUIET)] * (2 if block == 1 else 8))
    found = cuts(signal, block=block)
    assert found == cuts(signal, block=len(signal)) and len(found) > 1
    edges = [0, *found, len(signal) / RATE]
    assert all(1 <= end - start <= 4 for start, end in itertools.pairwise(edges))


def test_the_longest_pause_within_reach():
    signal = sound((1.5, SPEECH), (0.3, QUIET), (1, SPEECH), (0.5, QUIET), (0.5, SPEECH), (0.3, QUIET))
    signal = torch.cat([signal, sound((1.9, SPEECH))])
    assert cuts(signal) == near(3.05)
    assert cuts(signal, longest=3) == near(1.65, 3.05)  # 1.65 is the only one within 3 s


def test_what_is_shorter_than_a_fifth_of_a_second_is_no_pause():
    assert cuts(sound((2, SPEECH), (0.12, QUIET), (6, SPEECH))) == []


@pytest.mark.parametrize("level", [0.0, QUIET, SPEECH])
def test_a_constant_level_has_no_pause(level):
    assert cuts(sound((30, level))) == []


def test_a_pause_is_quiet_beside_its_neighbors():
    """Loud pauses are as loud as the quiet speech before them; only where it changes one may be missed."""
    signal = sound(*[(2, 0.01), (0.5, 0.0005)] * 6, *[(2, 0.5), (0.5, 0.01)] * 6)
    found = cuts(signal)
    pauses = [2.25 + 2.5 * i for i in range(11)]
    assert len(found) >= 10 and found == near(
        *(pause for pause in pauses if pause != 14.75 or 11 == len(found))
    )


def test_without_a_pause_a_piece_goes_on_until_the_next():
    signal = sound((11, SPEECH), (0.5, QUIET), (1.5, SPEECH), (0.5, QUIET), (3, SPEECH))
    assert cuts(signal) == near(11.25, 13.25)


def test_every_piece_speaks():
    pause = 15  # seconds, longer than any piece
    signal = sound((pause, QUIET), (3, SPEECH), (0.5, QUIET), (3, SPEECH), (pause, QUIET), (3, SPEECH))
    signal = torch.cat([signal, sound((0.4, QUIET), (3, SPEECH), (pause, QUIET))])
    edges = [0, *cuts(signal), len(signal) / RATE]
    assert len(edges) >= 4
    for start, end in itertools.pairwise(edges):
        loud = signal[round(start * RATE) : round(end * RATE)].abs() > 10 * QUIET
        assert loud.sum() > RATE / 2


def test_the_last_piece_is_no_scrap():
    for tail in (0.1, 0.5, 1.0, 1.5):
        signal = sound((2, SPEECH), (0.25, QUIET), (1.5, SPEECH), (0.4, QUIET), (tail, SPEECH))
        edges = [0, *cuts(signal), len(signal) / RATE]
        assert all(end - start >= 1 for start, end in itertools.pairwise(edges))


def test_what_is_shorter_than_a_piece_is_not_cut():
    for samples in (0, 1, 79, 80, 500, 4 * RATE):
        assert cuts(sound((samples / RATE, SPEECH))) == []
    assert list(find_cuts(iter(()), RATE, RATE)) == []


def test_memory_is_that_of_a_piece():
    """A cut is known as soon as a piece and its margin are; the rest of the recording is not yet read."""
    read = 0

    def blocks():
        nonlocal read
        for block in sound(*[(2, SPEECH), (0.5, QUIET)] * 40).split(RATE):
            read += 1
            yield block

    lags = [read - cut / RATE for cut in find_cuts(blocks(), RATE, 4 * RATE)]
    assert len(lags) > 20 and max(lags) <= 4 + 1 + 4
