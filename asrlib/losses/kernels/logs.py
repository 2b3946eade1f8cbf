"""Sums of logarithms inside Triton kernels, for the recursions of CTC and the transducer."""

from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl

INFINITY = tl.constexpr(float("inf"))

# `no_type_check` keeps the tests' shape checker from wrapping functions that Triton must compile.


@triton.jit
@no_type_check
def add_logs(x, y):
    """Return log(e^x + e^y), also for -inf. The result is NaN if x or y is."""
    # -inf - -inf would be NaN
    gap = tl.where(x == y, 0.0, -tl.abs(x - y))
    return tl.maximum(x, y) + tl.log(1 + tl.exp(gap))


@triton.jit
@no_type_check
def from_before(x, u):
    """Return x at place u - 1, and -inf before the first place."""
    return tl.where(u > 0, tl.gather(x, tl.maximum(u - 1, 0), 0), -INFINITY)


@triton.jit
@no_type_check
def pick(x, here):
    """Return the only value of ``x`` where ``here`` is True. Unlike a maximum, this keeps NaN."""
    return tl.sum(tl.where(here, x, 0.0), 0)
