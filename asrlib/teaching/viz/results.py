"""Plots of a training run and of a recognizer's errors. Lessons 09, 11 and 15."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from asrlib.extras import extra
from asrlib.teaching.viz.axes import BLUE, GREY, ORANGE, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_history(history: Sequence[dict[str, float]], axes: Sequence[Axes] | None = None) -> Sequence[Axes]:
    """Plot a run's loss, learning rate and dev WER over steps (``metrics.json``'s ``history``). Lesson 09."""
    if axes is None:
        with extra("lab"):
            import matplotlib.pyplot as plt

        _, axes = plt.subplots(1, 3, figsize=(11, 2.8), layout="constrained")
    panels = (
        ("loss", "training loss (nats per utterance)", BLUE),
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


def plot_confusions(counts: Any, labels: Sequence[str], ax: Axes | None = None) -> Axes:
    """Show how often label i was spoken (rows) and label j recognized (columns). Lesson 11.

    The diagonal, what was recognized correctly, is numbered but not colored: it would outshine the rest.
    """
    counts = np.asarray(counts)
    ax = axes_or_new(ax, width=5.4, height=4.4)
    errors = counts * (1 - np.eye(len(counts)))
    image = ax.imshow(errors, cmap="Oranges", vmin=0, vmax=max(errors.max(), 1))
    ax.figure.colorbar(image, ax=ax, label="errors", pad=0.01)
    dark = 0.6 * image.get_clim()[1]
    for (i, j), count in np.ndenumerate(counts):
        if count:
            color = GREY if i == j else "white" if count > dark else "black"
            ax.text(j, i, f"{count:g}", ha="center", va="center", fontsize=8, color=color)
    ax.set(xlabel="heard", ylabel="said", xticks=range(len(labels)), yticks=range(len(labels)))
    ax.set_xticklabels(labels, rotation=45, ha="right", fontsize=8)
    ax.set_yticklabels(labels, fontsize=8)
    return ax


def plot_calibration(confidence: Any, correct: Any, bins: int = 8, ax: Axes | None = None) -> Axes:
    """Plot the share of words that are right over the recognizer's confidence in them. Lesson 11b.

    ``bins`` of equally many words each; the error bars are two standard errors. On the dashed
    line the confidence equals the share.
    """
    confidence, correct = np.asarray(confidence, dtype=float), np.asarray(correct, dtype=float)
    ax = axes_or_new(ax, width=4.0, height=3.2)
    ax.plot([0, 1], [0, 1], linestyle="--", color=GREY)
    parts = [part for part in np.array_split(np.argsort(confidence, kind="stable"), bins) if len(part)]
    x, y = ([float(values[part].mean()) for part in parts] for values in (confidence, correct))
    spread = [2 * (p * (1 - p) / len(part)) ** 0.5 for p, part in zip(y, parts, strict=True)]
    ax.errorbar(x, y, yerr=spread, color=BLUE, marker="o", markersize=4, capsize=2)
    ax.set(xlabel="confidence", ylabel="share that is right", xlim=(0, 1.02), ylim=(0, 1.05))
    ax.grid(alpha=0.3)
    return ax


def plot_seeds(
    table: Mapping[str, Mapping[str, Sequence[float]]],
    measured: Mapping[str, Mapping[str, float]],
    measure: str,
    ax: Axes | None = None,
) -> Axes:
    """Plot what several seeds gave as dots, a row per name, and this run as a circle over them. Lesson 08.

    ``table`` is {measure: {name: one value per seed}}, see ``asrlib.teaching.seeds.five_seeds``; ``measured``
    {measure: {name: this run's value}}. ``measure``, with its unit, is the axis' label.
    """
    own, seeds = measured[measure], table.get(measure, {})
    ax = axes_or_new(ax, width=7.0, height=0.34 * len(own) + 1.0)
    for row, (name, value) in enumerate(own.items()):
        values = seeds.get(name, [])
        ax.plot(values, [row] * len(values), "o", color=GREY, alpha=0.6, markersize=6,
                label=None if row or not values else f"{len(values)} seeds")  # fmt: skip
        ax.plot(value, row, "o", color=ORANGE, markersize=11, fillstyle="none", markeredgewidth=2,
                label=None if row else "this run")  # fmt: skip
    ax.set(yticks=range(len(own)), yticklabels=list(own), ylim=(len(own) - 0.5, -0.5), xlabel=measure)
    ax.grid(axis="x", alpha=0.3)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False)
    return ax


def plot_contexts(
    curves: Mapping[str, Mapping[float, Sequence[float]]],
    ylabel: str = "WER (%)",
    ax: Axes | None = None,
) -> Axes:
    """Plot error rates over the context, a line through the means and a dot per repeat. Lesson 15.

    ``curves`` is {name: {seconds: rates}}. The axis of seconds is logarithmic;
    a context whose label would touch that of the next has none.
    """
    ax = axes_or_new(ax, width=7.0, height=3.4)
    for color, (name, curve) in zip(_COLORS, curves.items(), strict=False):
        lengths = sorted(curve)
        means = [float(np.mean(curve[length])) for length in lengths]
        ax.plot(lengths, means, color=color, label=name)
        dots = [(length, rate) for length in lengths for rate in curve[length]]
        ax.plot(*zip(*dots, strict=True), "o", color=color, markersize=4, alpha=0.5)
    ax.set_xscale("log", base=2)
    shown = sorted({length for curve in curves.values() for length in curve})
    apart = [a for a, b in zip(shown, [*shown[1:], math.inf], strict=True) if b > 1.5 * a]
    ax.set_xticks(apart, [_duration(seconds) for seconds in apart], fontsize=8)
    ax.minorticks_off()
    ax.set(xlabel="context", ylabel=ylabel)
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8, frameon=False)
    return ax


_COLORS = (BLUE, ORANGE, GREY, "#1b7837", "#762a83", "#000000")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.0f} h"
