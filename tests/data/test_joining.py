"""asrlib.data.joining: recordings of words, cut more or less closely."""

import numpy as np
import pytest

from asrlib.data.joining import LONGEST_CUT, SHORTEST_REST, cut_closely, trim

RATE = 8000


@pytest.fixture(scope="module")
def recording():
    """0.35 s of a loud vowel after 0.15 s of a faint fricative, 26 dB below, and 0.2 s of noise."""
    draw = np.random.default_rng(0)
    noise = draw.standard_normal(int(0.9 * RATE)) * 1e-4
    noise[1600:2800] += draw.standard_normal(1200) * 0.015
    noise[2800:5600] += 0.42 * np.sin(np.arange(2800) * 0.4)
    return noise.astype(np.float32)


def test_a_recording_may_lose_its_faint_edge_but_never_its_vowel(recording):
    draw = np.random.default_rng(1)
    takes = [cut_closely(recording, RATE, draw) for _ in range(300)]
    whole = len(trim(recording, RATE).samples)
    seconds = np.array([len(take.samples) for take in takes]) / RATE
    assert seconds.max() <= whole / RATE and seconds.min() >= 0.35 - 2 * LONGEST_CUT - 0.02
    faint = np.array([np.abs(take.samples[:200]).max() < 0.1 for take in takes])
    assert 0.2 < faint.mean() < 0.8
    assert all(np.abs(take.samples).max() > 0.4 for take in takes)


def test_margins_are_counted_off(recording):
    draw = np.random.default_rng(2)
    for _ in range(100):
        take = cut_closely(recording, RATE, draw)
        assert 0 <= take.before <= 0.03 * RATE and 0 <= take.after <= 0.03 * RATE


def test_short_words_are_left_whole():
    tone = np.sin(np.arange(int(SHORTEST_REST * RATE)) * 0.4).astype(np.float32)
    draw = np.random.default_rng(3)
    assert all(len(cut_closely(tone, RATE, draw).samples) == len(tone) for _ in range(50))
