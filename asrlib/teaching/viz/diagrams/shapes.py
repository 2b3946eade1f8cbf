"""What all diagrams are made of: a canvas in inches, boxes, arrows, and notes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from asrlib.extras import extra
from asrlib.teaching.viz.axes import BLUE, GREY, ORANGE, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

SMALL, NORMAL = 9.0, 10.0  # points
PALE = {BLUE: "#dce9f5", ORANGE: "#fde5d2", GREY: "#eeeeee"}  # what fills a box with an edge of that color
Point = tuple[float, float]


def canvas(ax: Axes | None, width: float, height: float) -> Axes:
    """Return axes without ticks from (0, 0) to (width, height), in inches if ``ax`` is None."""
    ax = axes_or_new(ax, width, height)
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    ax.set_axis_off()
    return ax


def box(
    ax: Axes,
    center: Point,
    text: str,
    width: float = 1.1,
    height: float = 0.45,
    color: str = BLUE,
    size: float = NORMAL,
    strong: bool = False,
    **style: Any,
) -> Text:
    """Draw a box with rounded corners around a text, and return the text.

    ``strong`` gives it a thick edge and bold letters; ``style`` goes to the patch.
    """
    with extra("lab"):
        from matplotlib.patches import FancyBboxPatch

    x, y = center
    patch = FancyBboxPatch(
        (x - width / 2, y - height / 2),
        width,
        height,
        boxstyle="round,pad=0,rounding_size=0.07",
        **{"edgecolor": color, "facecolor": PALE[color], "linewidth": 2.6 if strong else 1.2} | style,
    )
    ax.add_patch(patch)
    weight = "bold" if strong else "normal"
    return ax.text(x, y, text, ha="center", va="center", fontsize=size, fontweight=weight, gid="in a box")


def arrow(
    ax: Axes, points: Sequence[Point], color: str = GREY, width: float = 1.5, style: str = "-|>"
) -> None:
    """Draw a line through the points, with a head at the last."""
    *before, tail, head = points
    if before:
        ax.plot(*zip(*before, tail, strict=True), color=color, linewidth=width, solid_joinstyle="round")
    look = {"arrowstyle": style, "color": color, "linewidth": width, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", head, tail, arrowprops=look | {"mutation_scale": 11})


def note(ax: Axes, at: Point, text: str, color: str = "black", size: float = SMALL, **style: Any) -> Text:
    """Write a text beside a diagram, centered at a point unless ``style`` says otherwise; return it."""
    return ax.text(*at, text, **{"ha": "center", "va": "center", "color": color, "fontsize": size} | style)
