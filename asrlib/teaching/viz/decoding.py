"""Plots of what a search finds, and when. Lessons 07, 08 and 11."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from asrlib.teaching.viz.axes import BLUE, GREY, ORANGE, axes_or_new
from asrlib.teaching.viz.signal import mark_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_emissions(
    rows: Sequence[tuple[str, Sequence[str], Sequence[float]]],
    words: Iterable[tuple[str, float, float]] = (),
    ax: Axes | None = None,
) -> Axes:
    """Plot when recognizers emit their labels, over the words that were spoken. Lesson 08.

    ``rows`` are (name, labels, seconds), the first on top; ``words`` are (word, start, end) in seconds.
    """
    ax = axes_or_new(ax, height=0.5 * len(rows) + 0.9)
    for y, (_, labels, times) in enumerate(rows):
        color = (BLUE, ORANGE, GREY)[y % 3]
        ax.plot(times, [y] * len(times), "|", markersize=14, markeredgewidth=2, color=color)
        beside = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
        for label, time in zip(labels, times, strict=True):
            ax.annotate(label, (time, y), fontsize=8, color=color, **beside)
    ax.set(yticks=range(len(rows)), yticklabels=[name for name, _, _ in rows], ylim=(len(rows) - 0.5, -0.5))
    ax.set(xlabel="time (s)")
    return mark_words(words, ax)


def plot_hypotheses(hypotheses: Sequence[tuple[str, float]], ax: Axes | None = None) -> Axes:
    """Plot a beam's texts, given with natural log probabilities, as bars of probability. Lesson 07.

    The best stands on top.
    """
    ax = axes_or_new(ax, height=0.3 * len(hypotheses) + 0.7)
    ax.barh(range(len(hypotheses)), [np.exp(score) for _, score in hypotheses], color=BLUE, alpha=0.35)
    for row, (text, score) in enumerate(hypotheses):
        ax.text(
            0.01,
            row,
            f"{text or '(nothing yet)'}   ln P = {round(score, 2) + 0.0:.2f}",
            va="center",
            fontsize=9,
        )
    ax.set(xlim=(0, 1), xlabel="probability", yticks=range(len(hypotheses)))
    ax.set(yticklabels=[f"{rank + 1}." for rank in range(len(hypotheses))])
    ax.invert_yaxis()
    return ax


def plot_costs(hypotheses: Sequence[tuple[str, dict[str, float]]], ax: Axes | None = None) -> Axes:
    """Plot texts with the parts of their cost in nats, one bar after the other. Lesson 11.

    A part below zero, a bonus, leads back. The black line is the sum; the lowest sum wins.
    """
    ax = axes_or_new(ax, height=0.3 * len(hypotheses) + 0.9)
    for row, (text, parts) in enumerate(hypotheses):
        start = 0.0
        for n, (part, cost) in enumerate(parts.items()):
            color = (BLUE, ORANGE, GREY)[n % 3]
            ax.barh(row, cost, left=start, color=color, alpha=0.4, label=part if row == 0 else None)
            start += cost
        ax.plot([start, start], [row - 0.4, row + 0.4], color="black", linewidth=2)
        ax.text(0.01, row, f"{text or '(nothing yet)'}   {start:.2f}", va="center", fontsize=9,
                transform=ax.get_yaxis_transform())  # fmt: skip
    ax.set(xlabel="cost, −ln (nats)", yticks=range(len(hypotheses)))
    ax.set(yticklabels=[f"{rank + 1}." for rank in range(len(hypotheses))])
    ax.invert_yaxis()
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False)
    return ax
