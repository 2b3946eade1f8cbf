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


def plot_spectrogram(power: Any, sample_rate: int, hop_ms: float = 10.0, ax: Axes | None = None) -> Axes:
    """(frames, bins) power spectra in decibels below the strongest: time to the right, Hz upwards. Lesson 01.

    60 dB are shown; what is fainter is black.
    """
    power = np.asarray(power)
    ax = _axes(ax)
    decibels = 10 * np.log10(np.maximum(power / max(power.max(), 1e-30), 1e-12))
    image = ax.imshow(
        decibels.T,
        origin="lower",
        aspect="auto",
        extent=(0, power.shape[0] * hop_ms / 1000, 0, sample_rate / 2),
        cmap="magma",
        interpolation="nearest",
        vmin=-60,
        vmax=0,
    )
    ax.figure.colorbar(image, ax=ax, label="power (dB)", pad=0.01)
    ax.set(xlabel="time (s)", ylabel="frequency (Hz)")
    return ax


def plot_mel_filters(filters: Any, sample_rate: int, every: int = 1, ax: Axes | None = None) -> Axes:
    """(bins, mels) triangular filters over frequency, each ``every``-th of them. Lesson 01."""
    filters = np.asarray(filters)
    ax = _axes(ax, height=2.2)
    hz = np.linspace(0, sample_rate / 2, filters.shape[0])
    for m in range(0, filters.shape[1], every):
        ax.plot(hz, filters[:, m], color=(BLUE, ORANGE)[m // every % 2], linewidth=0.9)
    ax.set(xlabel="frequency (Hz)", ylabel="weight", xlim=(0, sample_rate / 2), ylim=(0, 1.05))
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


def plot_label_probabilities(
    probabilities: Any,
    labels: Sequence[str],
    frame_seconds: float = 1.0,
    ax: Axes | None = None,
    at_least: float = 0.05,
) -> Axes:
    """(T, V) label probabilities over time, blank (label 0) dashed. Lesson 06.

    ``labels`` are the V names. One that never reaches ``at_least`` is not drawn. A frame stands at
    t · frame_seconds; with 1 the axis counts frames.
    """
    import matplotlib.pyplot as plt

    probabilities = np.asarray(probabilities)
    ax = _axes(ax, height=2.2)
    colors = plt.get_cmap("tab10").colors
    times = np.arange(len(probabilities)) * frame_seconds
    for k, name in enumerate(labels):
        if probabilities[:, k].max(initial=0) < at_least:
            continue
        style = {"color": colors[(k - 1) % 10], "marker": "o", "markersize": 3}
        if k == 0:
            style = {"color": GREY, "linestyle": "--", "linewidth": 1}
        ax.plot(times, probabilities[:, k], label=name, **style)
    half = frame_seconds / 2
    unit = "frame t" if frame_seconds == 1 else "time (s)"
    ax.set(xlabel=unit, ylabel="probability", ylim=(-0.03, 1.06), xlim=(-half, times[-1] + half))
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False)
    return ax


def plot_nodes(
    values: Any,
    rows: Sequence[str],
    frame_seconds: float = 1.0,
    ax: Axes | None = None,
    path: Sequence[tuple[float, float]] = (),
    upwards: bool = False,
    decimals: int | None = None,
    label: str = "probability",
) -> Axes:
    """Values of the nodes (t, row) of a trellis or lattice, (T, rows), as a heat map. Lessons 06, 07.

    ``path`` is drawn over it as (t, row) points, in frames; ``upwards`` puts row 0 at the bottom;
    ``decimals`` writes each value into its node.
    """
    values = np.asarray(values)
    T, count = values.shape
    ax = _axes(ax, height=max(2.0, 0.28 * count + 0.9))
    half = frame_seconds / 2
    image = ax.imshow(
        values.T,
        origin="lower" if upwards else "upper",
        aspect="auto",
        extent=(-half, T * frame_seconds - half, *((-0.5, count - 0.5) if upwards else (count - 0.5, -0.5))),
        cmap="Blues",
        vmin=0,
        vmax=max(float(values.max(initial=0)), 1e-12),
        interpolation="nearest",
    )
    ax.figure.colorbar(image, ax=ax, label=label, pad=0.01)
    ax.set(xlabel="frame t" if frame_seconds == 1 else "time (s)")
    ax.set(yticks=range(count), yticklabels=list(rows))
    if frame_seconds == 1 and T <= 30:
        ax.set_xticks(range(T))
    if len(path):
        t, row = zip(*path, strict=True)
        ax.plot(np.multiply(t, frame_seconds), row, color=ORANGE, marker="o", markersize=4, linewidth=2)
    if decimals is not None:
        dark = 0.6 * image.get_clim()[1]
        for (t, row), value in np.ndenumerate(values):
            color = "white" if value > dark else "black"
            position = t * frame_seconds, row
            ax.text(*position, f"{value:.{decimals}f}", ha="center", va="center", fontsize=8, color=color)
    return ax


def plot_moves(
    moves: Iterable[tuple[tuple[int, int], tuple[int, int], str]],
    rows: Sequence[str],
    ax: Axes | None = None,
    path: Sequence[tuple[int, int]] = (),
    upwards: bool = False,
) -> Axes:
    """The graph under a loss: nodes (t, row) and moves (from, to, text on the arrow). Lessons 06, 07.

    ``path``, a sequence of nodes, is drawn in orange.
    """
    moves = list(moves)
    nodes = sorted({node for start, end, _ in moves for node in (start, end)} | set(path))
    T = max(t for t, _ in nodes) + 1
    ax = _axes(ax, width=max(4.0, 1.5 * T), height=0.62 * len(rows) + 0.8)
    on_path = set(zip(path[:-1], path[1:], strict=True))
    for start, end, text in moves:
        color = ORANGE if (start, end) in on_path else GREY
        arrow = {"arrowstyle": "->", "color": color, "shrinkA": 10, "shrinkB": 10}
        arrow["linewidth"] = 2.2 if (start, end) in on_path else 1.0
        ax.annotate("", end, start, arrowprops=arrow)
        middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
        ax.text(*middle, text, color=color, ha="center", va="center", fontsize=8, bbox=box if text else None)
    for node in nodes:
        ax.plot(*node, "o", markersize=15, color=ORANGE if node in path else BLUE)
        ax.text(*node, f"{node[0]},{node[1]}", color="white", ha="center", va="center", fontsize=6)
    ax.set(xticks=range(T), yticks=range(len(rows)), yticklabels=list(rows), xlabel="frame t")
    edges = (-0.5, len(rows) - 0.5)
    ax.set(xlim=(-0.4, T - 0.6), ylim=edges if upwards else edges[::-1])
    for side in ax.spines.values():
        side.set_visible(False)
    return ax


def plot_label_probabilities(
    probabilities: Any,
    labels: Sequence[str],
    frame_seconds: float = 1.0,
    ax: Axes | None = None,
    at_least: float = 0.05,
) -> Axes:
    """(T, V) label probabilities over time, blank (label 0) dashed. Lesson 06.

    ``labels`` are the V names. One that never reaches ``at_least`` is not drawn. A frame stands at
    t · frame_seconds; with 1 the axis counts frames.
    """
    import matplotlib.pyplot as plt

    probabilities = np.asarray(probabilities)
    ax = _axes(ax, height=2.2)
    colors = plt.get_cmap("tab10").colors
    times = np.arange(len(probabilities)) * frame_seconds
    for k, name in enumerate(labels):
        if probabilities[:, k].max(initial=0) < at_least:
            continue
        style = {"color": colors[(k - 1) % 10], "marker": "o", "markersize": 3}
        if k == 0:
            style = {"color": GREY, "linestyle": "--", "linewidth": 1}
        ax.plot(times, probabilities[:, k], label=name, **style)
    half = frame_seconds / 2
    unit = "frame t" if frame_seconds == 1 else "time (s)"
    ax.set(xlabel=unit, ylabel="probability", ylim=(-0.03, 1.06), xlim=(-half, times[-1] + half))
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False)
    return ax


