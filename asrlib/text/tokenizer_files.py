"""Read tokenizers: that of a model directory, and those of other programs. Lesson 05."""

from __future__ import annotations

from pathlib import Path

from asrlib.errors import InputError
from asrlib.reading import damaged, read_json, read_text, shown
from asrlib.text.labels import Tokenizer
from asrlib.text.lexicon import load_lexicon
from asrlib.text.listed_pieces import LISTS, listed_pieces, read_list
from asrlib.text.tokenizers import LEXICON, PhoneTokenizer, WordPieceTokenizer

_INCOMPLETE = "is missing: this is not a complete model directory"


def read_tokenizer(kind: str, file: str | Path, normalize: bool = True) -> Tokenizer:
    """Read a tokenizer made by another program.

    For word pieces the file is a sentencepiece model, or a list with one of the suffixes in
    ``asrlib.text.listed_pieces.LISTS``. For the other kinds it is a UTF-8 text file with one label per line;
    lines that start with # are skipped, and so is ``<blank>``. Raises ``InputError`` if the file cannot be
    read or has another form.
    """
    path = Path(file)
    try:
        if kind == "wordpieces" and path.suffix in LISTS:
            return read_list(path, normalize)
        if kind == "wordpieces":
            return WordPieceTokenizer(path.read_bytes(), normalize)
        lines = read_text(path).split("\n")
        labels = [line for line in lines if line and not line.startswith("#") and line != "<blank>"]
        if kind == "characters" and any(len(label) != 1 for label in labels):
            raise InputError("a line has more than one character")
        return Tokenizer(kind, labels, normalize)
    except OSError as error:
        raise InputError(f"tokenizer file {path} cannot be read: {error.strerror}") from None
    except ValueError as error:  # an InputError is one
        listed = kind != "wordpieces" or path.suffix in LISTS
        what = f"a list of {kind}: {error}" if listed else "a sentencepiece model"
        raise InputError(f"tokenizer file {path} is not {what}") from None


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """Load the tokenizer of a model directory. Raises ``InputError`` if it is missing or damaged."""
    path, model = Path(folder, "tokenizer.json"), Path(folder, "tokenizer.model")
    content = read_json(path, _INCOMPLETE)
    with damaged(path, "is not a tokenizer file", "copy the model directory again"):
        kind, normalize = content["kind"], content["normalize"]
        if not isinstance(normalize, bool):
            raise TypeError(f"normalize is {shown(normalize)}, not true or false")
        if kind == "wordpieces" and "list" not in content:
            return _load_wordpieces(model, normalize)
        labels = content["labels"]
        if not (isinstance(labels, list) and all(isinstance(label, str) for label in labels)):
            raise TypeError("labels is not a list of texts")
        try:
            if "list" in content:
                return listed_pieces(content["list"], labels, normalize)
            if kind == "phones" and Path(folder, LEXICON).is_file():
                return PhoneTokenizer(labels, load_lexicon(Path(folder, LEXICON)), normalize)
            return Tokenizer(kind, labels, normalize)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None


def _load_wordpieces(path: Path, normalize: bool) -> WordPieceTokenizer:
    try:
        return WordPieceTokenizer(path.read_bytes(), normalize)
    except FileNotFoundError:
        raise InputError(f"{path} {_INCOMPLETE}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except InputError:
        raise InputError(f"{path} is not a sentencepiece model") from None
