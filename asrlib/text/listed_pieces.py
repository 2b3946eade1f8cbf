"""Word pieces in lists, as TensorFlowASR uses them: no model scores them, the longest that matches is taken.

===========  ===========================================================================================
``.tokens``  BERT's WordPiece (Schuster & Nakajima 2012; Devlin et al. 2019): one piece per line, and its
             number is that of the line, from 0, which is blank. ``##`` marks pieces within a word.
``.subwords``  tensorflow_datasets' SubwordTextEncoder: pieces in quotes, numbered from 1; ``_`` at the end
             of a piece is the space after a word. 256 labels for single bytes follow them.
===========  ===========================================================================================

Lesson 05.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from asrlib.errors import InputError
from asrlib.text.labels import BLANK, Tokenizer

UNKNOWN = ("<unk>", "[UNK]")
# longer words are unknown, in bytes, as in TensorFlow
_LONGEST_WORD = 100


class TokenList(Tokenizer):
    """The pieces of a ``.tokens`` file.

    A word that cannot be put together from pieces is the label ``<unk>``, which ``decode`` skips. If a space
    is a piece, it stands between words.
    """

    def __init__(self, labels: Sequence[str], normalize: bool = True):
        super().__init__("wordpieces", labels, normalize)
        self._unknown = next((label for label in UNKNOWN if label in self._number), None)
        self._longest = max(map(len, self.labels), default=0)

    def split(self, text: str) -> list[str]:
        """Split a text into pieces, as strings.

        Raises ``InputError`` for an unknown word if the list has no ``<unk>``.
        """
        pieces: list[str] = []
        for word in self.prepare(text).split():
            if pieces and " " in self._number:
                pieces.append(" ")
            pieces += self._pieces_of(word)
        return pieces

    def _pieces_of(self, word: str) -> list[str]:
        pieces, start = [], 0
        known = len(word.encode()) <= _LONGEST_WORD
        while known and start < len(word):
            mark = "##" if start else ""
            ends = range(min(len(word), start + self._longest), start, -1)
            end = next((end for end in ends if mark + word[start:end] in self._number), start)
            pieces.append(mark + word[start:end])
            known, start = end > start, end
        if known:
            return pieces
        if self._unknown is None:
            raise InputError(
                f"the tokenizer cannot put the word {word!r} together from its pieces, and has no <unk>:"
                " correct the transcript"
            )
        return [self._unknown]

    def encode(self, text: str) -> list[int]:
        """Return the label numbers of a text. Raises ``InputError`` as ``split`` does."""
        return [self._number[piece] for piece in self.split(text)]

    def decode(self, numbers: Iterable[int]) -> str:
        """Return the text of label numbers, skipping blanks and ``<unk>``."""
        labels = [self.labels[number - 1] for number in numbers if number != BLANK]
        text = " ".join(label for label in labels if label != self._unknown)
        return " ".join(re.sub(r"(^| )##", "", text).split())

    def word_starts(self, numbers: Sequence[int]) -> list[int]:
        """Return the positions in ``numbers`` of pieces that start a word."""
        starts, inside = [], False
        for position, number in enumerate(numbers):
            label = self.labels[number - 1]
            if label.isspace():
                inside = False
            elif label != self._unknown:
                if not (inside and label.startswith("##")):
                    starts.append(position)
                inside = True
        return starts

    def save(self, folder: str | Path) -> None:
        """Write the pieces into a model directory."""
        _save(self, "tokens", self.labels, folder)


class SubwordList(Tokenizer):
    """The pieces of a ``.subwords`` file, and the bytes, with which no text is unknown.

    ``pieces`` are without the bytes.
    """

    def __init__(self, pieces: Sequence[str], normalize: bool = True):
        super().__init__("wordpieces", [*pieces, *(f"<0x{byte:02x}>" for byte in range(256))], normalize)
        self.pieces = list(pieces)
        self._longest = max(map(len, self.pieces), default=0)
        self._known = frozenset(self.pieces)

    def split(self, text: str) -> list[str]:
        """Split a text into pieces and bytes, as strings."""
        # letters and digits, and what is between them; a single space is the end of the word before it
        tokens = [token for token in re.split(r"(\W+)", self.prepare(text)) if token]
        ended = [
            token + "_" if after == " " else token
            for token, after in zip(tokens, [*tokens[1:], None], strict=True)
        ]
        found: list[str] = []
        for number, token in enumerate(ended):
            if tokens[number] != " " or number == 0:
                found += self._pieces_of(token)
        return found

    def _pieces_of(self, token: str) -> list[str]:
        pieces, start = [], 0
        while start < len(token):
            ends = range(min(len(token), start + self._longest), start, -1)
            end = next((end for end in ends if token[start:end] in self._known), None)
            if end is None:
                end = start + 1
                character = " " if token[start] == "_" else token[start]
                pieces += [f"<0x{byte:02x}>" for byte in character.encode()]
            else:
                pieces.append(token[start:end])
            start = end
        return pieces

    def encode(self, text: str) -> list[int]:
        """Return the label numbers of a text."""
        return [self._number[piece] for piece in self.split(text)]

    def decode(self, numbers: Iterable[int]) -> str:
        """Return the text of label numbers, skipping blanks and bytes that are no UTF-8."""
        content = b""
        for number in numbers:
            if number > len(self.pieces):
                content += bytes([number - len(self.pieces) - 1])
            elif number != BLANK:
                content += re.sub("_$", " ", self.labels[number - 1]).encode()
        return " ".join(content.decode("utf-8", errors="ignore").split())

    def word_starts(self, numbers: Sequence[int]) -> list[int]:
        """Return the positions in ``numbers`` of labels that start a word."""
        starts, inside = [], False
        for position, number in enumerate(numbers):
            text = self.labels[number - 1].replace("<0x20>", "_")
            if text != "_" and not inside:
                starts.append(position)
            inside = not text.endswith("_")
        return starts

    def save(self, folder: str | Path) -> None:
        """Write the pieces into a model directory."""
        _save(self, "subwords", self.pieces, folder)


# by the file's suffix
LISTS = {".tokens": TokenList, ".subwords": SubwordList}


def listed_pieces(kind: str, pieces: Sequence[str], normalize: bool) -> Tokenizer:
    """Return the tokenizer of a list of this kind, ``tokens`` or ``subwords``."""
    return LISTS[f".{kind}"](pieces, normalize)


def read_list(path: Path, normalize: bool = True) -> Tokenizer:
    """Read the list of pieces in a file with one of the suffixes in ``LISTS``.

    Raises ``InputError`` if it has another form.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    if path.suffix == ".tokens":
        if len(lines) < 2:
            raise InputError("it has no pieces")
        return TokenList(lines[1:], normalize)
    quoted = [line.strip() for line in lines if line.strip() and not line.startswith("###")]
    if not quoted or any(len(line) < 3 or line[0] + line[-1] != "''" for line in quoted):
        raise InputError("a line is not a piece in quotes")
    return SubwordList([line[1:-1] for line in quoted], normalize)


def _save(tokenizer: Tokenizer, kind: str, labels: list[str], folder: str | Path) -> None:
    content = {"kind": "wordpieces", "list": kind, "normalize": tokenizer.normalize, "labels": labels}
    text = json.dumps(content, ensure_ascii=False, indent=1)
    Path(folder, "tokenizer.json").write_text(text, encoding="utf-8")
