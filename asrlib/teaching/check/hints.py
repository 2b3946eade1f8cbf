"""Guess the mistake from how a wrong value is related to the right one."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from asrlib.teaching.check.comparison import is_close
from asrlib.teaching.check.plain import to_plain

LN10 = math.log(10)


def find_hints(got: Any, expected: Any, tolerance: float) -> list[str]:
    """Return how the two are related, where that names the mistake: at most one hint."""
    got, expected = _as_tensor(got), _as_tensor(expected)
    if got is None or expected is None:
        return []
    if got.shape != expected.shape:
        if got.shape == expected.shape[::-1] and got.ndim == 2:
            return ["the transpose: the axes are the wrong way round"]
        if got.ndim == expected.ndim:
            axis = next(i for i, (c, e) in enumerate(zip(got.shape, expected.shape, strict=True)) if c != e)
            if abs(got.shape[axis] - expected.shape[axis]) == 1:
                if got.ndim == 1:
                    return [f"one entry too {'few' if len(got) < len(expected) else 'many'}"]
                return [f"off by one along axis {axis}"]
        if got.numel() == expected.numel() and expected.numel() > 1:
            return ["the right number of entries in another arrangement of axes"]
        if got.ndim != expected.ndim:
            return [f"{got.ndim} axes where {expected.ndim} are wanted: which one was summed, which kept?"]
        return []
    if got.is_floating_point() and got.isnan().any() and not expected.isnan().any():
        return ["NaN: as from inf - inf, 0 * inf, 0 / 0 or the logarithm of a negative number"]
    if got.is_floating_point() and got.isinf().any() and not expected.isinf().any():
        return ["infinite: as from the logarithm of 0 or a division by 0"]
    fits = [text for text, value in _relations(expected) if is_close(got, value, tolerance).all()]
    if fits or got.numel() < 2:
        return fits[:1]
    return _hints_of_numbers(got, expected, tolerance)


def _hints_of_numbers(got: Tensor, expected: Tensor, tolerance: float) -> list[str]:
    """Return what a factor, a term or a stand-in for infinity explains."""
    infinite = expected.isinf()
    if (
        infinite.any()
        and not infinite.all()
        and is_close(got[~infinite], expected[~infinite], tolerance).all()
    ):
        return [f"right but where {float(expected[infinite][0])} is wanted, the logarithm of probability 0"]
    if not got.any():  # no factor: nothing has been written into it
        return []
    ratio = got / expected
    ratio = ratio[expected.isfinite() & (expected != 0)]
    if len(ratio) > 1 and bool(torch.isclose(ratio, ratio[0], rtol=tolerance).all()):
        return [f"the right answer times {float(ratio[0]):.5g}"]
    offset = (got - expected)[expected.isfinite()]
    if len(offset) > 1 and bool(torch.isclose(offset, offset[0], atol=tolerance, rtol=0).all()):
        return [f"the right answer plus {float(offset[0]):.5g}"]
    return []


def _relations(x: Tensor) -> Iterable[tuple[str, Tensor]]:
    yield "the right answer with the wrong sign", -x
    yield "its exponential: a probability where the logarithm is wanted", x.exp()
    yield "its logarithm: a logarithm where the number itself is wanted", x.log()
    yield "its exponential with the wrong sign", (-x).exp()
    yield "base 10 where the natural logarithm is wanted", x / LN10
    yield "base 2 where the natural logarithm is wanted", x / math.log(2)
    yield "its square", x.square()
    yield "its square root", x.abs().sqrt()
    yield "its reciprocal", 1 / x
    if x.ndim == 2 and x.shape[0] == x.shape[1]:
        yield "the transpose: the axes are the wrong way round", x.T
    for axis in range(x.ndim):
        if x.shape[axis] > 1:
            along = f" along axis {axis}" if x.ndim > 1 else ""
            yield f"reversed{along}", x.flip(axis)
            for by in (1, -1):
                yield f"the right answer shifted by one{along}", x.roll(by, axis)


def _as_tensor(value: Any) -> Tensor | None:
    value = to_plain(value)
    try:
        value = value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        return None
    return None if value.is_complex() else value.double()
