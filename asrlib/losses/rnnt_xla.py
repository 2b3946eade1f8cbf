"""The transducer's passes with fixed shapes, for a TPU (Lesson 07).

`losses.rnnt` and `losses.joint` are the reference and choose these by themselves on XLA devices; nobody
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

from asrlib.losses.recursion import NEG_INF, add_logs, rescale, scan, shares, shift


def forward_backward(
    log_blank: Tensor, log_label: Tensor, T_b: Tensor, flows: bool = True
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """As `asrlib.losses.rnnt.forward_backward`: ln Pr(y | x) (B,), and the two flows (B, T, U+1)."""
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
    """α on diagonal n, rescaled, to diagonal n + 1 (eq. 16); keeps the first and what the scale took away."""
    (alpha,), (blank, label) = state, scores
    later, taken = rescale(add_logs(alpha + blank, shift(alpha + label, 1, -1)), -1)
    return (later,), (alpha, taken)


def _beta_step(state, scores):
    """β on diagonal n + 1 to diagonal n (eq. 18), rescaled; keeps the first."""
    (beta,), (blank, label) = state, scores
    earlier, _ = rescale(add_logs(beta + blank, shift(beta, -1, -1) + label), -1)
    return (earlier,), (beta,)


def _diagonals(lattice: Tensor) -> Tensor:
    """(B, T+1, U+1) -> (T+U, B, U+1): row n holds, for every u, node (n - u, u); -inf beside the lattice.

    The last diagonal is left out: only the end lies there, and nothing leaves it. Rows of one entry more
    than there are diagonals, read as rows of as many as there are, move by one each.
    """
    B, T1, U1 = lattice.shape
    N = T1 + U1 - 1
    rows = F.pad(lattice.transpose(1, 2), (0, U1), value=NEG_INF)
    skewed = rows.reshape(B, U1 * (N + 1))[:, : U1 * N].reshape(B, U1, N)
    return skewed.permute(2, 0, 1)[:-1]


def _lattice(diagonals: Tensor, T1: int) -> Tensor:
    """The way back: (T+U, B, U+1) -> (B, T+1, U+1)."""
    N, (_, B, U1) = len(diagonals) + 1, diagonals.shape
    rows = F.pad(diagonals.permute(1, 2, 0), (0, 1)).reshape(B, U1 * N)
    return F.pad(rows, (0, U1)).reshape(B, U1, N + 1)[:, :, :T1].transpose(1, 2)


# ---- logits ----------------------------------------------------------------------------------------------


def read(logits: Tensor, batch, fused: bool) -> tuple[Tensor, Tensor, Tensor]:
    """log_blank, log_label (B, T, U+1) and logsumexp over V (B, T, U+1; `fused` only, else 0)."""
    x = logits.to(torch.promote_types(logits.dtype, torch.float32))
    lse = x.logsumexp(-1) if fused else torch.zeros_like(x[..., 0])
    # as a masked sum it is part of the pass that the logsumexp makes
    at_label = torch.where(_is_label(batch, logits.shape[-1]), x, 0.0).sum(-1)
    return x[..., batch.blank] - lse, at_label - lse, lse


def gradient(logits, lse, blank_flow, label_flow, scale, batch, clamp: float, fused: bool) -> Tensor:
    """∂(-ln Pr)/∂logits, each utterance times scale[b]; 0 in the padding. Shapes and dtype of `logits`."""
    _, T, _, V = logits.shape
    occupancy = blank_flow + label_flow
    p = torch.exp(logits.to(lse.dtype) - lse[..., None]) if fused else torch.zeros_like(lse)[..., None]
    g = _by_logits(p, occupancy, blank_flow, label_flow, batch.blank, _is_label(batch, V))
    if clamp > 0:
        g = g.clamp(-clamp, clamp)
    g = torch.where(batch.inside(T)[..., None], g * scale[:, None, None, None], 0.0)
    return g.to(logits.dtype)


def _is_label(batch, V: int) -> Tensor:
    """(B, 1, U+1, V): True at the label that (t, u) waits for."""
    return torch.arange(V, device=batch.labels.device) == batch.labels[:, None, :, None]


def _by_logits(p, occupancy, blank_flow, label_flow, blank: int, is_label) -> Tensor:
    """γ(t, u) Pr(k | t, u) - the flow that leaves (t, u) by k."""
    is_blank = torch.arange(is_label.shape[-1], device=p.device) == blank
    g = p * occupancy[..., None]
    g = g - torch.where(is_blank, blank_flow[..., None], 0.0)
    return g - torch.where(is_label, label_flow[..., None], 0.0)


# ---- joint and loss together -----------------------------------------------------------------------------


def read_joint(encoder, prediction, weight, bias, batch, joint) -> tuple[Tensor, Tensor]:
    """log_blank, log_label (B, T, U+1) of the joint, some frames at a time."""
    B, T, _ = encoder.shape
    U1 = prediction.shape[1]
    frames = _frames(encoder, U1, joint.rows)
    dtype = torch.promote_types(encoder.dtype, torch.float32)

    def step(layers, x):
        prediction, weight, bias, labels = layers
        logits = _joint(joint, x[0], prediction, weight, bias)[2]
        lse = logits.logsumexp(-1)
        is_label = torch.arange(logits.shape[-1], device=logits.device) == labels[:, None, :, None]
        at_label = torch.where(is_label, logits, 0.0).sum(-1)
        return layers, ((logits[..., batch.blank] - lse).to(dtype), (at_label - lse).to(dtype))

    layers = prediction, weight, bias, batch.labels
    _, scores = scan(step, layers, (_chunks(encoder, frames),))
    return tuple(_frames_of(x, T) for x in scores)


def joint_gradient(encoder, prediction, weight, bias, blank_flow, label_flow, scale, batch, joint):
    """∂(-ln Pr)/∂ encoder, prediction, weight and bias, each utterance times scale[b]."""
    B, T, D = encoder.shape
    U1, dtype = prediction.shape[1], blank_flow.dtype
    frames = _frames(encoder, U1, joint.rows)
    flows = blank_flow * scale[:, None, None], label_flow * scale[:, None, None]

    def step(state, x):
        prediction, weight, bias, labels, d_prediction, d_weight, d_bias = state
        encoder, blank_flow, label_flow = x
        z, h, logits = _joint(joint, encoder, prediction, weight, bias)
        is_label = torch.arange(logits.shape[-1], device=logits.device) == labels[:, None, :, None]
        occupancy = blank_flow + label_flow
        g = _by_logits(logits.softmax(-1), occupancy, blank_flow, label_flow, batch.blank, is_label)
        d_bias = d_bias + g.sum((0, 1, 2)).to(dtype)
        g = g.to(joint.compute)
        d_weight = d_weight + torch.einsum("btuv,btud->vd", g, h.to(joint.compute)).to(dtype)
        d_z = (g @ weight).to(dtype) * joint.slope(z, h)
        d_prediction = d_prediction + d_z.sum(1)
        return (prediction, weight, bias, labels, d_prediction, d_weight, d_bias), (d_z.sum(2),)

    layers = prediction, weight, bias, batch.labels
    zeros = tuple(torch.zeros_like(x, dtype=dtype) for x in layers[:3])
    end, (d_encoder,) = scan(step, (*layers, *zeros), tuple(_chunks(x, frames) for x in (encoder, *flows)))
    return _frames_of(d_encoder, T), *end[4:]


def _joint(joint, encoder, prediction, weight, bias):
    """Into the activation, out of it (B, t, U+1, D), and the logits (B, t, U+1, V)."""
    z = encoder[:, :, None] + prediction[:, None]
    h = joint.activate(z)
    return z, h, joint.logits(h, weight, bias)


def _frames(encoder: Tensor, U1: int, rows: int) -> int:
    """How many frames of the whole batch make some `rows` nodes; chunks of about equal size."""
    B, T, _ = encoder.shape
    chunks = -(-T // max(1, min(T, rows // (B * U1))))
    return -(-T // chunks)


def _chunks(x: Tensor, frames: int) -> Tensor:
    """(B, T, ...) -> (chunks, B, frames, ...), the last filled up with zeros."""
    B, T = x.shape[:2]
    chunks = -(-T // frames)
    x = F.pad(x, [0, 0] * (x.ndim - 2) + [0, chunks * frames - T])
    return x.reshape(B, chunks, frames, *x.shape[2:]).transpose(0, 1)


def _frames_of(chunks: Tensor, T: int) -> Tensor:
    """The way back: (chunks, B, frames, ...) -> (B, T, ...)."""
    return chunks.transpose(0, 1).flatten(1, 2)[:, :T]
