"""The passes over the vocabulary: from the joint network's logits to the transducer's lattice, and back.

On a CPU the (B, T, U+1, V) logits are read in blocks that fit the caches. Padding is skipped, and no copy
other than the gradient is made (Lesson 07). Symbols and equation numbers are those of `losses.rnnt`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from asrlib import backend
from asrlib.losses import rnnt_xla
from asrlib.losses.arguments import check_floats, values_checked
from asrlib.losses.recursion import loss_dtype
from asrlib.losses.rnnt_lattice import RNNTTargets, new_lattice

# logits per block on a CPU, 16 MB of float32; with more, the allocator returns the memory after each call and
# fetches fresh pages at the next; with less, a busy machine spends its time passing blocks to threads
BLOCK_ELEMENTS = 1 << 22
# bytes per block on a GPU, which needs larger blocks
GPU_BUDGET = 512 << 20


def read_lattice(
    logits: Tensor,
    targets: Tensor,
    T_b: Tensor | None,
    U_b: Tensor | None,
    blank: int,
) -> tuple[RNNTTargets, Tensor, Tensor]:
    """Check the arguments of `rnnt_posteriors`; return targets, and ∅ and y as lattices (B, T+1, U+1)."""
    check_floats("logits", logits, "(B, T, U+1, V)", 4)
    B, T, U1, _ = logits.shape
    T_b = torch.full((B,), T, device=logits.device) if T_b is None else T_b
    U_b = torch.full((B,), U1 - 1, device=logits.device) if U_b is None else U_b
    checked = RNNTTargets.check("logits", logits.shape, "logit_lengths", T_b, U_b, targets, blank)
    return checked, *read(logits.detach(), checked, fused=True)[:2]


def read(logits: Tensor, targets: RNNTTargets, fused: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return ∅(t, u) and y(t, u), eq. 12-15, as lattices (B, T+1, U+1), and logsumexp over V or None.

    fused  False: the logits are log probabilities already

    The logsumexp (B, T, U+1) is returned only on XLA, where the gradient needs it. Raises ValueError for a
    logit that is NaN or infinite (for log probabilities: NaN or +inf).
    """
    if backend.asks_nothing(logits):
        *scores, lse = rnnt_xla.read(logits, targets, fused)
        return *targets.fill(*scores), lse
    log_blank, log_label = _read_blocks(logits, targets, fused)
    if values_checked(logits):
        # NaN or +inf among a node's logits makes its scores NaN, so checking the lattice is enough
        sound = (log_blank < math.inf).all() & (log_label < math.inf).all()
        if fused:
            # a logit of -inf shows in the sum of all logits only
            sound = sound & logits.sum(dtype=log_blank.dtype).isfinite()
        if not sound:
            complain(logits, targets, fused)
    return log_blank, log_label, None


def gradient(
    logits: Tensor,
    lse: Tensor | None,
    blank_flow: Tensor,
    label_flow: Tensor,
    scale: Tensor,
    targets: RNNTTargets,
    clamp: float,
    fused: bool,
) -> Tensor:
    """Return ∂(-ln Pr)/∂logits, with each utterance scaled by scale[b], and 0 in the padding.

    blank_flow, label_flow  (B, T, U+1), from `rnnt_lattice.forward_backward`
    lse                     logsumexp or None, from `read`
    clamp                   above 0: each utterance's gradient is clipped to [-clamp, clamp] before scaling
    """
    scale = scale.to(blank_flow.dtype)
    if lse is not None:
        return rnnt_xla.gradient(logits, lse, blank_flow, label_flow, scale, targets, clamp, fused)
    if clamp <= 0:
        blank_flow, label_flow = (flow * scale[:, None, None] for flow in (blank_flow, label_flow))
    grad = torch.empty_like(logits, memory_format=torch.contiguous_format)
    _write_gradient(grad, logits, blank_flow, label_flow, targets, fused)
    if clamp > 0:
        grad.clamp_(-clamp, clamp).mul_(scale[:, None, None, None])
    return grad


