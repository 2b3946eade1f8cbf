"""Error rates of groups of people: by accent, sex, age, or any other column of a manifest. Lesson 13.

    groups = group_of(cuts, "accent")                  {id of an utterance: its group}
    for row in rates_by_group(cuts, pairs, groups):    a rate per group, with an interval
        print(row.group, row.words.rate, row.low, row.high)

Errors of one speaker go together, so a rate is as certain as its number of speakers lets it be. The intervals
therefore draw speakers, with replacement, and not utterances (Bisani & Ney 2004, with speakers as the units).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from asrlib.data import shar
from asrlib.errors import InputError
from asrlib.metrics import ErrorRate, word_error_rate

if TYPE_CHECKING:
    from lhotse import CutSet
    from lhotse.cut import Cut

ALL = "all"
UNKNOWN = "not given"
DRAWS = 2000
# espeak-ng's voices, such as en-us+f3: the accent is the part before the sign
_VOICE = re.compile(r"([a-z][a-z0-9-]*)\+\w+")


class GroupRate(NamedTuple):
    """The word error rate of a group, and its 95 % interval in percent.

    ``low`` and ``high`` are None if the group has a single speaker, if a speaker is not named, and if there
    is no error: all draws are then alike, and say nothing of the errors of others.
    """

    group: str
    speakers: int
    utterances: int
    words: ErrorRate
    low: float | None
    high: float | None


def group_of(cuts: CutSet, column: str) -> dict[str, str]:
    """Return the group of every utterance, by id: what ``column`` says of it.

    ``column`` is ``speaker``, or a column of the manifest, or a field of lhotse's supervisions, such as
    ``gender`` or ``language``. The accent of a synthetic voice is part of its name. Utterances of which it
    says nothing are in the group ``UNKNOWN``. Raises ``InputError`` if it says nothing of any of them.
    """
    found = {cut.id: _value(cut, column) for cut in shar.without_audio(cuts)}
    if not any(found.values()):
        raise InputError(
            f"the corpus does not say the {column} of any utterance: give manifest.tsv a column {column}"
        )
    return {name: value or UNKNOWN for name, value in found.items()}


def rates_by_group(
    cuts: CutSet, pairs: Mapping[str, tuple[str, str]], groups: Mapping[str, str], seed: int = 0
) -> list[GroupRate]:
    """Return the error rate of all utterances together, and then of each group, sorted by name.

    ``pairs`` has the reference and the hypothesis of each utterance, by id, as ``groups`` has its group. A
    group whose references have no words is left out.
    """
    speakers = {cut.id: cut.supervisions[0].speaker for cut in shar.without_audio(cuts)}
    members: dict[str, list[str]] = {}
    for name in pairs:
        members.setdefault(groups[name], []).append(name)
    rows = []
    # a column may have the value "all"
    for group, names in [(ALL, list(pairs)), *sorted(members.items())]:
        if any(pairs[name][0].strip() for name in names):
            rows.append(_rate(group, names, pairs, speakers, np.random.default_rng(seed)))
    return rows


def format_groups(column: str, rows: Iterable[GroupRate]) -> str:
    """Return the rates as a table with tabs; an interval that is not known is a dash."""
    lines = [f"{column}\tspeakers\tutterances\twords\tWER %\t95 % interval over speakers"]
    for row in rows:
        interval = "-" if row.low is None else f"{row.low:.1f} to {row.high:.1f}"
        counts = f"{row.speakers}\t{row.utterances}\t{row.words.length}"
        lines.append(f"{row.group}\t{counts}\t{row.words.rate:.2f}\t{interval}")
    return "\n".join(lines)


def _value(cut: Cut, column: str) -> str | None:
    supervision = cut.supervisions[0]
    if column == "speaker":
        return supervision.speaker
    for place in (cut.custom, supervision.custom):
        if place and place.get(column) is not None:
            return str(place[column])
    if column in ("gender", "language") and getattr(supervision, column) is not None:
        return str(getattr(supervision, column))
    if column == "accent" and (voice := _VOICE.fullmatch(supervision.speaker or "")):
        return voice[1]
    return None


def _rate(
    group: str,
    names: list[str],
    pairs: Mapping[str, tuple[str, str]],
    speakers: Mapping[str, str | None],
    draw: np.random.Generator,
) -> GroupRate:
    by_speaker: dict[str | None, list[str]] = {}
    for name in names:
        by_speaker.setdefault(speakers[name], []).append(name)
    whole = _errors(names, pairs)
    counts = np.array([_counts(part, pairs) for part in by_speaker.values()])
    low = high = None
    if len(by_speaker) > 1 and None not in by_speaker and counts[:, 0].any():
        n = len(counts)  # one draw after another: all at once would take gigabytes for 15,000 speakers
        errors, words = np.array([counts[draw.integers(0, n, n)].sum(0) for _ in range(DRAWS)]).T
        rates = 100.0 * errors[words > 0] / words[words > 0]
        low, high = map(float, np.percentile(rates, [2.5, 97.5]))
    return GroupRate(group, len(by_speaker), len(names), whole, low, high)


def _errors(names: list[str], pairs: Mapping[str, tuple[str, str]]) -> ErrorRate:
    return word_error_rate([pairs[name][0] for name in names], [pairs[name][1] for name in names])


def _counts(names: list[str], pairs: Mapping[str, tuple[str, str]]) -> tuple[int, int]:
    """Return the errors and words of a speaker, who may have said no word of the references."""
    if not any(pairs[name][0].strip() for name in names):
        return sum(len(pairs[name][1].split()) for name in names), 0
    rate = _errors(names, pairs)
    return rate.substitutions + rate.deletions + rate.insertions, rate.length
