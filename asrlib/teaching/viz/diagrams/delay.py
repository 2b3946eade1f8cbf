"""Where the time goes between a word and its text: a stacked bar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from asrlib.errors import InputError
from asrlib.extras import extra
from asrlib.teaching.viz.axes import BLUE, GREY, ORANGE, axes_or_new
from asrlib.teaching.viz.diagrams.shapes import PALE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch

_HATCHES = ("", "//", "..", "\\\\", "xx")


def latency_bar(systems: Mapping[str, Mapping[str, float]], ax: Axes | None = None) -> Axes:
    """Draw what the delay of each system consists of, in milliseconds, end to end. Lesson 12.

    ``systems`` is {system: {part: ms}}, the first on top. Parts of one name share a color and a hatching.
    Each bar ends with its sum. Raises ``InputError`` for a negative part.
    """
    ax = axes_or_new(ax, 9.0, 0.6 * len(systems) + 1.3)
    names = list(dict.fromkeys(part for parts in systems.values() for part in parts))
    longest = max((sum(parts.values()) for parts in systems.values()), default=0.0) or 1.0
    for row, (system, parts) in enumerate(systems.items()):
        start = 0.0
        for part, ms in parts.items():
            if ms < 0:
                raise InputError(f"{system}: {part} takes {ms} ms; a delay is not negative")
            n = names.index(part)
            color = (BLUE, ORANGE, GREY)[n % 3]
            style = {"facecolor": PALE[color], "edgecolor": color, "hatch": _HATCHES[n // 3 % len(_HATCHES)]}
            ax.barh(row, ms, left=start, height=0.6, **style)
            if ms > 0.06 * longest:
                look = {"facecolor": "white", "edgecolor": "none", "pad": 1}
                ax.text(start + ms / 2, row, f"{ms:.0f}", ha="center", va="center", fontsize=9, bbox=look)
            start += ms
        ax.text(start, row, f"  {start:.0f} ms", ha="left", va="center", fontsize=10, fontweight="bold")
    ax.set(yticks=range(len(systems)), yticklabels=list(systems), ylim=(len(systems) - 0.5, -0.5))
    ax.set(xlabel="delay (ms)", xlim=(0, 1.15 * longest))
    ax.legend(handles=[_key(n, name) for n, name in enumerate(names)], fontsize=9, frameon=False,
              loc="lower left", bbox_to_anchor=(0, 1), ncols=min(len(names), 4))  # fmt: skip
    return ax


def _key(n: int, name: str) -> Patch:
    with extra("lab"):
        from matplotlib.patches import Patch

    color = (BLUE, ORANGE, GREY)[n % 3]
    return Patch(facecolor=PALE[color], edgecolor=color, hatch=_HATCHES[n // 3 % len(_HATCHES)], label=name)
