"""Values, calls and exceptions in a few words, for a verdict."""

from __future__ import annotations

import linecache
import traceback
from pathlib import Path
from typing import Any

from torch import Tensor

from asrlib.teaching.check.plain import to_plain
from asrlib.teaching.check.verdicts import AnswerError

LARGEST_TABLE = 24  # numbers that are printed
ASRLIB = str(Path(__file__).parents[2])


def show(value: Any, longest: int = 70) -> str:
    """Return a value in at most some ``longest`` characters."""
    value = to_plain(value)
    if isinstance(value, Tensor):
        if value.ndim == 0:
            return show(value.item())
        if value.numel() <= LARGEST_TABLE and value.ndim <= 2:
            return f"tensor({_rounded(value.tolist())})"
        return f"tensor of shape {tuple(value.shape)}"
    if callable(value):
        return f"a {type(value).__name__}"
    if isinstance(value, list) and any(isinstance(item, Tensor | list) for item in value):
        text = f"[{', '.join(show(item, longest) for item in value)}]"
        return text if len(text) <= 2 * longest else f"{text[: 2 * longest - 2]} …"
    text = str(_rounded(value)) if not isinstance(value, str) else repr(value)
    return text if len(text) <= longest else f"{text[: longest - 2]} …"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value


def show_arguments(args: tuple, kwargs: dict) -> str:
    """Return the arguments of a call as a student would write them, shortened."""
    return ", ".join([*map(show, args), *(f"{name}={show(value)}" for name, value in kwargs.items())])


def describe_error(error: BaseException, beside: str = "") -> str:
    """Return an exception and the student's own line that it comes from.

    Lines of asrlib, of installed packages and of the file ``beside`` are not the student's.
    """
    if isinstance(error, AnswerError):
        return str(error)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != beside]
    own = [f for f in frames if not f.filename.startswith(ASRLIB) and "site-packages" not in f.filename]
    first_line = (str(error).strip().splitlines() or [""])[0]
    text = f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
    if own:
        last = own[-1]
        code = (last.line or linecache.getline(last.filename, last.lineno or 0)).strip()
        text += f"\n            in {last.name}, line {last.lineno}: {code}" if code else f" (in {last.name})"
    return text
