"""The parts of ContextNet: separable convolution, squeeze-and-excitation, the block, the stack."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from asrlib.extras import extra
from asrlib.teaching.viz.axes import BLUE, GREY, ORANGE
from asrlib.teaching.viz.diagrams.shapes import PALE, Point, arrow, box, canvas, note

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from asrlib.models.contextnet_blocks import BlockConfig

_CELL = 0.24  # inches
_RGB = (0x0B / 255, 0x53 / 255, 0x94 / 255)  # BLUE, to be mixed with white


def separable_convolution(
    kernel: int = 3, channels_in: int = 4, channels_out: int = 5, ax: Axes | None = None
) -> Axes:
    """Draw what one output of a depthwise and of a pointwise convolution is computed from. Lesson 02.

    Each square is a number; time runs to the right, channels upwards. ``kernel`` is odd.
    """
    frames = kernel + 4
    cell = min(_CELL, 6.4 / (3 * frames))
    width, low = frames * cell, 0.72 + max(channels_in, channels_out) * cell / 2
    ax = canvas(ax, 9.3, 2 * low - 0.36)
    lefts = [0.45, 0.45 + (8.4 - width) / 2, 8.85 - width]
    middle, channel, half = frames // 2, channels_in // 2, kernel // 2
    heights = [channels_in, channels_in, channels_out]
    corner = [(left, low - height * cell / 2) for left, height in zip(lefts, heights, strict=True)]
    reads = {(t, channel) for t in range(middle - half, middle + half + 1)}
    draw = functools.partial(_grid, ax, cell=cell)
    draw(corner[0], frames, channels_in, lambda t, c: ORANGE if (t, c) in reads else GREY)
    column = {(middle, c) for c in range(channels_in)}
    colors = dict.fromkeys(column, BLUE) | {(middle, channel): ORANGE}
    draw(corner[1], frames, channels_in, lambda t, c: colors.get((t, c), GREY))
    written = {(middle, c) for c in range(channels_out)}
    draw(corner[2], frames, channels_out, lambda t, c: BLUE if (t, c) in written else GREY)
    for n, text in enumerate(("input", "after depthwise", "after pointwise")):
        note(ax, (lefts[n] + width / 2, 2 * low - 0.5), text, size=10)
        note(ax, (lefts[n] + width / 2, 0.53), "time (frames)", GREY)
        note(ax, (lefts[n] - 0.17, low), "channels", GREY, rotation=90)
    for n, color in enumerate((ORANGE, BLUE)):
        arrow(ax, [(lefts[n] + width + 0.1, low), (lefts[n + 1] - 0.36, low)], color, 2.2)
    between = [(lefts[n] + width + lefts[n + 1] - 0.26) / 2 for n in (0, 1)]
    note(ax, (between[0], 0.18), f"depthwise: {kernel} frames, its own channel only\n"
         f"{channels_in} · {kernel} = {channels_in * kernel} weights", ORANGE)  # fmt: skip
    note(ax, (between[1], 0.18), f"pointwise: one frame, all channels\n"
         f"{channels_in} · {channels_out} = {channels_in * channels_out} weights", BLUE)  # fmt: skip
    return ax


def squeeze_excitation(channels: int = 8, bottleneck: int = 2, ax: Axes | None = None) -> Axes:
    """Draw squeeze-and-excitation: the mean over time, two linear layers, a gate per channel. Lesson 03."""
    frames = 10
    ax = canvas(ax, 9.3, 2.75)
    low = 0.42
    top, width = low + channels * _CELL, frames * _CELL
    middle = (low + top) / 2
    gates = [(3 * c + 2) % channels / (channels - 1) for c in range(channels)]
    _grid(ax, (0.35, low), frames, channels, lambda t, c: GREY)
    _grid(ax, (3.75, low), 1, channels, lambda t, c: BLUE)
    _grid(ax, (5.1, middle - bottleneck * _CELL / 2), 1, bottleneck, lambda t, c: BLUE)
    for left, columns in ((6.45, 1), (9.2 - 5 * _CELL, 5)):
        _grid(ax, (left, low), columns, channels, lambda t, c: GREY, lambda c: (*_RGB, gates[c]))
    for left, right, text in (
        (0.35 + width, 3.75, "mean over\nall frames"),
        (3.75 + _CELL, 5.1, "linear,\nswish"),
        (5.1 + _CELL, 6.45, "linear,\nsigmoid"),
        (6.45 + _CELL, 9.2 - 5 * _CELL, "times x,\nframe by frame"),
    ):
        arrow(ax, [(left + 0.06, middle), (right - 0.06, middle)])
        note(ax, ((left + right) / 2, middle + 0.3), text)
    arrow(ax, [(0.35 + width / 2, low - 0.04), (0.35 + width / 2, 0.2), (7.35, 0.2), (7.35, middle - 0.08)])
    for x, text in (
        (0.35 + width / 2, "x: channels × frames"),
        (3.75 + _CELL / 2, "squeezed"),
        (5.1 + _CELL / 2, f"{channels} → {bottleneck}"),
        (6.45 + _CELL / 2, "gates, 0 to 1"),
        (9.2 - 2.5 * _CELL, "x, gated"),
    ):
        note(ax, (x, top + 0.16), text)
    return ax


def contextnet_block(layers: int = 5, stride: int = 1, ax: Axes | None = None) -> Axes:
    """Draw a block of ContextNet: act(SE(f(f(... x))) + P(x)). Lesson 04; Han et al. 2020, section 2.2."""
    ax = canvas(ax, 9.3, 2.3)
    y, low = 1.55, 0.45
    frame = {"edgecolor": GREY, "facecolor": "#f7f7f7", "linestyle": "--", "zorder": 0}
    box(ax, (3.0, y), "", 4.05, 0.78, GREY, **frame)
    last = f"; the last has stride {stride}" if stride > 1 else ""
    note(ax, (3.0, y + 0.55), f"f, {layers} in a row{last}" if layers > 1 else f"f, once{last}")
    note(ax, (0.35, y), "x", size=11, fontstyle="italic")
    for x, text, width in (
        (1.75, "separable\nconvolution", 1.15),
        (3.1, "batch\nnorm", 0.9),
        (4.3, "swish", 0.9),
    ):
        box(ax, (x, y), text, width, 0.5)
    box(ax, (5.75, y), "SE\n(all frames)", 1.1, 0.5, ORANGE)
    box(ax, (8.3, y), "swish", 0.9, 0.5)
    note(ax, (9.15, y), "y", size=11, fontstyle="italic")
    for left, right in (
        (0.45, 1.17),
        (2.33, 2.65),
        (3.55, 3.85),
        (4.75, 5.2),
        (6.3, 6.92),
        (7.28, 7.85),
        (8.75, 9.07),
    ):
        arrow(ax, [(left, y), (right, y)])
    box(ax, (7.1, y), "+", 0.34, 0.34, GREY, 12)
    box(ax, (3.9, low), "pointwise convolution" + (f",\nstride {stride}" if stride > 1 else ""), 1.75, 0.5)
    box(ax, (5.5, low), "batch\nnorm", 0.9, 0.5)
    arrow(ax, [(0.65, y), (0.65, low), (3.02, low)])
    arrow(ax, [(4.78, low), (5.05, low)])
    arrow(ax, [(5.95, low), (7.1, low), (7.1, y - 0.18)])
    note(ax, (1.8, low + 0.15), "P, the shortcut")
    return ax


def contextnet_stack(blocks: Sequence[BlockConfig], alpha: float = 1.0, ax: Axes | None = None) -> Axes:
    """Draw an encoder's blocks as columns as high as they have channels, over their frame rates. Lesson 04.

    Letters stand at blocks that halve the frame rate or change the number of channels; a feature frame is
    taken to last 10 ms.
    """
    ax = canvas(ax, 9.3, 2.7)
    widths = [int(block.filters * alpha) for block in blocks]
    room = 8.1 / len(blocks)
    rates, rate = [], 10
    for block in blocks:
        rate *= block.stride
        rates.append(rate)
    note(ax, (0.5, 1.3), "features\n80 mel bins", GREY)
    for n, block in enumerate(blocks):
        x, height = 1.15 + (n + 0.5) * room, 1.45 * widths[n] / max(widths)
        color = ORANGE if block.stride > 1 else BLUE
        box(ax, (x, 0.62 + height / 2), "", 0.74 * room, height, color)
        note(ax, (x, 0.48), str(n), ORANGE if block.stride > 1 else "black")
        if block.stride > 1:
            note(ax, (x, 0.62 + height + 0.12), f"÷{block.stride}", ORANGE, 10, fontweight="bold")
    for value, group in groupby(range(len(blocks)), key=lambda n: rates[n]):
        numbers = list(group)
        left, right = 1.15 + numbers[0] * room + 0.04, 1.15 + (numbers[-1] + 1) * room - 0.04
        ax.plot([left, left, right, right], [0.36, 0.31, 0.31, 0.36], color=GREY)
        note(
            ax,
            ((left + right) / 2, 0.16),
            f"a frame every {value} ms" if right - left > 1.5 else f"{value} ms",
        )
    for value, group in groupby(range(len(blocks)), key=lambda n: widths[n]):
        numbers = list(group)
        x = 1.15 + (numbers[0] + numbers[-1] + 1) / 2 * room
        note(ax, (x, 2.5), f"{value} channels" if len(numbers) * room > 1.0 else str(value))
    return ax


def _grid(
    ax: Axes,
    corner: Point,
    columns: int,
    rows: int,
    color_of: Callable[[int, int], str],
    fill: Callable[[int], Any] | None = None,
    cell: float = _CELL,
) -> None:
    """Draw squares from the lower left corner on, each filled with the pale tint of its color.

    ``fill`` gives each row's color of its own.
    """
    with extra("lab"):
        from matplotlib.patches import Rectangle

    for column in range(columns):
        for row in range(rows):
            color = color_of(column, row)
            at = corner[0] + column * cell, corner[1] + row * cell
            style = {
                "facecolor": fill(row) if fill else PALE[color],
                "edgecolor": color,
                "linewidth": 0.6 if color == GREY else 1.4,
            }
            ax.add_patch(Rectangle(at, cell, cell, zorder=1 if color == GREY else 2, **style))
