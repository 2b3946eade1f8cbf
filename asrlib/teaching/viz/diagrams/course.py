"""Where the reader is: the course as a pipeline, and ContextNet among the kinds of recognizers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from asrlib.errors import InputError
from asrlib.teaching.viz.axes import BLUE, GREY, ORANGE
from asrlib.teaching.viz.diagrams.shapes import NORMAL, PALE, arrow, box, canvas, note

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class _Stage(NamedTuple):
    x: float
    y: float
    lessons: str


_WIDTH, _HEIGHT = 1.2, 0.42
_USED, _TRAINED = 1.73, 0.65  # the heights of the two rows
_STAGES = {
    "sound": _Stage(2.0, _USED, "00, 13"),
    "features": _Stage(3.65, _USED, "01"),
    "encoder": _Stage(5.3, _USED, "02–04, 15"),
    "search": _Stage(6.95, _USED, "06, 07, 11"),
    "text": _Stage(8.6, _USED, "00, 11"),
    "weights": _Stage(3.65, _TRAINED, "09, 10"),
    "loss": _Stage(5.3, _TRAINED, "06–08"),
    "tokens": _Stage(6.95, _TRAINED, "05, 14"),
    "transcript": _Stage(8.6, _TRAINED, ""),
}
_ROWS = {"shipping": (_USED, "shipping\n12"), "training": (_TRAINED, "training\n09, 10, 13")}


def pipeline(here: str | tuple[str, ...] = (), ax: Axes | None = None) -> Axes:
    """Draw a recognizer as it is used and as it is trained, and mark where a lesson is. All lessons.

    ``here`` names one stage or several: sound, features, encoder, search, text; weights, loss, tokens,
    transcript; or a whole row, shipping or training. Under each stage stand the lessons that explain it.
    Raises ``InputError`` for other names.
    """
    marked = (here,) if isinstance(here, str) else tuple(here)
    for name in marked:
        if name not in _STAGES and name not in _ROWS:
            raise InputError(f"here is {name!r}; use {', '.join([*_STAGES, *_ROWS])}")
    ax = canvas(ax, 9.3, 2.15)
    for name, (y, title) in _ROWS.items():
        strong = name in marked
        _row(ax, y, title, strong)
    for name, (x, y, lessons) in _STAGES.items():
        strong = name in marked
        box(ax, (x, y), name, _WIDTH, _HEIGHT, ORANGE if strong else BLUE, strong=strong)
        look = {"color": ORANGE, "fontweight": "bold"} if strong else {"color": GREY}
        note(ax, (x, y - 0.34), lessons, **look)
        if strong:  # above in the upper row, as arrows leave below it
            note(ax, (x, y + (0.31 if y == _USED else -0.49 if lessons else -0.34)), "you are here", **look)
    across = [("sound", "features"), ("features", "encoder"), ("encoder", "search"), ("search", "text")]
    for tail, head in [*across, ("transcript", "tokens"), ("tokens", "loss"), ("loss", "weights")]:
        side = _WIDTH / 2 if _STAGES[head].x > _STAGES[tail].x else -_WIDTH / 2
        y = _STAGES[tail].y
        arrow(ax, [(_STAGES[tail].x + side, y), (_STAGES[head].x - side, y)])
    top, bottom = _USED - _HEIGHT / 2, _TRAINED + _HEIGHT / 2
    arrow(ax, [(_STAGES["encoder"].x + 0.5, top), (_STAGES["loss"].x + 0.5, bottom)])
    arrow(ax, [(_STAGES["weights"].x + 0.4, bottom), (_STAGES["encoder"].x - 0.5, top)])
    return ax


def _row(ax: Axes, y: float, title: str, strong: bool) -> None:
    with_edge = {"edgecolor": ORANGE if strong else PALE[GREY], "facecolor": "#f7f7f7", "zorder": 0}
    middle, height = (y - 0.02, 0.85) if y == _USED else (y - 0.14, 0.94)
    box(ax, (4.65, middle), "", 9.2, height, GREY, strong=strong, **with_edge)
    color = ORANGE if strong else "black"
    text = f"{title}\nyou are here" if strong else title
    note(ax, (0.68, y - 0.06), text, color, NORMAL if not strong else 9, fontweight="bold")


class _System(NamedTuple):
    name: str
    year: int
    family: int  # counted from the top
    above: bool = True  # on which side of its family's line the name stands
    align: str = "center"


_FAMILIES = (
    "hidden Markov models:\nsound, lexicon and text apart",
    "CTC: one label per frame,\nblank included (lesson 06)",
    "transducer: also reads what\nit has written (lesson 07)",
    "attention decoder: writes text\nlike a language model",
)
_SYSTEMS = (
    _System("Dragon, IBM", 1976, 0),
    _System("tutorial by Rabiner", 1989, 0, False),
    _System("deep networks\nin HMMs", 2012, 0),
    _System("CTC", 2006, 1),
    _System("Deep Speech", 2014, 1),
    _System("wav2vec 2.0", 2020, 1),
    _System("RNN-T", 2012, 2),
    _System("on phones", 2019, 2, False, "right"),
    _System("ContextNet,\nConformer", 2020, 2),
    _System("FastConformer,\nZipformer", 2023, 2, False),
    _System("Listen, Attend\nand Spell", 2015, 3),
    _System("Speech-\nTransformer", 2018, 3, False),
    _System("Whisper", 2022, 3),
)
_OURS = "ContextNet,\nConformer"
_SCALE = ((1970, 2.55), (2004, 4.3), (2026, 9.1))  # years and inches: the last two decades take more room


def asr_map(ax: Axes | None = None) -> Axes:
    """Draw the families of speech recognizers over the years, from HMMs to Whisper. Lesson 00."""
    ax = canvas(ax, 9.3, 4.1)
    for family, text in enumerate(_FAMILIES):
        y = _height(family)
        first = min(system.year for system in _SYSTEMS if system.family == family)
        box(ax, (1.15, y), text, 2.2, 0.5, ORANGE if family == 2 else GREY, 9, strong=False)
        arrow(ax, [(_inches(first), y), (9.2, y)], ORANGE if family == 2 else GREY, 2)
    for name, year, family, above, align in _SYSTEMS:
        color = ORANGE if name == _OURS else BLUE
        ax.plot(_inches(year), _height(family), "s" if name == _OURS else "o", color=color, markersize=8)
        y = _height(family) + (0.1 if above else -0.12)
        weight = "bold" if name == _OURS else "normal"
        note(
            ax, (_inches(year), y), name, color, va="bottom" if above else "top", ha=align, fontweight=weight
        )
    for year in (1975, 1990, 2006, 2010, 2015, 2020, 2025):
        note(ax, (_inches(year), 0.12), str(year), GREY)
        ax.plot([_inches(year)] * 2, [0.28, 3.95], color="#dddddd", linewidth=0.8, zorder=0)
    return ax


def _height(family: int) -> float:
    return 3.55 - family * 0.93


def _inches(year: float) -> float:
    (a, left), (b, middle), (c, right) = _SCALE
    if year <= b:
        return left + (year - a) / (b - a) * (middle - left)
    return middle + (year - b) / (c - b) * (right - middle)
