"""The formats of exported files and the packages that each needs.

Lesson 12b.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from asrlib.errors import InputError
from asrlib.extras import EXTRAS, extra

FORMATS = ("onnx", "tflite")
# the extra of asrlib that each format needs
_NEEDED = {"onnx": "export", "tflite": "tflite"}


@dataclass
class OpenFile:
    """An exported file opened in its runtime.

    ``about`` is its description. ``run(function, **inputs)`` returns the outputs by name. ``lengths`` are the
    lengths in seconds that the file accepts, sorted; an empty list means any length. ``start`` has the
    initial states by name.
    """

    about: dict[str, Any]
    run: Callable[..., dict[str, np.ndarray]]
    lengths: list[int]
    start: dict[str, np.ndarray]


def check_format(format: str) -> None:
    """Raise ``InputError`` if ``format`` is unknown or its packages are not installed."""
    if format not in FORMATS:
        raise InputError(f"format is {format!r}; use one of {', '.join(FORMATS)}")
    for name in EXTRAS[_NEEDED[format]][1]:
        package(name, format)


def package(name: str, format: str) -> ModuleType:
    """Import and return a package that ``format`` needs.

    Raises ``InputError`` with the command that installs it if it is missing.
    """
    with quiet(), extra(_NEEDED[format]):
        return importlib.import_module(name)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the output of converters within the block; their errors are still raised."""
    os.environ["LITERT_TORCH_SHOW_PROGRESS"] = "n"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), _nothing_printed():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _nothing_printed() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
