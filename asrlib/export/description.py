"""The JSON description in an exported file: labels, rates and the tokenizer.

Lesson 12b.
"""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import Any

from asrlib.recognizer import Recognizer
from asrlib.text.tokenizer_files import load_tokenizer
from asrlib.text.tokenizers import Tokenizer


def describe(recognizer: Recognizer, stream: bool) -> dict[str, Any]:
    """Return what is needed to turn the outputs of the file into text.

    ``sample_rate`` is in Hz. ``shortest`` (one window) and ``hop`` are in samples, ``frame_seconds`` in
    seconds per encoder frame. With ``pad_end``, windows begin up to the end of the signal. ``tail`` samples
    of silence follow an utterance: a graph of a whole utterance appends them, and to a stream they must be
    fed. ``labels`` starts with an empty string for blank.
    """
    front_end, ctc = recognizer.front_end, recognizer.uses_ctc
    return {
        "format": 1,
        "name": recognizer.config.name,
        "head": "ctc" if ctc else "transducer",
        "stream": stream,
        "sample_rate": front_end.sample_rate,
        "shortest": front_end.window,
        "hop": front_end.hop,
        "pad_end": front_end.pad_end,
        "tail": front_end.tail,
        "preemphasis": front_end.preemphasis,
        "frame_seconds": recognizer.frame_seconds,
        "max_symbols": 1 if ctc else recognizer.config.decoding.max_symbols,
        "labels": ["", *recognizer.tokenizer.labels],
        "tokenizer": _tokenizer_files(recognizer.tokenizer),
    }


def described_tokenizer(about: dict[str, Any]) -> Tokenizer:
    """Return the tokenizer that the description ``about`` contains."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in about["tokenizer"].items():
            Path(folder, Path(name).name).write_bytes(base64.b64decode(content))
        return load_tokenizer(folder)


def _tokenizer_files(tokenizer: Tokenizer) -> dict[str, str]:
    """Return the files that the tokenizer saves: their contents in base64, by name."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(folder)
        return {file.name: base64.b64encode(file.read_bytes()).decode() for file in Path(folder).iterdir()}
