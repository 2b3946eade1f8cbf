"""Sums of logarithms inside Triton kernels: what the recursions of CTC and the transducer share."""

from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl

INFINITY = tl.constexpr(float("inf"))

# `no_type_check` keeps the test run's shape checker from wrapping what Triton has to compile.


@triton.jit
@no_type_check
def add_logs(x, y):
    """Return log(e^x + e^y), for -inf too; NaN if one of them is."""
    # -inf - -inf would be NaN
    gap = tl.where(x == y, 0.0, -tl.abs(x - y))
    return tl.maximum(x, y) + tl.log(1 + tl.exp(gap))


@triton.jit
@no_type_check
def from_before(x, u):
    """Return x of place u - 1; -inf, that is none, before the first."""
    return tl.where(u > 0, tl.gather(x, tl.maximum(u - 1, 0), 0), -INFINITY)


@triton.jit
@no_type_check
def pick(x, here):
    """Return the one number of ``x`` at which ``here`` is True; a maximum might drop NaN."""
    return tl.sum(tl.where(here, x, 0.0), 0)