def plot_nodes(
    values: Any,
    rows: Sequence[str],
    frame_seconds: float = 1.0,
    ax: Axes | None = None,
    path: Sequence[tuple[float, float]] = (),
    upwards: bool = False,
    decimals: int | None = None,
    label: str = "probability",
) -> Axes:
    """Values of the nodes (t, row) of a trellis or lattice, (T, rows), as a heat map. Lessons 06, 07.

    ``path`` is drawn over it as (t, row) points, in frames; ``upwards`` puts row 0 at the bottom;
    ``decimals`` writes each value into its node.
    """
    values = np.asarray(values)
    T, count = values.shape
    ax = _axes(ax, height=max(2.0, 0.28 * count + 0.9))
    half = frame_seconds / 2
    image = ax.imshow(
        values.T,
        origin="lower" if upwards else "upper",
        aspect="auto",
        extent=(-half, T * frame_seconds - half, *((-0.5, count - 0.5) if upwards else (count - 0.5, -0.5))),
        cmap="Blues",
        vmin=0,
        vmax=max(float(values.max(initial=0)), 1e-12),
        interpolation="nearest",
    )
    ax.figure.colorbar(image, ax=ax, label=label, pad=0.01)
    ax.set(xlabel="frame t" if frame_seconds == 1 else "time (s)")
    ax.set(yticks=range(count), yticklabels=list(rows))
    if frame_seconds == 1 and T <= 30:
        ax.set_xticks(range(T))
    if len(path):
        t, row = zip(*path, strict=True)
        ax.plot(np.multiply(t, frame_seconds), row, color=ORANGE, marker="o", markersize=4, linewidth=2)
    if decimals is not None:
        dark = 0.6 * image.get_clim()[1]
        for (t, row), value in np.ndenumerate(values):
            color = "white" if value > dark else "black"
            position = t * frame_seconds, row
            ax.text(*position, f"{value:.{decimals}f}", ha="center", va="center", fontsize=8, color=color)
    return ax


