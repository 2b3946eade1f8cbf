"""What a loss sums over: CTC's collapse rule and trellis, the transducer's three networks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from asrlib.errors import InputError
from asrlib.teaching.viz.axes import BLUE, GREY, ORANGE
from asrlib.teaching.viz.diagrams.shapes import NORMAL, arrow, box, canvas, note

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLANK = "∅"


def collapse_funnel(paths: Sequence[Sequence[str]], ax: Axes | None = None) -> Axes:
    """Draw how paths become texts: merge equal neighbors, then drop the blanks. Lesson 06.

    Each path is a label per frame, with "∅" for blank: a string, or a list of names.
    """
    merged = [tuple(label for label, _ in groupby(path)) for path in paths]
    texts = [tuple(label for label in labels if label != BLANK) for labels in merged]
    columns = [list(map(tuple, paths)), merged, texts]
    different = [list(dict.fromkeys(column)) for column in columns]
    height = 0.42 * len(different[0]) + 0.75
    ax = canvas(ax, 9.3, height)
    where = [
        {name: height - 0.45 - (n + 0.5) * (height - 0.5) / len(names) for n, name in enumerate(names)}
        for names in different
    ]
    xs, widths = (1.5, 4.8, 8.0), (1.9, 1.7, 1.1)
    titles = ("paths, a label per frame", "equal neighbors merged", "blanks dropped")
    for x, title in zip(xs, titles, strict=True):
        note(ax, (x, height - 0.15), title, fontweight="bold")
    for n in (0, 1):
        for tail, head in dict.fromkeys(zip(columns[n], columns[n + 1], strict=True)):
            ends = (
                (xs[n] + widths[n] / 2, where[n][tail]),
                (xs[n + 1] - widths[n + 1] / 2, where[n + 1][head]),
            )
            arrow(ax, ends, width=1.2)
    for n, color in enumerate((GREY, BLUE, ORANGE)):
        for name, y in where[n].items():
            box(ax, (xs[n], y), " ".join(name) or "(empty)", widths[n], 0.32, color, strong=n == 2)
    return ax


def ctc_trellis(labels: Sequence[str], frames: int, ax: Axes | None = None) -> Axes:
    """Draw CTC's trellis of a text over frames, with its three kinds of moves. Lesson 06.

    Rows are the states, blanks around each label. Only nodes and moves on a whole path are drawn: those that
    stay in gray, steps in blue, dashed, skips in orange. Raises ``InputError`` if there are too few frames.
    """
    states = [BLANK] + [state for label in labels for state in (label, BLANK)]
    moves = [
        (s, s + by)
        for by in (0, 1, 2)
        for s in range(len(states) - by)
        if by < 2 or (states[s + 2] != BLANK and states[s] != states[s + 2])
    ]
    alive = _on_a_path(moves, len(states), frames)
    if not alive[0]:
        raise InputError(f"{frames} frames are too few for the {len(labels)} labels: give more frames")
    high, wide = 0.62, min(1.3, 6.6 / max(frames - 1, 1))
    ax = canvas(ax, 9.3, high * len(states) + 0.65)
    at = [
        [(1.35 + t * wide, 0.55 + high * (len(states) - s - 0.5)) for s in range(len(states))]
        for t in range(frames)
    ]
    half = [0.12 + 0.045 * len(state) for state in states]
    looks = {0: (GREY, "-", "stay"), 1: (BLUE, "--", "step"), 2: (ORANGE, "-", "skip a blank")}
    for t in range(frames - 1):
        for start, end in moves:
            if start in alive[t] and end in alive[t + 1]:
                color, line, _ = looks[end - start]
                look = {"arrowstyle": "-|>", "color": color, "linestyle": line, "linewidth": 1.5}
                (x, y), (right, below) = at[t][start], at[t + 1][end]
                ends = (right - half[end], below), (x + half[start], y)
                ax.annotate("", *ends, arrowprops=look | {"shrinkA": 2, "shrinkB": 2, "mutation_scale": 10})
    for t, of_frame in enumerate(at):
        note(ax, (of_frame[0][0], 0.4), str(t))
        for s in alive[t]:
            ends = (t == 0) or (t == frames - 1)
            color = ORANGE if ends else GREY if states[s] == BLANK else BLUE
            box(ax, of_frame[s], states[s], 2 * half[s], 0.34, color, NORMAL, strong=ends)
    note(ax, (1.35 + (frames - 1) * wide / 2, 0.15), "frame t; thick edges: where paths start and end", GREY)
    for s, (_, y) in enumerate(at[0]):
        note(ax, (0.5, y), f"s = {s}   {states[s]}")
    for n, (color, line, text) in enumerate(looks.values()):
        y = 0.55 + high * len(states) - 0.35 - 0.35 * n
        ax.plot([8.0, 8.35], [y, y], color=color, linestyle=line, linewidth=2)
        note(ax, (8.42, y), text, color, ha="left")
    return ax


def _on_a_path(moves: list[tuple[int, int]], states: int, frames: int) -> list[list[int]]:
    """Return for each frame the states that some whole path is in."""
    forward = [{s for s in (0, 1) if s < states}]
    for _ in range(frames - 1):
        forward.append({end for start, end in moves if start in forward[-1]})
    backward = [{s for s in (states - 1, states - 2) if s >= 0}]
    for _ in range(frames - 1):
        backward.append({start for start, end in moves if end in backward[-1]})
    return [sorted(f & b) for f, b in zip(forward, reversed(backward), strict=True)]


def transducer(ax: Axes | None = None) -> Axes:
    """Draw the transducer's three networks and what each is given. Lesson 07; Graves 2012."""
    ax = canvas(ax, 9.3, 2.5)
    note(ax, (0.75, 1.95), "sound x", size=NORMAL)
    box(ax, (2.75, 1.95), "encoder\nwhat is heard", 1.6, 0.6)
    note(ax, (0.75, 0.75), "labels written\n$y_1 … y_u$", size=NORMAL)
    box(ax, (2.75, 0.75), "prediction network\nwhat was written", 1.6, 0.6)
    box(ax, (5.4, 1.35), "joint\nthe two together", 1.5, 0.6, ORANGE)
    box(ax, (7.35, 1.35), "softmax", 0.95, 0.45)
    note(ax, (8.75, 1.35), "P(k | t, u)", size=NORMAL)
    arrow(ax, [(1.2, 1.95), (1.95, 1.95)])
    arrow(ax, [(1.4, 0.75), (1.95, 0.75)])
    arrow(ax, [(3.55, 1.95), (4.3, 1.95), (4.65, 1.5)])
    arrow(ax, [(3.55, 0.75), (4.3, 0.75), (4.65, 1.2)])
    arrow(ax, [(6.15, 1.35), (6.87, 1.35)])
    arrow(ax, [(7.83, 1.35), (8.28, 1.35)])
    note(ax, (4.0, 2.12), "$h_t$", size=NORMAL)
    note(ax, (4.0, 0.58), "$g_u$", size=NORMAL)
    arrow(ax, [(8.75, 1.2), (8.75, 0.15), (0.75, 0.15), (0.75, 0.5)], ORANGE)
    note(ax, (5.85, 0.3), "a label was chosen: write it, u + 1, stay at frame t", ORANGE)
    arrow(ax, [(8.75, 1.52), (8.75, 2.4), (2.75, 2.4), (2.75, 2.27)], GREY)
    note(ax, (6.3, 2.26), f"{BLANK} was chosen: nothing to write, go on to frame t + 1", "#555555")
    return ax
