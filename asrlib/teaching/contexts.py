"""Word error rates against context: those that were published, and those of this kit. Lesson 15.

    published("6L-768D-6H rotary 1.5M", "tedlium", "test")    {seconds: [WER in percent, one per repeat]}
    measured("conformer-whistles", part="names")              the same, of the whistled recordings
    clearly_better(worse, better)                             beyond the scatter of the repeats?

The published rates are those of Flynn and Ragni 2024 (arXiv 2310.15672), from the paper's repository (Apache
2.0). ``asrlib recipe long-context`` measures the others again.
"""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Sequence
from functools import lru_cache

from asrlib.errors import InputError
from asrlib.files import assets

Curve = dict[float, list[float]]

PUBLISHED = "long-context-published.tsv"
MEASURED = "long-context.tsv"
FRAMES_PER_SECOND = 100


def published(model: str, dataset: str, split: str) -> Curve:
    """Return the published rates of a model: for each context in seconds, one per repeat, in percent.

    Data sets and splits are not to be pooled: they differ in difficulty by a factor of four, and not all of
    them were tested with all models. Raises ``InputError`` for what is not in the table.
    """
    found: Curve = {}
    for row in _rows(PUBLISHED):
        if (row["model"], row["dataset"], row["split"]) == (model, dataset, split):
            seconds = int(row["context_frames"]) / FRAMES_PER_SECOND
            found.setdefault(seconds, []).append(float(row["wer_percent"]))
    return _known(found, f"{model}, {dataset}, {split}", PUBLISHED)


def measured(model: str, part: str = "all", trained: float | None = 128.0, past: str = "intact") -> Curve:
    """Return this kit's rates in percent, one per seed, for each window of recognition in seconds.

    ``part`` is ``all``, ``words`` or ``names``. ``trained`` is the length of chunks in training, in seconds;
    None: those trained and tested with the same length. ``past`` is what came before the words that were
    tested, see `asrlib.training.context_recipe`. Raises ``InputError`` for what is not in the table.
    """
    found: Curve = {}
    for row in _rows(MEASURED):
        window, length = float(row["window_s"]), float(row["trained_s"])
        if (row["model"], row["part"], row["past"]) != (model, part, past):
            continue
        if length == (window if trained is None else trained):
            found.setdefault(window, []).append(100 * int(row["errors"]) / int(row["words"]))
    return _known(found, f"{model}, {part}, {past}", MEASURED)


def clearly_better(worse: Sequence[float], better: Sequence[float], errors: float = 2.0) -> bool:
    """Return whether one mean is below another by more than ``errors`` standard errors of the difference.

    With three repeats a standard error is itself uncertain by half: two of them are a rule of thumb, and
    Welch's t-test would ask for about three.
    """
    spread = math.sqrt(sum(statistics.variance(rates) / len(rates) for rates in (worse, better)))
    return statistics.mean(worse) - statistics.mean(better) > errors * spread


def saturation(curve: Curve, errors: float = 2.0) -> float:
    """Return the shortest context in seconds that no longer one is clearly better than.

    ``errors`` is that of `clearly_better`.
    """
    lengths = sorted(curve)
    for length in lengths:
        longer = [other for other in lengths if other > length]
        if not any(clearly_better(curve[length], curve[other], errors) for other in longer):
            return length
    raise AssertionError("nothing is longer than the longest")


@lru_cache(maxsize=4)
def _rows(name: str) -> tuple[dict[str, str], ...]:
    with open(assets() / name, encoding="utf-8") as file:
        return tuple(csv.DictReader(file, delimiter="\t"))


def _known(found: Curve, what: str, table: str) -> Curve:
    if not found:
        raise InputError(f"{table} has no rows for {what}")
    return dict(sorted(found.items()))
