"""What all plots share: the colors, and new axes where none are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asrlib.extras import extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# blue and orange that stay apart in grey and for color-blind readers
BLUE, ORANGE, GREY = "#0b5394", "#d95f02", "#777777"


def axes_or_new(ax: Axes | None, width: float = 9.0, height: float = 2.6) -> Axes:
    """Return ``ax``, or the axes of a new figure of ``width`` by ``height`` inches."""
    if ax is None:
        with extra("lab"):
            import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    return ax
