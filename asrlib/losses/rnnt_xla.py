"""The transducer's passes with fixed shapes, for a TPU (Lesson 07).

`losses.rnnt` is the reference and calls these functions on XLA devices. Symbols and equation numbers are
those of Graves 2012, as there. No values are read from the device, padding is computed and masked, and loops
are `recursion.scan`s: there is one program per shape, and its size does not grow with T. The code also runs
on other devices, where it is tested.

float32 suffices because no value grows with T. Every path crosses each diagonal t + u = n exactly once. α and
β may therefore be rescaled on each diagonal: only their ratios within a diagonal matter (eq. 19).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from asrlib.losses.recursion import NEG_INF, add_logs, loss_dtype, rescale, scan, shares, shift


def forward_backward(
    log_blank: Tensor, log_label: Tensor, T_b: Tensor, flows: bool = True
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return ln Pr(y | x) (B,) and the two flows (B, T, U+1), as `rnnt_lattice.forward_backward` does."""
    B, T1, U1 = log_blank.shape
    blank, label = _diagonals(log_blank), _diagonals(log_label)
    start = torch.where(torch.arange(U1, device=blank.device) == 0, 0.0, NEG_INF).to(blank).expand(B, U1)
    (alpha_end,), (alpha, added) = scan(_alpha_step, (start,), (blank, label))
    log_p = added.sum(0) + alpha_end[:, -1]
    if not flows:
        return log_p, None, None
    _, (beta,) = scan(_beta_step, (start.flip(1),), (blank.flip(0), label.flip(0)))
    beta = beta.flip(0)
    # every path takes one of the steps from diagonal n to n + 1: their shares sum to 1
    ways = torch.cat([alpha + blank + beta, alpha + label + shift(beta, -1, -1)], -1)
    by_blank, by_label = shares(ways, -1).split(U1, -1)
    # after an utterance's last frame, the path through the padding exists for the recursion only
    real = torch.arange(T1 - 1, device=T_b.device)[:, None] < T_b[:, None, None]
    possible = real & (log_p > NEG_INF)[:, None, None]
    return log_p, *(torch.where(possible, _lattice(way, T1)[:, :-1], 0.0) for way in (by_blank, by_label))


def _alpha_step(state, scores):
    """Step from the rescaled α on diagonal n to diagonal n + 1 (eq. 16).

    Output α of diagonal n and the scale.
    """
    (alpha,), (blank, label) = state, scores
    later, taken = rescale(add_logs(alpha + blank, shift(alpha + label, 1, -1)), -1)
    return (later,), (alpha, taken)


def _beta_step(state, scores):
    """Step from the rescaled β on diagonal n + 1 to diagonal n (eq. 18). Output β of diagonal n + 1."""
    (beta,), (blank, label) = state, scores
    earlier, _ = rescale(add_logs(beta + blank, shift(beta, -1, -1) + label), -1)
    return (earlier,), (beta,)


def _diagonals(lattice: Tensor) -> Tensor:
    """Return (T+U, B, U+1): row n holds node (n - u, u) for every u, or -inf outside the lattice.

    The last diagonal is left out: it holds only the end, which no step leaves. Reading rows that are one
    entry longer than the number of diagonals N as rows of length N shifts each row by one more entry.
    """
    B, T1, U1 = lattice.shape
    N = T1 + U1 - 1
    rows = F.pad(lattice.transpose(1, 2), (0, U1), value=NEG_INF)
    skewed = rows.reshape(B, U1 * (N + 1))[:, : U1 * N].reshape(B, U1, N)
    return skewed.permute(2, 0, 1)[:-1]


def _lattice(diagonals: Tensor, T1: int) -> Tensor:
    """Convert diagonals (T+U, B, U+1) to a lattice (B, T+1, U+1), the inverse of `_diagonals`."""
    N, (_, B, U1) = len(diagonals) + 1, diagonals.shape
    rows = F.pad(diagonals.permute(1, 2, 0), (0, 1)).reshape(B, U1 * N)
    return F.pad(rows, (0, U1)).reshape(B, U1, N + 1)[:, :, :T1].transpose(1, 2)


def read(logits: Tensor, targets, fused: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return log_blank, log_label and logsumexp over V (0 unless `fused`), (B, T, U+1) each."""
    x = logits.to(loss_dtype(logits))
    lse = x.logsumexp(-1) if fused else torch.zeros_like(x[..., 0])
    # XLA computes a masked sum in the same pass as the logsumexp
    at_label = torch.where(is_label(targets.labels, logits.shape[-1]), x, 0.0).sum(-1)
    return x[..., targets.blank] - lse, at_label - lse, lse


def gradient(logits, lse, blank_flow, label_flow, scale, targets, clamp: float, fused: bool) -> Tensor:
    """Return ∂(-ln Pr)/∂logits in the dtype of `logits`, scaled by scale[b], and 0 in the padding."""
    _, T, _, V = logits.shape
    p = torch.exp(logits.to(lse.dtype) - lse[..., None]) if fused else torch.zeros_like(lse)[..., None]
    g = by_logits(p, blank_flow, label_flow, targets.blank, is_label(targets.labels, V))
    if clamp > 0:
        g = g.clamp(-clamp, clamp)
    g = torch.where(targets.inside(T)[..., None], g * scale[:, None, None, None], 0.0)
    return g.to(logits.dtype)


def is_label(labels: Tensor, V: int) -> Tensor:
    """Return a mask (B, 1, U+1, V) that is True at the next label of (t, u)."""
    return torch.arange(V, device=labels.device) == labels[:, None, :, None]


def by_logits(p: Tensor, blank_flow: Tensor, label_flow: Tensor, blank: int, is_next: Tensor) -> Tensor:
    """Return the gradient of the logits: γ(t, u) Pr(k | t, u) minus the flow that leaves (t, u) by k.

    p        (B, T, U+1, V) probabilities, or (B, T, U+1, 1) zeros if there is no softmax
    is_next  (B, 1, U+1, V), from `is_label`

    The flows are (B, T, U+1).
    """
    is_blank = torch.arange(is_next.shape[-1], device=p.device) == blank
    g = p * (blank_flow + label_flow)[..., None]
    g = g - torch.where(is_blank, blank_flow[..., None], 0.0)
    return g - torch.where(is_next, label_flow[..., None], 0.0)
