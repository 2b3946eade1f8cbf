"""The base of all tokenizers: a list of labels, numbered from 1, because 0 is blank. Lesson 05."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from asrlib.errors import InputError
from asrlib.reading import shown

BLANK = 0
KINDS = ("characters", "words", "phones", "wordpieces")


# kept between letters: apostrophe, Catalan l·l, Hebrew geresh and gershayim
_INSIDE_WORDS = "'·׳״"
# one of them without a letter or mark on both sides, or, but for the apostrophe, beside a digit
_WORD = rf"[^\s{_INSIDE_WORDS}]"
_AT_EDGES = re.compile(
    rf"(?<!{_WORD})[{_INSIDE_WORDS}]|[{_INSIDE_WORDS}](?!{_WORD})|(?<=\d)[·׳״]|[·׳״](?=\d)"
)


def normalize_text(text: str) -> str:
    """Return ``text`` in the form used for training and scoring.

    The form is lower case and Unicode NFKC. It keeps letters with their marks, digits, single spaces, and
    inside words the apostrophe, the Catalan middle dot, and the Hebrew geresh and gershayim. Characters that
    only format, such as joiners and soft hyphens, are dropped. Corpora have conventions of their own:
    LibriSpeech is upper case, LJSpeech has punctuation.
    """
    text = unicodedata.normalize("NFKC", text).lower().replace("’", "'")
    kept: list[str] = []
    for c in text:
        category = unicodedata.category(c)
        if category == "Cf":
            continue
        mark = category.startswith("M") and kept and kept[-1] not in " " + _INSIDE_WORDS  # e.g. Hindi vowels
        kept.append(c if c.isalnum() or c in _INSIDE_WORDS or mark else " ")
    return " ".join(_AT_EDGES.sub(" ", "".join(kept)).split())


class Tokenizer:
    """A list of labels that ``encode`` turns text into and ``decode`` turns back into text.

    ``kind``, one of ``KINDS``, decides what a label is. The text for ``phones`` is phones separated by
    spaces; `PhoneTokenizer` takes words. ``normalize`` applies ``normalize_text`` first, except to phones.
    Number 0 is blank: ``encode`` never returns it, ``decode`` skips it. Raises ``InputError`` for an unknown
    kind or a label that is listed twice.
    """

    def __init__(self, kind: str, labels: Sequence[str], normalize: bool = True):
        if kind not in KINDS:
            raise InputError(f"tokenizer kind is {shown(kind)}; use one of {', '.join(KINDS)}")
        if len(set(labels)) != len(labels):
            raise InputError("the tokenizer's labels are not all different: list each label once")
        self.kind, self.labels, self.normalize = kind, list(labels), normalize
        self._number = {label: number for number, label in enumerate(self.labels, start=1)}

    @property
    def vocabulary(self) -> int:
        """V, the number of labels including blank."""
        return len(self.labels) + 1

    def prepare(self, text: str) -> str:
        """Return the form of ``text`` that is encoded and scored."""
        return normalize_text(text) if self.normalize and self.kind != "phones" else " ".join(text.split())

    def split(self, text: str) -> list[str]:
        """Split a text into labels, as strings."""
        text = self.prepare(text)
        return list(text) if self.kind == "characters" else text.split()

    def encode(self, text: str) -> list[int]:
        """Return the label numbers of a text. Raises ``InputError`` for a label outside the vocabulary."""
        try:
            return [self._number[label] for label in self.split(text)]
        except KeyError as error:
            what = "character" if self.kind == "characters" else self.kind[:-1]
            raise InputError(
                f"the tokenizer does not know the {what} {error.args[0]!r} of {text!r}:"
                " correct the transcript, or train a tokenizer on texts that have it"
            ) from None

    def decode(self, numbers: Iterable[int]) -> str:
        """Return the text of label numbers, skipping blanks."""
        labels = [self.labels[number - 1] for number in numbers if number != BLANK]
        return ("" if self.kind == "characters" else " ").join(labels)

    def word_starts(self, numbers: Sequence[int]) -> list[int]:
        """Return the positions in ``numbers`` at which a word of ``decode(numbers)`` starts."""
        if self.kind != "characters":
            return list(range(len(numbers)))
        space = self._number.get(" ")
        return [i for i, n in enumerate(numbers) if n != space and (i == 0 or numbers[i - 1] == space)]

    def save(self, folder: str | Path) -> None:
        """Write the tokenizer into a model directory, where ``load_tokenizer`` finds it."""
        content = {"kind": self.kind, "normalize": self.normalize, "labels": self.labels}
        Path(folder, "tokenizer.json").write_text(
            json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8"
        )
