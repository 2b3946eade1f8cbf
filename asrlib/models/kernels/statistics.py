"""Mean and variance of each channel over the valid frames of (B, T, C), as Triton kernels.

One kernel reads all frames in a few hundred programs, each of which keeps a count, a mean and a sum of
squared distances. A second kernel merges these and updates the running statistics. With several processes
there are two merges: over the programs of each process, then over all processes.
"""

from __future__ import annotations

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

from asrlib.backend import in_processes, over_processes
from asrlib.models.kernels import tiles
from asrlib.models.kernels.tiles import locate


def batch_statistics(x: Tensor, lengths: Tensor, norm: nn.BatchNorm1d) -> Tensor:
    """Return mean, 1 / sqrt(variance + eps) and count of the valid frames, as (3, C).

    x is (B, T, C), lengths is (B,). Updates the running statistics of `norm`. If several processes train, the
    frames are those of all processes.
    """
    B, T, C = x.shape
    grid = tiles.shared_grid(x)
    dtype = torch.promote_types(x.dtype, torch.float32)
    parts, found = x.new_empty(grid[0], 3, C, dtype=dtype), x.new_empty(3, C, dtype=dtype)
    running = norm.running_mean, norm.running_var, norm.num_batches_tracked
    with torch.cuda.device_of(x):
        rows, channels = tiles.ROWS, tiles.CHANNELS
        collect_kernel[grid](x, lengths, parts, tiles.tile_grid(x)[0], T, C, rows, channels, num_warps=8)
        if in_processes():
            parts = _of_all_processes(parts)
        finish_kernel[(triton.cdiv(C, tiles.NARROW),)](
            parts, found, *running, len(parts), C, norm.eps, norm.momentum, tiles.PARTS, tiles.NARROW
        )
    return found


def _of_all_processes(parts: Tensor) -> Tensor:
    """Merge the parts (n, 3, C) of this process. Return one merged part from each process."""
    everyone = parts.new_zeros(torch.distributed.get_world_size(), *parts.shape[1:])
    mine, C = everyone[torch.distributed.get_rank()], parts.shape[2]
    grid = (triton.cdiv(C, tiles.NARROW),)
    merge_kernel[grid](parts, mine, len(parts), C, tiles.PARTS, tiles.NARROW)
    return over_processes(everyone)


# `no_type_check` keeps the tests' shape checker from wrapping functions that Triton must compile.


@triton.jit
@no_type_check
def _combine(count, mean, spread):
    """Return count, mean and sum of squared distances over all slots of axis 0 (Chan et al. 1979)."""
    total = tl.sum(count, 0)
    center = tl.sum(count * mean, 0) / tl.maximum(total, 1)
    distance = mean - center[None, :]
    return total, center, tl.sum(spread + count * distance * distance, 0)


@triton.jit(do_not_specialize=["tiles", "T"])
@no_type_check
def collect_kernel(x, lengths, parts, tiles, T, C, ROWS: tl.constexpr, CHANNELS: tl.constexpr):
    # Each slot of the tile keeps its own average (Welford 1962): a large mean costs no precision, and threads
    # exchange values only once, at the end.
    kind = parts.dtype.element_ty
    count = tl.zeros((ROWS, 1), kind)
    mean = tl.zeros((ROWS, CHANNELS), kind)
    spread = tl.zeros((ROWS, CHANNELS), kind)
    tile = tl.program_id(0)
    valid, readable, _, at = locate(tile, lengths, tiles, T, C, ROWS, CHANNELS)
    value = tl.load(x + at, mask=readable, other=0.0)
    # not `for`: under numpy 2.4 the interpreter cannot make a range of a value known only at run time
    while tile < tiles:
        tile += tl.num_programs(0)
        # load ahead, so that the sums below do not wait for memory
        next_valid, readable, _, at = locate(tile, lengths, tiles, T, C, ROWS, CHANNELS)
        next_value = tl.load(x + at, mask=readable, other=0.0)
        count += tl.where(valid, 1.0, 0.0)
        distance = tl.where(valid, value.to(kind) - mean, 0.0)
        # one division per row instead of one per element
        mean += distance * (1 / tl.maximum(count, 1))
        spread += distance * (value.to(kind) - mean)
        valid, value = next_valid, next_value
    total, center, distances = _combine(count, mean, spread)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    at = parts + tl.program_id(0) * 3 * C + c
    tl.store(at, total, mask=c < C)
    tl.store(at + C, center, mask=c < C)
    tl.store(at + 2 * C, distances, mask=c < C)


@triton.jit
@no_type_check
def _merged(parts, n, C, c, ROWS: tl.constexpr, CHANNELS: tl.constexpr):
    kind = parts.dtype.element_ty
    count = tl.zeros((ROWS, CHANNELS), kind)
    mean = tl.zeros((ROWS, CHANNELS), kind)
    spread = tl.zeros((ROWS, CHANNELS), kind)
    first = 0
    while first < n:
        p = first + tl.arange(0, ROWS)
        inside = (p < n)[:, None] & (c < C)[None, :]
        at = parts + p[:, None] * 3 * C + c[None, :]
        more = tl.load(at, mask=inside, other=0.0)
        total = count + more
        share = more / tl.maximum(total, 1)
        distance = tl.load(at + C, mask=inside, other=0.0) - mean
        mean += distance * share
        spread += tl.load(at + 2 * C, mask=inside, other=0.0) + distance * distance * count * share
        count = total
        first += ROWS
    return _combine(count, mean, spread)


@triton.jit(do_not_specialize=["n"])
@no_type_check
def merge_kernel(parts, out, n, C, ROWS: tl.constexpr, CHANNELS: tl.constexpr):
    c = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    total, center, distances = _merged(parts, n, C, c, ROWS, CHANNELS)
    tl.store(out + c, total, mask=c < C)
    tl.store(out + C + c, center, mask=c < C)
    tl.store(out + 2 * C + c, distances, mask=c < C)


@triton.jit
@no_type_check
def _move(at, new, momentum: tl.constexpr, inside):
    old = tl.load(at, mask=inside, other=0.0)
    tl.store(at, old + (new - old).to(old.dtype) * momentum, mask=inside)


@triton.jit(do_not_specialize=["n"])
@no_type_check
def finish_kernel(
    parts, found, running_mean, running_var, tracked, n, C, eps: tl.constexpr, momentum: tl.constexpr,
    ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    c = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    total, center, distances = _merged(parts, n, C, c, ROWS, CHANNELS)
    inside = c < C
    tl.store(found + c, center, mask=inside)
    tl.store(found + C + c, 1 / tl.sqrt(distances / tl.maximum(total, 1) + eps), mask=inside)
    tl.store(found + 2 * C + c, total, mask=inside)
    # the unbiased variance: 0 for a single frame, not 0 / 0
    unbiased = distances / tl.maximum(total - 1, 1)
    _move(running_mean + c, center, momentum, inside)
    _move(running_var + c, unbiased, momentum, inside)
    if tl.program_id(0) == 0:
        tl.store(tracked, tl.load(tracked) + 1)
