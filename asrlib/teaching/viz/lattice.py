"""Plots of the graphs under CTC and RNN-T, and of the probabilities on them. Lessons 06 and 07."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from asrlib.signal.frame_times import FrameTimes
from asrlib.teaching.viz.axes import BLUE, GREY, ORANGE, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COUNTED = FrameTimes(1.0, 0.0)  # an axis that counts frames
# Okabe and Ito's palette, whose colors stay apart for color-blind readers; no grey, which is blank's
_LABEL_COLORS = (BLUE, ORANGE, "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
_LABEL_LINES = ("-", ":", "-.")  # of the labels that have the colors for the first time, the second, ...


def plot_label_probabilities(
    probabilities: Any,
    labels: Sequence[str],
    frame_times: FrameTimes | None = None,
    ax: Axes | None = None,
    at_least: float = 0.05,
) -> Axes:
    """Plot (T, V) label probabilities over time, blank (label 0) dashed. Lesson 06.

    ``labels`` are the V names. One that never reaches ``at_least`` is not drawn. Each frame is a step; a
    spike carries its label's name. Without ``frame_times`` the axis counts frames.
    """
    probabilities = np.asarray(probabilities)
    ax = axes_or_new(ax, height=2.4)
    clock = frame_times or _COUNTED
    times = clock(np.arange(len(probabilities)))
    for k, name in enumerate(labels):
        heights = probabilities[:, k]
        if heights.max(initial=0) < at_least:
            continue
        again, color = divmod(k - 1, len(_LABEL_COLORS))
        style = {
            "color": _LABEL_COLORS[color],
            "linestyle": _LABEL_LINES[again % 3],
            "marker": ".",
            "markersize": 4,
        }
        if k == 0:
            style = {"color": GREY, "linestyle": "--", "linewidth": 1}
        ax.plot(times, heights, label=name, drawstyle="steps-mid", **style)
        for t in _spikes(heights) if k else ():
            ax.annotate(name, (times[t], heights[t]), (0, 3), textcoords="offset points", ha="center",
                        fontsize=8, color=style["color"])  # fmt: skip
    half = clock.seconds / 2
    unit = "frame t" if frame_times is None else "time (s)"
    ax.set(xlabel=unit, ylabel="probability", ylim=(-0.03, 1.15), xlim=(times[0] - half, times[-1] + half))
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False)
    return ax


def _spikes(heights: np.ndarray) -> np.ndarray:
    """Return the frames at which a label has a local maximum of more than 0.3."""
    padded = np.pad(heights, 1)
    return np.flatnonzero((heights > 0.3) & (heights >= padded[2:]) & (heights > padded[:-2]))


def plot_distribution(probabilities: Any, labels: Sequence[str], ax: Axes | None = None) -> Axes:
    """Plot (V,) probabilities as bars, blank (label 0) in grey on top. Lessons 06, 07."""
    probabilities = np.asarray(probabilities)
    ax = axes_or_new(ax, width=3.0, height=0.2 * len(labels) + 0.8)
    ax.barh(range(len(labels)), probabilities, color=[GREY] + [BLUE] * (len(labels) - 1))
    ax.set(yticks=range(len(labels)), yticklabels=list(labels), xlim=(0, 1), xlabel="probability")
    ax.tick_params(labelsize=8)
    ax.invert_yaxis()
    return ax


def plot_nodes(
    values: Any,
    rows: Sequence[str],
    frame_times: FrameTimes | None = None,
    ax: Axes | None = None,
    path: Sequence[tuple[float, float]] = (),
    upwards: bool = False,
    decimals: int | None = None,
    label: str = "probability",
) -> Axes:
    """Show the (T, rows) values of a trellis's or lattice's nodes (t, row) as a heat map. Lessons 06, 07.

    ``path`` is drawn over it as (t, row) points, in frames; ``upwards`` puts row 0 at the bottom; without
    ``frame_times`` the axis counts frames;
    ``decimals`` writes each value into its node.
    """
    values = np.asarray(values)
    T, count = values.shape
    ax = axes_or_new(ax, height=max(2.0, 0.28 * count + 0.9))
    clock = frame_times or _COUNTED
    left, right = clock(-0.5), clock(T - 0.5)
    image = ax.imshow(
        values.T,
        origin="lower" if upwards else "upper",
        aspect="auto",
        extent=(left, right, *((-0.5, count - 0.5) if upwards else (count - 0.5, -0.5))),
        cmap="Blues",
        vmin=0,
        vmax=max(float(values.max(initial=0)), 1e-12),
        interpolation="nearest",
    )
    ax.figure.colorbar(image, ax=ax, label=label, pad=0.01)
    ax.set(xlabel="frame t" if frame_times is None else "time (s)")
    ax.set(yticks=range(count), yticklabels=list(rows))
    if frame_times is None and T <= 30:
        ax.set_xticks(range(T))
    if len(path):
        t, row = zip(*path, strict=True)
        ax.plot(clock(np.array(t)), row, color=ORANGE, marker="o", markersize=4, linewidth=2)
    if decimals is not None:
        dark = 0.6 * image.get_clim()[1]
        for (t, row), value in np.ndenumerate(values):
            color = "white" if value > dark else "black"
            position = clock(t), row
            ax.text(*position, f"{value:.{decimals}f}", ha="center", va="center", fontsize=8, color=color)
    return ax


def plot_moves(
    moves: Iterable[tuple[tuple[int, int], tuple[int, int], str]],
    rows: Sequence[str],
    ax: Axes | None = None,
    path: Sequence[tuple[int, int]] = (),
    upwards: bool = False,
) -> Axes:
    """Draw the graph under a loss: nodes (t, row) and moves (from, to, text on the arrow). Lessons 06, 07.

    ``path``, a sequence of nodes, is drawn in orange.
    """
    moves = list(moves)
    nodes = sorted({node for start, end, _ in moves for node in (start, end)} | set(path))
    T = max(t for t, _ in nodes) + 1
    ax = axes_or_new(ax, width=max(4.0, 1.5 * T), height=0.62 * len(rows) + 0.8)
    on_path = set(zip(path[:-1], path[1:], strict=True))
    for start, end, text in moves:
        color = ORANGE if (start, end) in on_path else GREY
        arrow = {"arrowstyle": "->", "color": color, "shrinkA": 12, "shrinkB": 12}
        arrow["linewidth"] = 2.2 if (start, end) in on_path else 1.0
        ax.annotate("", end, start, arrowprops=arrow)
        middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
        ax.text(*middle, text, color=color, ha="center", va="center", fontsize=8, bbox=box if text else None)
    for node in nodes:
        ax.plot(*node, "o", markersize=19, color=ORANGE if node in path else BLUE)
        ax.text(*node, f"{node[0]},{node[1]}", color="white", ha="center", va="center", fontsize=8)
    ax.set(xticks=range(T), yticks=range(len(rows)), yticklabels=list(rows), xlabel="frame t")
    edges = (-0.5, len(rows) - 0.5)
    ax.set(xlim=(-0.4, T - 0.6), ylim=edges if upwards else edges[::-1])
    for side in ax.spines.values():
        side.set_visible(False)
    return ax
