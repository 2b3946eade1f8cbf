"""The formats of exported files, and the packages that each of them needs.

Lesson 12.
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
# the extra of asrlib that each needs
_NEEDED = {"onnx": "export", "tflite": "tflite"}


@dataclass
class OpenFile:
    """An exported file in its runtime.

    ``about``: its description; ``run(function, **inputs)``: outputs by name; ``lengths``: the seconds that
    its functions take, in order, none if any; ``start``: the states before the first step, by name.
    """

    about: dict[str, Any]
    run: Callable[..., dict[str, np.ndarray]]
    lengths: list[int]
    start: dict[str, np.ndarray]


def check_format(format: str) -> None:
    """Raise ``InputError`` if there is no such format, or if its packages are not installed."""
    if format not in FORMATS:
        raise InputError(f"format is {format!r}; use one of {', '.join(FORMATS)}")
    for name in EXTRAS[_NEEDED[format]][1]:
        package(name, format)


def package(name: str, format: str) -> ModuleType:
    """Import a package that ``format`` needs; raises ``InputError`` with the way to install it."""
    with quiet(), extra(_NEEDED[format]):
        return importlib.import_module(name)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence converters, which print their progress; what goes wrong they raise."""
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
