"""Pruned RNN-T: the transducer loss on a band of the lattice, an approximation (Lesson 07b).

Kuang et al. 2022, "Pruned RNN-T for fast, memory-efficient ASR training", arXiv 2206.13236. Symbols are those
of `asrlib.losses.rnnt`; logarithms are natural. There are four steps:

    1. `simple_rnnt_loss`  a joint that only adds encoder and predictor logits is cheap on the whole lattice;
                           it is trained beside the real joint and shows where the paths go
    2. `pruning_bounds`    for each frame, the window of S labels with the highest probability
    3. `prune_prediction`  the prediction network's output for these (t, u) only
    4. `pruned_rnnt_loss`  the real joint's loss over all paths inside the band

The joint then computes (B, T, S, V) logits, with S about 5, instead of (B, T, U+1, V).
`asrlib.joint_rnnt_loss` needs no more memory and omits no path, but computes the whole lattice once.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from asrlib.losses.arguments import check_finite, reduce_losses, within
from asrlib.losses.recursion import NEG_INF, loss_dtype
from asrlib.losses.rnnt_lattice import RNNTTargets, forward_backward


def simple_rnnt_loss(
    encoder_logits: Float[Tensor, "B T V"],
    prediction_logits: Float[Tensor, "B U1 V"],
    targets: Int[Tensor, "B U"],
    frame_lengths: Int[Tensor, "B"],
    target_lengths: Int[Tensor, "B"],
    blank: int = 0,
    reduction: str = "mean",
) -> tuple[Float[Tensor, "*reduced"], Float[Tensor, "B T U1"]]:
    """Return the transducer loss of encoder_logits[t] + prediction_logits[u], and its γ(t, u) (Lesson 07b).

    The (B, T, U+1, V) lattice is never computed: the softmax needs only log Σ_v e^(x[t, v]) e^(y[u, v]),
    which is a matrix product. Lengths, `blank` and `reduction` are as in `joint_rnnt_loss`. γ(t, u), the
    probability that a path goes through (t, u), has no gradient and is the input of `pruning_bounds`.

    Raises ValueError, naming the argument and the first bad item, as `rnnt_loss` does.
    """
    (B, T, V), U1 = encoder_logits.shape, prediction_logits.shape[1]
    shape = (B, T, U1, V)
    lengths = frame_lengths, target_lengths
    checked = RNNTTargets.check("encoder_logits", shape, "frame_lengths", *lengths, targets, blank)
    dtype = loss_dtype(encoder_logits)
    x = _cleared("encoder_logits", encoder_logits, within(checked.T_b, T)).to(dtype)
    y = _cleared("prediction_logits", prediction_logits, within(checked.U_b + 1, U1)).to(dtype)
    x_largest, y_largest = x.amax(2, keepdim=True).detach(), y.amax(2, keepdim=True).detach()
    with torch.autocast(x.device.type, enabled=False):
        product = (x - x_largest).exp() @ (y - y_largest).exp().transpose(1, 2)
    # if x and y have their maxima at different labels, all products may underflow: keep the log finite
    norm = (product + torch.finfo(dtype).tiny).log() + x_largest + y_largest.transpose(1, 2)
    log_blank = x[:, :, None, checked.blank] + y[:, None, :, checked.blank] - norm
    # y(t, u) for label u+1: (B, T, U+1) from the encoder, (B, 1, U+1) from the predictor
    at_label = x.gather(2, checked.labels[:, None].expand(-1, T, -1))
    at_label = at_label + y.gather(2, checked.labels[..., None]).transpose(1, 2)
    losses, occupancy = _PathSum.apply(*checked.fill(log_blank, at_label - norm), checked.T_b, checked.U_b)
    return reduce_losses(losses, reduction), occupancy


def pruning_bounds(
    occupancy: Float[Tensor, "B T U1"],
    frame_lengths: Int[Tensor, "B"],
    target_lengths: Int[Tensor, "B"],
    width: int = 5,
) -> Int[Tensor, "B T"]:
    """Return for each frame the first label p(t) of a window p(t) .. p(t)+width-1, from γ(t, u) (Lesson 07b).

    Each window is the one with the largest sum of γ, adjusted so that paths can pass: p(0) is 0, the last
    window contains target_lengths, and p(t) never decreases and increases by at most width - 1 per frame, so
    that adjacent windows share a label. In the padding p(t) stays constant.

    Raises ValueError if no such windows exist: width must be at least 2, and frames · (width - 1) at least
    target_lengths.
    """
    B, T, U1 = occupancy.shape
    if width < 2:
        raise ValueError(f"width is {width}; it must be at least 2, so that adjacent windows share a label")
    short = frame_lengths * (width - 1) < target_lengths
    if short.any():
        b = int(short.nonzero()[0])
        raise ValueError(
            f"width is {width}, but utterance {b} has {int(target_lengths[b])} labels in "
            f"{int(frame_lengths[b])} frames: too narrow for a path, increase it"
        )
    last = (target_lengths + 1 - width).clamp(min=0)[:, None]
    # beyond the last label there is nothing to sum
    sums = torch.nn.functional.pad(occupancy, (1, width)).cumsum(2)
    start = (sums[:, :, width : width + U1] - sums[:, :, :U1]).argmax(2)
    t = torch.arange(T, device=occupancy.device)
    slope = (width - 1) * t
    # p(t) can be at most slope(t), and must be `last` at the last frame
    start = torch.minimum(start, torch.minimum(last, slope))
    start = torch.where(t >= frame_lengths[:, None] - 1, last, start)
    # never decrease: no window starts after a later frame's window
    start = start.flip(1).cummin(1).values.flip(1)
    # at most width - 1 per frame: p(t) - (width - 1) t must not rise; where it does, earlier windows move up
    return (start - slope).flip(1).cummax(1).values.flip(1) + slope


def prune_prediction(
    prediction_out: Float[Tensor, "B U1 D"], bounds: Int[Tensor, "B T"], width: int = 5
) -> Float[Tensor, "B T width D"]:
    """Return the rows p(t) .. p(t)+width-1 for each frame, which the joint adds to encoder_out[:, :, None].

    Windows beyond the end of the target repeat its last row, which `pruned_rnnt_loss` ignores.
    """
    (B, U1, D), T = prediction_out.shape, bounds.shape[1]
    u = _labels_out(bounds, width).clamp(max=U1 - 1)
    return prediction_out.gather(1, u.reshape(B, T * width, 1).expand(-1, -1, D)).view(B, T, width, D)


def pruned_rnnt_loss(
    logits: Float[Tensor, "B T S V"],
    bounds: Int[Tensor, "B T"],
    targets: Int[Tensor, "B U"],
    frame_lengths: Int[Tensor, "B"],
    target_lengths: Int[Tensor, "B"],
    blank: int = 0,
    reduction: str = "mean",
) -> Float[Tensor, "*reduced"]:
    """Return the transducer loss over all paths inside the band (Lesson 07b).

    It is never below the loss of the whole lattice, and inf if the bounds leave no path.

    logits  (B, T, S, V) of the joint at (t, p(t) + s), computed with `prune_prediction`
    bounds  (B, T): p(t), from `pruning_bounds` with width S

    Lengths, `blank` and `reduction` are as in `joint_rnnt_loss`. Raises ValueError, naming the argument and
    the first bad item, as `rnnt_loss` does.
    """
    (B, T, S, V), U1 = logits.shape, targets.shape[1] + 1
    shape = (B, T, U1, V)
    lengths = frame_lengths, target_lengths
    checked = RNNTTargets.check("logits", shape, "frame_lengths", *lengths, targets, blank)
    if bounds.shape != (B, T):
        raise ValueError(f"bounds is {tuple(bounds.shape)}, but logits asks for (B, T) = {(B, T)}")
    if (bounds < 0).any():
        b, t = (bounds < 0).nonzero()[0].tolist()
        raise ValueError(f"bounds[{b}, {t}] is {int(bounds[b, t])}; it must not be negative")
    u = _labels_out(bounds, S)
    logits = _cleared("logits", logits, within(checked.T_b, T)[..., None] & (u <= checked.U_b[:, None, None]))
    log_p = logits.to(loss_dtype(logits)).log_softmax(-1)
    beyond = u >= U1
    u = u.clamp(max=U1 - 1)
    label = checked.labels.gather(1, u.flatten(1)).view(B, T, S, 1)
    outside = log_p.new_full((B, T, U1 + 1), NEG_INF)
    # labels beyond the target are written to an extra column, which is cut off
    column = torch.where(beyond, U1, u)
    log_blank = outside.scatter(2, column, log_p[..., checked.blank])[..., :U1]
    log_label = outside.scatter(2, column, log_p.gather(3, label)[..., 0])[..., :U1]
    losses, _ = _PathSum.apply(*checked.fill(log_blank, log_label), checked.T_b, checked.U_b)
    return reduce_losses(losses, reduction)


class _PathSum(torch.autograd.Function):
    """Map lattices (B, T+1, U+1) to -ln Pr(y | x) and γ(t, u). The gradient is minus the flow (eq. 20)."""

    @staticmethod
    def forward(ctx, log_blank, log_label, T_b, U_b):
        log_p, blank_flow, label_flow = forward_backward(log_blank.detach(), log_label.detach(), T_b, U_b)
        dtype = log_blank.dtype
        ctx.save_for_backward(blank_flow.to(dtype), label_flow.to(dtype))
        occupancy = (blank_flow + label_flow).to(dtype)
        ctx.mark_non_differentiable(occupancy)
        return -log_p.to(dtype), occupancy

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_losses, _):
        row = (0, 0, 0, 1)
        scale = -grad_losses[:, None, None]
        return *(torch.nn.functional.pad(flow * scale, row) for flow in ctx.saved_tensors), None, None


def _labels_out(bounds: Tensor, width: int) -> Tensor:
    """Return u of each place in the band, (B, T, width)."""
    return bounds.long()[..., None] + torch.arange(width, device=bounds.device)


def _cleared(name: str, x: Tensor, inside: Tensor) -> Tensor:
    """Return `x` with zeros in the padding, where a NaN would reach the gradients.

    Raises ValueError for NaN or infinity elsewhere.
    """
    check_finite(name, x, inside)
    return torch.where(inside[(...,) + (None,) * (x.ndim - inside.ndim)], x, 0.0)
