"""Plots of sound and features over time, and marks on any plot over time. Lessons 00 and 01."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from asrlib.signal.frame_times import FrameTimes
from asrlib.signal.mel import hz_to_mel
from asrlib.teaching.viz.axes import BLUE, GREY, ORANGE, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_waveform(samples: Any, sample_rate: int, ax: Axes | None = None) -> Axes:
    """Plot the amplitude over seconds. Lesson 00."""
    samples = np.asarray(samples)
    ax = axes_or_new(ax, height=1.8)
    ax.plot(np.arange(len(samples)) / sample_rate, samples, color=BLUE, linewidth=0.5)
    ax.set(xlabel="time (s)", ylabel="amplitude", xlim=(0, len(samples) / sample_rate))
    return ax


def plot_log_mel(
    features: Any,
    hop_ms: float = 10.0,
    ax: Axes | None = None,
    window_ms: float = 25.0,
    sample_rate: int | None = None,
) -> Axes:
    """Show (frames, mels) features as an image: time to the right, mel bins upwards. Lesson 00.

    A frame stands at the center of its window of ``window_ms`` milliseconds. With ``sample_rate``, in Hz, the
    axis shows frequencies instead of the numbers of bins; filters reach from 0 Hz to half of it.
    """
    features = np.asarray(features)
    ax = axes_or_new(ax)
    image = ax.imshow(
        features.T,
        origin="lower",
        aspect="auto",
        extent=(*_time_span(len(features), hop_ms, window_ms), 0, features.shape[1]),
        cmap="magma",
        interpolation="nearest",
    )
    ax.set_xlim(0, None)
    ax.figure.colorbar(image, ax=ax, label="log energy", pad=0.01)
    ax.set(xlabel="time (s)", ylabel="mel bin")
    if sample_rate is not None:
        shown = [hz for hz in (250, 500, 1000, 2000, 4000, 8000) if hz < sample_rate / 2]
        ax.set_yticks(_mel_bins(shown, sample_rate, features.shape[1]), [f"{hz:,d}" for hz in shown])
        ax.set(ylabel="frequency (Hz)")
    return ax


def _mel_bins(hz: Any, sample_rate: int, mels: int) -> np.ndarray:
    """Return where on an axis of ``mels`` bins, drawn from m to m + 1, these frequencies lie."""
    import torch

    top = hz_to_mel(torch.tensor([sample_rate / 2]))
    # bin m is centered at the (m + 1)th of mels + 1 equal steps to the top
    return (hz_to_mel(torch.as_tensor(hz, dtype=torch.float32)) / top * (mels + 1) - 0.5).numpy()


def plot_spectrogram(
    power: Any, sample_rate: int, hop_ms: float = 10.0, ax: Axes | None = None, window_ms: float = 25.0
) -> Axes:
    """Show (frames, bins) power spectra in decibels below the strongest bin. Lesson 01.

    Time goes to the right, frequency in Hz upwards; what is more than 60 dB below is black. A frame stands
    at the center of its window of ``window_ms`` milliseconds.
    """
    power = np.asarray(power)
    ax = axes_or_new(ax)
    decibels = 10 * np.log10(np.maximum(power / max(power.max(), 1e-30), 1e-12))
    image = ax.imshow(
        decibels.T,
        origin="lower",
        aspect="auto",
        extent=(*_time_span(len(power), hop_ms, window_ms), 0, sample_rate / 2),
        cmap="magma",
        interpolation="nearest",
        vmin=-60,
        vmax=0,
    )
    ax.set_xlim(0, None)
    ax.figure.colorbar(image, ax=ax, label="power (dB)", pad=0.01)
    ax.set(xlabel="time (s)", ylabel="frequency (Hz)")
    return ax


def plot_mel_filters(filters: Any, sample_rate: int, every: int = 1, ax: Axes | None = None) -> Axes:
    """Plot every ``every``-th of the (bins, mels) triangular filters over frequency. Lesson 01."""
    filters = np.asarray(filters)
    ax = axes_or_new(ax, height=2.2)
    hz = np.linspace(0, sample_rate / 2, filters.shape[0])
    for m in range(0, filters.shape[1], every):
        ax.plot(hz, filters[:, m], color=(BLUE, ORANGE)[m // every % 2], linewidth=0.9)
    ax.set(xlabel="frequency (Hz)", ylabel="weight", xlim=(0, sample_rate / 2), ylim=(0, 1.05))
    return ax


def _time_span(frames: int, hop_ms: float, window_ms: float) -> tuple[float, float]:
    """Return the left edge of the first frame and the right edge of the last, in seconds."""
    times = FrameTimes(hop_ms / 1000, window_ms / 2000)
    return times(-0.5), times(frames - 0.5)


def mark_words(words: Iterable[tuple[str, float, float]], ax: Axes, y: float = 1.03) -> Axes:
    """Mark spans of (word, start, end), in seconds, on a plot over time, each named above it.

    Over an image only the edges are drawn, as a grey veil would change its colors.
    """
    for word, start, end in words:
        if ax.get_images():
            ax.plot([start, end], [1.01, 1.01], color=GREY, linewidth=3, solid_capstyle="butt", clip_on=False,
                    transform=ax.get_xaxis_transform(), scalex=False, scaley=False)  # fmt: skip
        else:
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
    """Mark each token that a recognizer emitted: a line at its time in seconds, with its name."""
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


def mark_formants(
    tracks: Sequence[Sequence[tuple[float, Sequence[float]]]],
    ax: Axes,
    sample_rate: int,
    mels: int = 80,
) -> Axes:
    """Draw tracks of (seconds, [F1, F2, ... in Hz]) over ``plot_log_mel``; the first is labeled. Lesson 00.

    ``asrlib.teaching.formants.vowel_formants`` finds them. ``mels``: the bins of the picture.
    """
    for number, track in enumerate(tracks):
        times, formants = zip(*track, strict=True)
        bins = _mel_bins(formants, sample_rate, mels)
        for n, heights in enumerate(bins.T):
            ax.plot(times, heights, color="white", linewidth=4, solid_capstyle="round")
            ax.plot(times, heights, color=BLUE, linewidth=2, solid_capstyle="round")
            if number == 0:
                style = {"ha": "right", "va": "center", "color": BLUE, "fontsize": 9, "fontweight": "bold"}
                box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
                left = {"xytext": (-5, 0), "textcoords": "offset points"}
                ax.annotate(f"F{n + 1}", (times[0], heights[0]), bbox=box, **left, **style)
    return ax
