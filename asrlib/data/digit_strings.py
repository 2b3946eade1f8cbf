"""Digit strings from recordings of many speakers, most of whom said only a few digits. Lesson 09.

`connected_digits` needs a speaker who said every digit. Here a string may mix speakers, so that a recording
of one word by one person is of use too. Words are drawn, not recordings, so that digits are equally frequent.
Recordings are cut closely, as those of real collections are: there, many a *six* has lost its first "s".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from asrlib.data.grammar import DIGITS
from asrlib.data.joining import Take, background, cut_closely, join, memory_cut
from asrlib.errors import InputError
from asrlib.extras import extra

if TYPE_CHECKING:  # importing lhotse takes seconds, so it happens inside the functions
    import lhotse

# share of the strings that are by one speaker, if that speaker said enough different digits
ONE_SPEAKER = 0.4
ENOUGH = 6
# standard deviation of the levels of the pieces of a string by several speakers, in decibels
LEVEL_DB = 3.0
# share of the strings of one word that have no pause before and after it
BARE = 0.6


@dataclass(frozen=True)
class Piece:
    """A recording of one or more words in a row, from the corpus ``source``."""

    words: tuple[str, ...]
    take: Take
    source: str
    speaker: str


def mixed_digits(
    pieces: Sequence[Piece],
    rate: int,
    n: int,
    seed: int = 0,
    longest: int = 7,
    waiting: float = 0.0,
    others: float = 0.0,
) -> "lhotse.CutSet":
    """Join ``pieces`` into ``n`` utterances of 1 to ``longest`` draws, by one speaker or by several.

    For each draw a digit is chosen, then a source that has it, in proportion to the square root of the median
    of its numbers of pieces with each digit, then one of these pieces. So a source with thousands of
    recordings of a few digits is not heard more often with these: the sound of its rooms would stand for
    them. ``others`` is the share of draws that choose a word that is no digit instead.
    ``rate`` is that of all pieces, in Hz. ``waiting`` is as in `join`. Pieces are cut as in `cut_closely`.
    The same arguments give the same utterances.

    Raises ``InputError`` if there are no pieces with digits or, where wanted, with ``others``, and for ``n``
    below 1.
    """
    with extra("train"):
        from lhotse import CutSet

    if n < 1:
        raise InputError(f"mixed_digits: n is {n}; it must be at least 1")
    everyone = _by_word(pieces, DIGITS)
    if not everyone:
        raise InputError("mixed_digits: there is no recording of digits")
    unlike = _by_word(pieces, sorted({word for piece in pieces for word in piece.words} - {*DIGITS}))
    if others and not unlike:
        raise InputError("mixed_digits: others is above 0, but every recording is of digits")
    speakers: dict[tuple[str, str], list[Piece]] = {}
    for piece in pieces:
        speakers.setdefault((piece.source, piece.speaker), []).append(piece)
    alone = [words for own in speakers.values() if len(words := _by_word(own, DIGITS)) >= ENOUGH]
    weights, weights_unlike = _source_weights(everyone), _source_weights(unlike)
    draw = np.random.default_rng(seed)
    cuts = []
    for index in range(n):
        single = bool(alone) and draw.random() < ONE_SPEAKER
        known = alone[draw.integers(len(alone))] if single else everyone
        chosen = []
        for _ in range(draw.integers(1, longest + 1)):
            if not single and draw.random() < others:
                chosen.append(_draw(unlike, weights_unlike, draw))
            else:
                chosen.append(_draw(known, weights, draw))
        parts = []
        for piece in chosen:
            take = cut_closely(piece.take.samples, rate, draw)
            parts.append((" ".join(piece.words), take if single else _leveled(take, draw)))
        if len(parts) == 1 and draw.random() < BARE:
            samples = parts[0][1].samples
        else:
            samples, _ = join(parts, background([take for _, take in parts]), rate, draw, waiting)
        text = " ".join(words for words, _ in parts)
        speaker = chosen[0].speaker if single else "several"
        cuts.append(memory_cut(f"mixed-{seed}-{index:05d}", samples, rate, speaker, text))
    return CutSet.from_cuts(cuts).to_eager()


def _by_word(pieces: Sequence[Piece], words: Iterable[str]) -> dict[str, dict[str, list[Piece]]]:
    """Return the pieces that contain a word, by word and source, in the order of ``words``."""
    found: dict[str, dict[str, list[Piece]]] = {}
    for word in words:
        for piece in pieces:
            if word in piece.words:
                found.setdefault(word, {}).setdefault(piece.source, []).append(piece)
    return found


def _source_weights(known: dict[str, dict[str, list[Piece]]]) -> dict[str, float]:
    """Return how often each source is drawn, in proportion; the same for all its digits."""
    counts: dict[str, list[int]] = {}
    for sources in known.values():
        for source, pieces in sources.items():
            counts.setdefault(source, []).append(len(pieces))
    # many recordings of one source must not hide the few of another, nor be worn out by repetition
    return {source: float(np.sqrt(np.median(numbers))) for source, numbers in counts.items()}


def _draw(
    known: dict[str, dict[str, list[Piece]]], weights: dict[str, float], draw: np.random.Generator
) -> Piece:
    words = list(known)
    sources = known[words[draw.integers(len(words))]]
    each = np.array([weights[source] for source in sources])
    pieces = list(sources.values())[draw.choice(len(sources), p=each / each.sum())]
    return pieces[draw.integers(len(pieces))]


def _leveled(take: Take, draw: np.random.Generator) -> Take:
    """Return a take at a common level, give or take `LEVEL_DB`."""
    energy = float(np.sqrt((take.samples**2).mean()))
    gain = 0.06 / max(energy, 1e-6) * 10 ** (draw.normal(0, LEVEL_DB) / 20)
    gain = min(gain, 1 / max(float(np.abs(take.samples).max()), 1e-6))
    return Take(take.samples * gain, take.before, take.after, take.noise * gain)
