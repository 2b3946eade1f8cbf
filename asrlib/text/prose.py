"""Sentences of a book, as a language model learns them: words as a reader would say them, and no punctuation.

Project Gutenberg's plain text files, for example, are the older English that LibriSpeech's readers read.
Lesson 11.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path

from asrlib.errors import InputError
from asrlib.reading import read_text
from asrlib.text.labels import Tokenizer, normalize_text

# the lines before and after a book of Project Gutenberg
_START = re.compile(r"^\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG.*$", re.MULTILINE | re.IGNORECASE)
_END = re.compile(r"^\*\*\* ?END OF (?:THE|THIS) PROJECT GUTENBERG", re.MULTILINE | re.IGNORECASE)
# written with a point, which ends no sentence, and spoken as LibriSpeech's transcripts have it
_SPOKEN = {"mr": "mister", "mrs": "missus", "dr": "doctor", "st": "saint"}
_TITLES = re.compile(rf"\b({'|'.join(_SPOKEN)})\.", re.IGNORECASE)
_SENTENCES = re.compile(r"(?<=[.!?;:])[\"'”’)]*\s+|\n\s*\n")


def sentences(text: str) -> list[str]:
    """Return the sentences of a text in the form of ``normalize_text``, in their order.

    A sentence ends at ``.!?;:`` before a space, and at an empty line. A few titles are spelled out, such as
    "Mr." Sentences with figures are left out, since "1455" can be read in several ways, and so are single
    words, most of which are headings and abbreviations. What Project Gutenberg writes before and after its
    lines of asterisks is left out; longer headings, and credits inside these lines, stay.
    """
    text = text.replace("\r\n", "\n")
    start, end = _START.search(text), _END.search(text)
    text = text[start.end() if start else 0 : end.start() if end else len(text)]
    text = _TITLES.sub(lambda found: _SPOKEN[found[1].lower()], text).replace("_", "")
    found = map(normalize_text, _SENTENCES.split(text))
    return [sentence for sentence in found if " " in sentence and not any(c.isdigit() for c in sentence)]


def read_sentences(path: str | Path) -> list[str]:
    """Return the ``sentences`` of a plain text file, UTF-8. Raises ``InputError`` if it cannot be read."""
    return sentences(read_text(path, "cannot be read: there is no such text file"))


def encode_books(tokenizer: Tokenizer, paths: Iterable[str | Path]) -> list[list[int]]:
    """Return the sentences of plain text files as label numbers, without those that have other labels."""
    encoded = []
    for path in paths:
        for sentence in read_sentences(path):
            with contextlib.suppress(InputError):
                encoded.append(tokenizer.encode(sentence))
    return encoded
