"""What travels in an exported file beside the network, as JSON: labels, rates, the tokenizer.

Lesson 12.
"""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import Any

from asrlib.recognizer import Recognizer
from asrlib.text.tokenizers import Tokenizer, load_tokenizer


def describe(recognizer: Recognizer, stream: bool) -> dict[str, Any]:
    """Return what one needs to write the file's outputs as text: times in seconds, lengths in samples."""
    front_end, ctc = recognizer.front_end, recognizer.uses_ctc
    return {
        "format": 1,
        "name": recognizer.config.name,
        "head": "ctc" if ctc else "transducer",
        "stream": stream,
        "sample_rate": front_end.sample_rate,
        "shortest": front_end.window,
        "hop": front_end.hop,
        "frame_seconds": recognizer.frame_seconds,
        "max_symbols": 1 if ctc else recognizer.config.decoding.max_symbols,
        "labels": ["", *recognizer.tokenizer.labels],
        "tokenizer": _tokenizer_files(recognizer.tokenizer),
    }


def described_tokenizer(about: dict[str, Any]) -> Tokenizer:
    """Return the tokenizer of a file's description."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in about["tokenizer"].items():
            Path(folder, Path(name).name).write_bytes(base64.b64decode(content))
        return load_tokenizer(folder)


def _tokenizer_files(tokenizer: Tokenizer) -> dict[str, str]:
    """Return name and content, in base 64, of what the tokenizer saves."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(folder)
        return {file.name: base64.b64encode(file.read_bytes()).decode() for file in Path(folder).iterdir()}
