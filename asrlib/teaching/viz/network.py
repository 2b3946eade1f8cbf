"""Plots of what is inside an encoder. Lessons 02, 03 and 04."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from asrlib.extras import extra
from asrlib.teaching.viz.axes import BLUE, GREY, ORANGE, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FAINTEST = 1e-4  # of the strongest dependence: the end of the color scale


def plot_receptive_field(
    layers: Sequence[tuple[int, int]], padding: str = "same", ax: Axes | None = None
) -> Axes:
    """Draw what one output frame sees through layers of (kernel, stride), layer by layer. Lesson 02.

    The input is the lowest row; x counts input frames from the output frame's own.
    """
    with extra("lab"):
        from matplotlib.collections import LineCollection
        from matplotlib.ticker import MaxNLocator

    from asrlib.models.layers.conv import pad_amounts, receptive_field

    ax = axes_or_new(ax, height=0.5 * len(layers) + 1.3)
    steps = [1, *(step for _, step in receptive_field(layers))]
    frames, lines = {0}, []
    rows = [frames]  # of each layer, from the top, the frames that the output depends on
    for depth in range(len(layers), 0, -1):
        kernel, stride = layers[depth - 1]
        first = pad_amounts(kernel, padding)[0]
        reads = [(t, t * stride - first + i) for t in frames for i in range(kernel)]
        lines += [[(t * steps[depth], depth), (n * steps[depth - 1], depth - 1)] for t, n in reads]
        frames = {n for _, n in reads}
        rows.append(frames)
    ax.add_collection(LineCollection(lines, colors=GREY, linewidths=0.4))
    for depth, seen in zip(range(len(layers), -1, -1), rows, strict=True):
        x = [t * steps[depth] for t in sorted(seen)]
        ax.plot(x, [depth] * len(x), ".", color=ORANGE if depth == len(layers) else BLUE, markersize=5)
    names = ["input", *(f"layer {n + 1}: k={k}, s={s}" for n, (k, s) in enumerate(layers))]
    ax.set(yticks=range(len(names)), yticklabels=names, ylim=(-0.5, len(names) - 0.5))
    ax.set(xlabel="input frame, counted from the output's")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    return ax


def plot_dependency(dependency: Any, ax: Axes | None = None) -> Axes:
    """Show how strongly each output frame depends on each input frame. Lesson 03.

    ``dependency`` is (frames out, frames in). It is drawn relative to the strongest entry, on a
    logarithmic scale down to 1e-4; white is no dependence at all.
    """
    with extra("lab"):
        from matplotlib.colors import LogNorm

    dependency = np.asarray(dependency, dtype=float)
    ax = axes_or_new(ax, width=3.2, height=2.8)
    relative = dependency / max(dependency.max(), 1e-30)
    visible = np.ma.masked_equal(np.where(relative > 0, np.maximum(relative, _FAINTEST), 0), 0)
    ax.imshow(visible, cmap="YlGnBu", norm=LogNorm(_FAINTEST, 1), aspect="auto", interpolation="nearest")
    ax.set(xlabel="input frame", ylabel="output frame")
    return ax


def plot_gates(gates: Sequence[tuple[str, Any]], ax: Axes | None = None) -> Axes:
    """Plot squeeze-and-excitation gates, given as (name, (channels,) values). Lesson 03.

    Channels are sorted by the first entry's gates.
    """
    ax = axes_or_new(ax)
    order = np.argsort(np.asarray(gates[0][1]))
    for n, (name, values) in enumerate(gates):
        style = {"linestyle": "-", "marker": ""} if n == 0 else {"linestyle": "", "marker": "."}
        ax.plot(
            np.asarray(values)[order], label=name, color=(BLUE, ORANGE, GREY)[n % 3], markersize=5, **style
        )
    ax.set(xlabel=f"channel, in the order of {gates[0][0]}", ylabel="gate")
    ax.legend(fontsize=8, loc="upper left")
    ax.grid(alpha=0.3)
    return ax


def plot_blocks(values: Sequence[float], rates: Sequence[int], label: str, ax: Axes | None = None) -> Axes:
    """Plot one number per block of an encoder, colored by frame rate. Lesson 04.

    ``rates`` says how many input frames one frame of each block's output spans.
    """
    with extra("lab"):
        import matplotlib.pyplot as plt

    ax = axes_or_new(ax, height=2.4)
    different = sorted(set(rates))
    colors = plt.get_cmap("YlGnBu")(np.linspace(0.35, 0.95, len(different)))
    for rate, color in zip(different, colors, strict=True):
        mine = [n for n, of_block in enumerate(rates) if of_block == rate]
        ax.bar(mine, [values[n] for n in mine], color=color, label=f"1/{rate}" if rate > 1 else "1")
    ax.set(xlabel="block C", ylabel=label, xlim=(-0.7, len(values) - 0.3))
    ax.set_xticks(range(0, len(values), 2 if len(values) > 12 else 1))
    ax.legend(title="frame rate", fontsize=8, title_fontsize=8, frameon=False)
    return ax