def _read_blocks(logits, targets, fused):
    B, T, U1, V = logits.shape
    dtype = loss_dtype(logits)
    log_blank, log_label = new_lattice(targets.T_b, targets.U_b, T, U1, dtype)
    scratch = _scratch(logits, dtype)
    for here, labels in _blocks(targets, V, len(scratch)):
        x = logits[here].to(dtype)
        if fused:
            x = torch.log_softmax(x, -1, out=scratch[: x.numel()].view(x.shape))
        log_blank[here] = x[..., targets.blank]
        log_label[here][..., :-1] = x[:, :, :-1].gather(3, labels)[..., 0]
    return log_blank, log_label


def _write_gradient(grad, logits, blank_flow, label_flow, targets, fused):
    """Write γ(t, u) Pr(k | t, u) minus the flow that leaves (t, u) by k: eq. 20 and the softmax."""
    occupancy = blank_flow + label_flow
    scratch = _scratch(logits, occupancy.dtype)
    for b, (T, U) in enumerate(zip(*targets.spans, strict=True)):
        grad[b, T:] = 0
        grad[b, :T, U + 1 :] = 0
    for here, labels in _blocks(targets, logits.shape[-1], len(scratch)):
        x = logits[here].to(occupancy.dtype)
        p = scratch[: x.numel()].view(x.shape)
        g = grad[here] if grad.dtype == p.dtype else p
        if fused:
            torch.softmax(x, -1, out=p)
            torch.mul(p, occupancy[here][..., None], out=g)
        else:
            g.zero_()
        g[..., targets.blank] -= blank_flow[here]
        g[:, :, :-1].scatter_add_(3, labels, -label_flow[here][:, :, :-1, None])
        if g is p:
            grad[here] = p


def _scratch(logits: Tensor, dtype: torch.dtype) -> Tensor:
    """Return memory for one block of logits, reused by all: fresh memory costs more than the arithmetic."""
    _, _, U1, V = logits.shape
    most = BLOCK_ELEMENTS if logits.device.type == "cpu" else GPU_BUDGET // 4
    return logits.new_empty(max(min(most, logits.numel()), U1 * V), dtype=dtype)


def complain(logits, targets, fused):
    """Raise ValueError for the first logit that is NaN or infinite. Without ``fused``, -inf is allowed."""
    for here, _ in _blocks(targets, logits.shape[-1], BLOCK_ELEMENTS):
        bad = ~(logits[here].isfinite() if fused else logits[here] < math.inf)
        if bad.any():
            first = bad.nonzero()[0].tolist()
            b, t, u, v = (part.start + i for part, i in zip((*here, slice(0, None)), first, strict=True))
            raise ValueError(f"logits[{b}, {t}, {u}, {v}] is {float(logits[b, t, u, v])}")


def _blocks(
    targets: RNNTTargets, V: int, elements: int
) -> Iterator[tuple[tuple[slice, slice, slice], Tensor]]:
    """Yield slices (utterances, frames, u) of about ``elements`` logits each, and labels (b, t, U_b, 1).

    Blocks contain no padding. Utterances of equal lengths share blocks, because few large blocks need fewer
    hand-overs between threads.
    """
    first = 0
    for (T, U), run in itertools.groupby(zip(*targets.spans, strict=True)):
        behind = first + len(list(run))
        together = max(1, elements // max(1, T * (U + 1) * V))
        frames = max(1, elements // ((U + 1) * V))
        for b, t in itertools.product(range(first, behind, together), range(0, T, frames)):
            utterances, frame = slice(b, min(b + together, behind)), slice(t, min(t + frames, T))
            labels = targets.labels[utterances, None, :U, None].expand(-1, frame.stop - t, -1, -1)
            yield (utterances, frame, slice(0, U + 1)), labels
        first = behind
