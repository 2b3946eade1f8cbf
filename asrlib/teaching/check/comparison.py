"""Compare what an answer returned with what was expected: the same in another type is the same."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asrlib.teaching.check.display import show
from asrlib.teaching.check.plain import to_plain


def difference(got: Any, expected: Any, tolerance: float) -> list[str] | None:
    """Return the lines that say how two values differ; None if they are the same.

    Numbers may differ by ``tolerance`` relatively, by a tenth of it absolutely.
    """
    got, expected = to_plain(got), to_plain(expected)
    if got is None and expected is not None:
        return [f"  expected  {show(expected)}", "  got       None: the function returns nothing"]
    if isinstance(got, list) and isinstance(expected, Tensor):
        try:
            got = torch.tensor(got)
        except (TypeError, ValueError, RuntimeError):
            return [f"  expected  a tensor, {show(expected)}", f"  got       {show(got)}"]
    if isinstance(got, Tensor) and not isinstance(expected, Tensor):
        got = got.tolist()
    if _is_number(got) and isinstance(expected, Tensor) and expected.ndim == 0:
        expected = expected.item()
    if isinstance(expected, Tensor):
        if not isinstance(got, Tensor):
            return [f"  expected  a tensor, {show(expected)}", f"  got       {show(got)}"]
        return _tensor_difference(got, expected, tolerance)
    if _is_number(expected):
        if _is_number(got) and _is_near(float(got), float(expected), tolerance):
            return None
    elif isinstance(expected, list) and isinstance(got, list):
        if len(got) == len(expected):
            lines = [difference(c, e, tolerance) for c, e in zip(got, expected, strict=True)]
            if not any(lines):
                return None
            if any(isinstance(item, Tensor | list) for item in expected):
                at = next(i for i, line in enumerate(lines) if line)
                return [f"  in        item {at} of {len(expected)}, counted from 0", *lines[at]]
    elif isinstance(expected, dict) and isinstance(got, dict):
        return _entry_difference(got, expected, tolerance)
    elif type(got) is type(expected) and got == expected:
        return None
    return [f"  expected  {show(expected)}", f"  got       {show(got)}"]


def fits(got: Any, value: Any, tolerance: float) -> bool:
    """Return whether two values are the same in the sense of ``difference``."""
    return difference(got, value, tolerance) is None


def first_difference(got: Any, expected: Any, tolerance: float) -> tuple[Any, Any]:
    """Return the first items that differ of two lists of the same length, else the two themselves."""
    got, expected = to_plain(got), to_plain(expected)
    if isinstance(got, list) and isinstance(expected, list) and len(got) == len(expected):
        for c, e in zip(got, expected, strict=True):
            if isinstance(e, Tensor | list) and difference(c, e, tolerance):
                return first_difference(c, e, tolerance)
    return got, expected


def is_close(got: Tensor, expected: Tensor, tolerance: float) -> Tensor:
    """Return where two tensors of one shape are the same, NaN at NaN included."""
    if got.is_complex() or expected.is_complex():
        got, expected = (torch.view_as_real(x.to(torch.complex128)) for x in (got, expected))
        return torch.isclose(got, expected, rtol=tolerance, atol=tolerance / 10, equal_nan=True).all(-1)
    return torch.isclose(got.double(), expected.double(), rtol=tolerance, atol=tolerance / 10, equal_nan=True)


def is_unchanged(a: Any, b: Any) -> bool:
    """Return whether an argument still is what it was, bit for bit; other objects pass unseen."""
    if isinstance(a, Tensor):
        return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())
    if isinstance(a, np.ndarray):
        return a.shape == b.shape and bool((a == b).all())
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(is_unchanged, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(is_unchanged(a[k], b[k]) for k in a)
    return a is b or bool(a == b) or not _is_data(a)


def _entry_difference(got: dict, expected: dict, tolerance: float) -> list[str] | None:
    for key, value in expected.items():
        if key not in got:
            return [
                f"  expected  {show(value)} under {show(key)}",
                f"  got       {show(got)}, without this key",
            ]
        if lines := difference(got[key], value, tolerance):
            return [f"  in        the entry {show(key)}", *lines]
    for key in got:
        if key not in expected:
            return [f"  expected  no entry {show(key)}", f"  got       {show(got[key])} there"]
    return None


def _tensor_difference(got: Tensor, expected: Tensor, tolerance: float) -> list[str] | None:
    if got.shape != expected.shape:
        return [f"  expected  the shape {tuple(expected.shape)}", f"  got       {tuple(got.shape)}"]
    wrong = ~is_close(got, expected, tolerance)
    if not wrong.any():
        return None
    if expected.ndim == 0:
        return [f"  expected  {show(expected)}", f"  got       {show(got)}"]
    at = tuple(wrong.nonzero()[0].tolist())
    place = f"at [{', '.join(map(str, at))}], the first of {int(wrong.sum())} of {wrong.numel()} that differ"
    return [f"  expected  {show(expected[at])} {place}", f"  got       {show(got[at])}"]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_near(got: float, expected: float, tolerance: float) -> bool:
    if math.isnan(got) or math.isnan(expected):
        return math.isnan(got) and math.isnan(expected)
    return math.isclose(got, expected, rel_tol=tolerance, abs_tol=tolerance / 10)


def _is_data(value: Any) -> bool:
    return isinstance(value, int | float | str | bool | bytes | type(None) | set)