def plot_moves(
    moves: Iterable[tuple[tuple[int, int], tuple[int, int], str]],
    rows: Sequence[str],
    ax: Axes | None = None,
    path: Sequence[tuple[int, int]] = (),
    upwards: bool = False,
) -> Axes:
    """The graph under a loss: nodes (t, row) and moves (from, to, text on the arrow). Lessons 06, 07.

    ``path``, a sequence of nodes, is drawn in orange.
    """
    moves = list(moves)
    nodes = sorted({node for start, end, _ in moves for node in (start, end)} | set(path))
    T = max(t for t, _ in nodes) + 1
    ax = _axes(ax, width=max(4.0, 1.5 * T), height=0.62 * len(rows) + 0.8)
    on_path = set(zip(path[:-1], path[1:], strict=True))
    for start, end, text in moves:
        color = ORANGE if (start, end) in on_path else GREY
        arrow = {"arrowstyle": "->", "color": color, "shrinkA": 10, "shrinkB": 10}
        arrow["linewidth"] = 2.2 if (start, end) in on_path else 1.0
        ax.annotate("", end, start, arrowprops=arrow)
        middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
        ax.text(*middle, text, color=color, ha="center", va="center", fontsize=8, bbox=box if text else None)
    for node in nodes:
        ax.plot(*node, "o", markersize=15, color=ORANGE if node in path else BLUE)
        ax.text(*node, f"{node[0]},{node[1]}", color="white", ha="center", va="center", fontsize=6)
    ax.set(xticks=range(T), yticks=range(len(rows)), yticklabels=list(rows), xlabel="frame t")
    edges = (-0.5, len(rows) - 0.5)
    ax.set(xlim=(-0.4, T - 0.6), ylim=edges if upwards else edges[::-1])
    for side in ax.spines.values():
        side.set_visible(False)
    return ax
