"""Checks of a loss's arguments on a GPU: one kernel for lengths and labels, one for the values of a tensor.

Nothing here waits for the device. Each utterance has an entry in ``status``, which is 0 if its arguments are
valid. The caller reads ``status`` once, after launching all its kernels. Until then bad lengths and labels
are replaced by valid ones, so that no kernel reads out of bounds. If there is an error, the checks of
`losses.arguments` then find its details.
"""

from __future__ import annotations

from typing import NamedTuple, no_type_check

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from asrlib import backend
from asrlib.losses.arguments import check_lengths_and_labels, values_checked, within

BLOCK = 128
# values of a row checked at a time
BLOCK_ROW = 1024


class Prepared(NamedTuple):
    """Targets that kernels may read safely, all on one device.

    labels    (B, U+1) with blank in the padding
    T_b, U_b  (B,) lengths
    status    (B,) int32, 0 for valid utterances; None if nothing is left to check
    """

    labels: Tensor
    T_b: Tensor
    U_b: Tensor
    status: Tensor | None

    def suspicious(self) -> bool:
        """Return whether an argument is bad. Waits for the kernels launched so far, if waiting is allowed."""
        if self.status is None or backend.asks_nothing(self.status):
            return False
        return any(self.status.tolist())


def prepare(
    length_name: str, T_b: Tensor, T: int, U_b: Tensor, targets: Tensor, V: int, blank: int, x: Tensor
) -> Prepared:
    """Check the targets (B, U) and their lengths for a loss of ``x``, and return them on its device.

    On the host they are checked at once and then moved. On the device a kernel checks them, without waiting.

    Raises ValueError as `check_lengths_and_labels` does.
    """
    device = x.device
    if device.type != "cpu" and all(part.device.type == "cpu" for part in (T_b, U_b, targets)):
        T_b, U_b = T_b.long(), U_b.long()
        check_lengths_and_labels(length_name, T_b, T, U_b, targets, V, blank)
        labels = torch.where(within(U_b, targets.shape[1]), targets, blank).long()
        labels = F.pad(labels, (0, 1), value=blank)
        status = torch.zeros(len(T_b), dtype=torch.int32, device=device) if values_checked(x) else None
        # copies from pageable host memory are made at once, without waiting for earlier kernels
        return Prepared(*(part.to(device, non_blocking=True) for part in (labels, T_b, U_b)), status)
    T_b, U_b, targets = (part.to(device).contiguous() for part in (T_b, U_b, targets))
    B, U = targets.shape
    labels = torch.empty(B, U + 1, dtype=torch.long, device=device)
    frames, lengths = (labels.new_empty(B) for _ in range(2))
    status = labels.new_empty(B, dtype=torch.int32)
    with torch.cuda.device_of(labels):
        prepare_kernel[(B,)](targets, T_b, U_b, labels, frames, lengths, status, T, U + 1, V, blank, BLOCK)
    return Prepared(labels, frames, lengths, status)


def mark_bad_rows(
    status: Tensor, x: Tensor, lengths: Tensor | None = None, more: int = 0, minus_infinity: bool = False
) -> None:
    """Set ``status`` to 1 for utterances with NaN or infinity in the first lengths[b] + more rows of ``x``.

    x               (B, N, W)
    minus_infinity  whether -inf is allowed

    Without lengths, all rows are checked.
    """
    if x.stride(-1) != 1:
        x = x.contiguous()
    B, N, W = x.shape
    block = min(BLOCK_ROW, triton.next_power_of_2(W))
    with torch.cuda.device_of(x):
        mark_kernel[(B * N,)](
            x.detach(), status if lengths is None else lengths, status, *x.stride()[:2], N, W, more,
            lengths is not None, minus_infinity, block,
        )  # fmt: skip


# `no_type_check` keeps the tests' shape checker from wrapping functions that Triton must compile.


@triton.jit(do_not_specialize=["T", "U1", "V", "blank"])
@no_type_check
def prepare_kernel(
    targets, T_b, U_b, labels, frames, lengths, status, T, U1, V, blank, BLOCK: tl.constexpr
):  # fmt: skip
    b = tl.program_id(0)
    t, u = tl.load(T_b + b).to(tl.int32), tl.load(U_b + b).to(tl.int32)
    bad = ((t < 0) | (t > T) | (u < 0) | (u >= U1)).to(tl.int32)
    t, u = tl.minimum(tl.maximum(t, 0), T), tl.minimum(tl.maximum(u, 0), U1 - 1)
    tl.store(frames + b, t.to(tl.int64))
    tl.store(lengths + b, u.to(tl.int64))
    first = 0
    # not `for`: under numpy 2.4 the interpreter cannot make a range of a value known only at run time
    while first < U1:
        at = first + tl.arange(0, BLOCK)
        label = tl.load(targets + b * (U1 - 1) + at, mask=at < u, other=0).to(tl.int64)
        wrong = (at < u) & ((label < 0) | (label >= V) | (label == blank))
        bad = tl.maximum(bad, tl.max(wrong.to(tl.int32), 0))
        label = tl.where((at < u) & (wrong == 0), label, blank)
        tl.store(labels + b * U1 + at, label, mask=at < U1)
        first += BLOCK
    tl.store(status + b, bad)


@triton.jit(do_not_specialize=["each", "row", "N", "W", "more"])
@no_type_check
def mark_kernel(
    x, lengths, status, each, row, N, W, more, LIMITED: tl.constexpr, MINUS: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    b, n = tl.program_id(0) // N, tl.program_id(0) % N
    bound = N
    if LIMITED:
        bound = tl.load(lengths + b).to(tl.int32) + more
    if n < bound:
        here = x + b.to(tl.int64) * each + n.to(tl.int64) * row
        bad = 0
        first = 0
        while first < W:
            at = first + tl.arange(0, BLOCK)
            # keep float64, convert everything else to float32
            value = tl.load(here + at, mask=at < W, other=0.0)
            value = value if value.dtype == tl.float64 else value.to(tl.float32)
            wrong = (value != value) | (value == float("inf"))
            if not MINUS:
                wrong = wrong | (value == -float("inf"))
            bad = tl.maximum(bad, tl.max(wrong.to(tl.int32), 0))
            first += BLOCK
        if bad > 0:
            tl.store(status + b, 1)
