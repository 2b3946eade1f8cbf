"""Plots: axes in (``ax=None`` makes one), axes out; labelled, with units.

The lessons' widgets draw with the same functions, so what a slider shows is what a
figure shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# blue and orange that stay apart in grey and for colour-blind readers
BLUE, ORANGE, GREY = "#0b5394", "#d95f02", "#777777"


def _axes(ax: Axes | None, width: float = 9.0, height: float = 2.6) -> Axes:
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    return ax


def plot_waveform(samples: Any, sample_rate: int, ax: Axes | None = None) -> Axes:
    """Amplitude over seconds. Lesson 00."""
    samples = np.asarray(samples)
    ax = _axes(ax, height=1.8)
    ax.plot(np.arange(len(samples)) / sample_rate, samples, color=BLUE, linewidth=0.5)
    ax.set(xlabel="time (s)", ylabel="amplitude", xlim=(0, len(samples) / sample_rate))
    return ax


def plot_log_mel(features: Any, hop_ms: float = 10.0, ax: Axes | None = None) -> Axes:
    """(frames, mels) features as a picture: time to the right, mel bins upwards. Lesson 00."""
    features = np.asarray(features)
    ax = _axes(ax)
    seconds = features.shape[0] * hop_ms / 1000
    image = ax.imshow(
        features.T,
        origin="lower",
        aspect="auto",
        extent=(0, seconds, 0, features.shape[1]),
        cmap="magma",
        interpolation="nearest",
    )
    ax.figure.colorbar(image, ax=ax, label="log energy", pad=0.01)
    ax.set(xlabel="time (s)", ylabel="mel bin")
    return ax


def mark_words(words: Iterable[tuple[str, float, float]], ax: Axes, y: float = 1.02) -> Axes:
    """Spans of (word, start, end) in seconds, named above a plot whose x axis is time."""
    for word, start, end in words:
        ax.axvspan(start, end, color=GREY, alpha=0.12)
        ax.axvline(start, color=GREY, linewidth=0.8)
        ax.axvline(end, color=GREY, linewidth=0.8, linestyle=":")
        ax.text(
            (start + end) / 2,
            y,
            word,
            transform=ax.get_xaxis_transform(),
            ha="center",
            va="bottom",
            fontsize=9,
        )
    return ax


def mark_tokens(tokens: Sequence[str], times: Sequence[float], ax: Axes, y: float = 0.86) -> Axes:
    """Where a recogniser emitted each token: a line at its second, with its name."""
    for token, time in zip(tokens, times, strict=True):
        ax.axvline(time, color="white", linewidth=3)
        ax.axvline(time, color=ORANGE, linewidth=1.5)
        ax.text(
            time,
            y,
            token,
            transform=ax.get_xaxis_transform(),
            ha="center",
            color=ORANGE,
            fontsize=9,
            fontweight="bold",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )
    return ax


def plot_history(history: Sequence[dict[str, float]], axes: Sequence[Axes] | None = None) -> Sequence[Axes]:
    """A run's loss, learning rate and dev WER over steps (``metrics.json``'s ``history``). Lesson 09."""
    if axes is None:
        import matplotlib.pyplot as plt

        _, axes = plt.subplots(1, 3, figsize=(11, 2.8), layout="constrained")
    panels = (
        ("loss", "training loss (nats an utterance)", BLUE),
        ("lr", "learning rate", GREY),
        ("dev_wer", "dev WER (%)", ORANGE),
    )
    for ax, (key, label, color) in zip(axes, panels, strict=True):
        points = [(entry["step"], entry[key]) for entry in history if key in entry]
        ax.plot(*zip(*points, strict=True), color=color, marker="o", markersize=3) if points else None
        ax.set(xlabel="step", ylabel=label)
        ax.grid(alpha=0.3)
    axes[0].set_yscale("log")
    return axes
