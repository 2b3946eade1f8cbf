"""The transducer's passes with fixed shapes, for a TPU (Lesson 07).

`losses.rnnt` is the reference and chooses these by themselves on XLA devices; nobody
needs to call them. Symbols and equation numbers are Graves 2012's, as there. Nothing here asks the device
for a number, padding is computed and masked, and the loops are `recursion.scan`s: one program per shape, of a
size that does not grow with T. On other devices the same code runs, too: so it is tested.

float32 is enough, because no number grows with T. Every path crosses each diagonal t + u = n exactly once,
so α and β may be rescaled there at will: what they say about a diagonal is how its paths share (eq. 19).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from asrlib.losses.recursion import NEG_INF, add_logs, loss_dtype, rescale, scan, shares, shift


def forward_backward(
    log_blank: Tensor, log_label: Tensor, T_b: Tensor, flows: bool = True
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return ln Pr(y | x) (B,), and the two flows (B, T, U+1), as `rnnt_lattice.forward_backward`."""
    B, T1, U1 = log_blank.shape
    blank, label = _diagonals(log_blank), _diagonals(log_label)
    start = torch.where(torch.arange(U1, device=blank.device) == 0, 0.0, NEG_INF).to(blank).expand(B, U1)
    (alpha_end,), (alpha, added) = scan(_alpha_step, (start,), (blank, label))
    log_p = added.sum(0) + alpha_end[:, -1]
    if not flows:
        return log_p, None, None
    _, (beta,) = scan(_beta_step, (start.flip(1),), (blank.flip(0), label.flip(0)))
    beta = beta.flip(0)
    # all ways from diagonal n to n + 1 that paths take: their shares sum to 1
    ways = torch.cat([alpha + blank + beta, alpha + label + shift(beta, -1, -1)], -1)
    by_blank, by_label = shares(ways, -1).split(U1, -1)
    # behind an utterance's last frame the path goes on to the end of the padding, for the recursion only
    real = torch.arange(T1 - 1, device=T_b.device)[:, None] < T_b[:, None, None]
    possible = real & (log_p > NEG_INF)[:, None, None]
    return log_p, *(torch.where(possible, _lattice(way, T1)[:, :-1], 0.0) for way in (by_blank, by_label))


def _alpha_step(state, scores):
    """Step from α on diagonal n, rescaled, to diagonal n + 1 (eq. 16); keep the first, and the scale."""
    (alpha,), (blank, label) = state, scores
    later, taken = rescale(add_logs(alpha + blank, shift(alpha + label, 1, -1)), -1)
    return (later,), (alpha, taken)


def _beta_step(state, scores):
    """Step from β on diagonal n + 1 to diagonal n (eq. 18), rescaled; keep the first."""
    (beta,), (blank, label) = state, scores
    earlier, _ = rescale(add_logs(beta + blank, shift(beta, -1, -1) + label), -1)
    return (earlier,), (beta,)


def _diagonals(lattice: Tensor) -> Tensor:
    """Return (T+U, B, U+1): row n holds, for every u, node (n - u, u); -inf beside the lattice.

    The last diagonal is left out: only the end lies there, and nothing leaves it. Rows of one entry more
    than there are diagonals, read as rows of as many as there are, move by one each.
    """
    B, T1, U1 = lattice.shape
    N = T1 + U1 - 1
    rows = F.pad(lattice.transpose(1, 2), (0, U1), value=NEG_INF)
    skewed = rows.reshape(B, U1 * (N + 1))[:, : U1 * N].reshape(B, U1, N)
    return skewed.permute(2, 0, 1)[:-1]


def _lattice(diagonals: Tensor, T1: int) -> Tensor:
    """Return diagonals (T+U, B, U+1) as a lattice (B, T+1, U+1): the inverse of `_diagonals`."""
    N, (_, B, U1) = len(diagonals) + 1, diagonals.shape
    rows = F.pad(diagonals.permute(1, 2, 0), (0, 1)).reshape(B, U1 * N)
    return F.pad(rows, (0, U1)).reshape(B, U1, N + 1)[:, :, :T1].transpose(1, 2)


def read(logits: Tensor, targets, fused: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return log_blank, log_label (B, T, U+1) and logsumexp over V (B, T, U+1; 0 unless `fused`)."""
    x = logits.to(loss_dtype(logits))
    lse = x.logsumexp(-1) if fused else torch.zeros_like(x[..., 0])
    # as a masked sum it is part of the pass that the logsumexp makes
    at_label = torch.where(is_label(targets.labels, logits.shape[-1]), x, 0.0).sum(-1)
    return x[..., targets.blank] - lse, at_label - lse, lse


def gradient(logits, lse, blank_flow, label_flow, scale, targets, clamp: float, fused: bool) -> Tensor:
    """Return ∂(-ln Pr)/∂logits, of the dtype of `logits`, each utterance times scale[b]; 0 in the padding."""
    _, T, _, V = logits.shape
    p = torch.exp(logits.to(lse.dtype) - lse[..., None]) if fused else torch.zeros_like(lse)[..., None]
    g = by_logits(p, blank_flow, label_flow, targets.blank, is_label(targets.labels, V))
    if clamp > 0:
        g = g.clamp(-clamp, clamp)
    g = torch.where(targets.inside(T)[..., None], g * scale[:, None, None, None], 0.0)
    return g.to(logits.dtype)


def is_label(labels: Tensor, V: int) -> Tensor:
    """Return (B, 1, U+1, V): True at the label that (t, u) waits for."""
    return torch.arange(V, device=labels.device) == labels[:, None, :, None]


def by_logits(p: Tensor, blank_flow: Tensor, label_flow: Tensor, blank: int, is_next: Tensor) -> Tensor:
    """Return γ(t, u) Pr(k | t, u) - the flow that leaves (t, u) by k: the gradient by the logits.

    p        (B, T, U+1, V) probabilities; (B, T, U+1, 1) zeros for none
    is_next  (B, 1, U+1, V) as `is_label` returns it

    The flows are (B, T, U+1).
    """
    is_blank = torch.arange(is_next.shape[-1], device=p.device) == blank
    g = p * (blank_flow + label_flow)[..., None]
    g = g - torch.where(is_blank, blank_flow[..., None], 0.0)
    return g - torch.where(is_next, label_flow[..., None], 0.0)
