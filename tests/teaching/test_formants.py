"""asrlib.teaching.formants: resonances by linear prediction."""

import numpy as np
import pytest
import torch

import asrlib
from asrlib.teaching import viz
from asrlib.teaching.formants import formants, vowel_formants

RATE = 16000


def vowel(resonances, pitch=110, seconds=0.3):
    """Pulses at ``pitch`` Hz that fall by 6 dB per octave, through resonances of 80 Hz width."""
    sound = np.zeros(round(seconds * RATE))
    sound[:: round(RATE / pitch)] = 1.0
    poles = [(0.97, 0.0)]
    for f in resonances:
        radius = np.exp(-np.pi * 80 / RATE)
        poles.append((2 * radius * np.cos(2 * np.pi * f / RATE), -(radius**2)))
    for a, b in poles:
        out = np.zeros(len(sound) + 2)  # two zeros before the beginning, at its end
        for n in range(len(sound)):
            out[n] = sound[n] + a * out[n - 1] + b * out[n - 2]
        sound = out[:-2]
    return sound


@pytest.mark.parametrize("resonances", [(300, 2200, 3000), (700, 1200, 2600), (500, 1500, 2500)])
def test_resonances_of_a_made_vowel_are_found(resonances):
    found = formants(vowel((*resonances, 3600, 4600))[2000:2640], RATE)
    assert found[:3] == pytest.approx(resonances, abs=60)


def test_tracks_lie_within_the_vowels_of_a_clip():
    clip = asrlib.clips()["audio/digits-2.flac"]
    tracks = vowel_formants(clip.audio, clip.sampling_rate, clip.phones)
    assert 4 <= len(tracks) <= 7
    for track in tracks:
        assert any(start < track[0][0] and track[-1][0] < end for _, start, end in clip.phones)
        for _, (f1, f2, f3) in track:
            assert 150 < f1 < 1000 < f3 < 4000 and f1 < f2 < f3
    ax = viz.plot_log_mel(asrlib.log_mel(torch.from_numpy(clip.audio), RATE))
    viz.mark_formants(tracks, ax, RATE)
    assert [text.get_text() for text in ax.texts] == ["F1", "F2", "F3"]
    heights = [line.get_ydata()[0] for line in ax.lines[:3]]
    assert heights == sorted(heights) and 0 < heights[0] and heights[-1] < 80
