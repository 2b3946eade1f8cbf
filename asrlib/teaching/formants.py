"""Formants, the resonances of the mouth, estimated by linear prediction. Lesson 00.

    tracks = vowel_formants(clip.audio, clip.sampling_rate, clip.phones)
    viz.mark_formants(tracks, ax)

Linear prediction fits an all-pole filter to a window of speech (Markel and Gray 1976, *Linear Prediction of
Speech*). Its resonances are the formants, where the pitch is low enough for the harmonics to show them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

VOWELS = "aeiouæɑɒɐɔəɛɜɪʊʌʉᵻ"
POINTS = 5  # per vowel
WINDOW = 0.04  # s
HIGHEST_F1 = 950.0  # Hz: above it lies F2, and F1 was missed
WIDEST = 500.0  # Hz: a resonance that is wider is no formant


def vowel_formants(
    samples: Float[np.ndarray, " samples"],
    sample_rate: int,
    phones: Sequence[tuple[str, float, float]],
    count: int = 3,
) -> list[list[tuple[float, list[float]]]]:
    """Return for each vowel a track of (seconds, [F1, F2, ... in Hz]).

    phones: (symbol in IPA, start, end) in seconds. Vowels shorter than 60 ms are left out, and points at
    which fewer than ``count`` formants are found.
    """
    tracks = []
    for symbol, start, end in phones:
        if symbol[0] not in VOWELS or end - start < 0.06:
            continue
        track = []
        for time in np.linspace(start + 0.2 * (end - start), end - 0.2 * (end - start), POINTS):
            first = max(0, round((time - WINDOW / 2) * sample_rate))
            found = formants(samples[first : first + round(WINDOW * sample_rate)], sample_rate)
            if len(found) >= count and found[0] < HIGHEST_F1:
                track.append((float(time), found[:count]))
        if track:
            tracks.append(track)
    return tracks


def formants(samples: Float[np.ndarray, " samples"], sample_rate: int) -> list[float]:
    """Return the resonances in Hz, lowest first, of one window of voiced speech.

    Linear prediction of order 2 + sample_rate / 1000, by autocorrelation, after a pre-emphasis of 0.97.
    """
    emphasized = np.append(samples[0], samples[1:] - 0.97 * samples[:-1]) * np.hamming(len(samples))
    order = 2 + sample_rate // 1000
    correlation = np.correlate(emphasized, emphasized, "full")[len(samples) - 1 :][: order + 1]
    lags = np.abs(np.arange(order)[:, None] - np.arange(order))
    matrix = correlation[lags] + 1e-9 * correlation[0] * np.eye(order)
    predictor = np.linalg.solve(matrix, correlation[1:])
    roots = np.roots(np.append(1.0, -predictor))
    hz = np.angle(roots) * sample_rate / (2 * np.pi)
    width = -np.log(np.maximum(np.abs(roots), 1e-12)) * sample_rate / np.pi
    return sorted(float(f) for f in hz[(hz > 150) & (hz < sample_rate / 2 - 150) & (width < WIDEST)])
