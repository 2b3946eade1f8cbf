"""Connectionist temporal classification: the loss and its posteriors, in plain PyTorch (Lesson 06).

Graves et al. 2006, "Connectionist Temporal Classification", ICML. Equation numbers and symbols are the
paper's:

    T            frames (t = 0 .. T-1 here; 1 .. T in the paper)
    U            labels of the target l
    l'           the target with blanks around every label: ∅ l1 ∅ l2 ∅ ... lU ∅; S = 2U + 1 states
    y(t, l'(s))  log probability of state s at frame t             `emission[t, s]`
    α(t, s)      log probability of all path prefixes, frames 0 .. t, that are in s at t       (eq. 5)
    β(t, s)      log probability of all path suffixes, frames t .. T-1, that are in s at t     (eq. 9)
    γ(t, s)      probability that a path of l is in state s at frame t                         (from eq. 14)

All logarithms are natural. The recursion is in `losses.ctc_lattice`.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from asrlib.losses.arguments import Lengths, check_reduction, reduce_losses, values_checked
from asrlib.losses.ctc_lattice import CTCTargets, check_ctc_tensors, forward_backward, in_one_form
from asrlib.losses.kernels import choice
from asrlib.losses.recursion import loss_dtype


def ctc_loss(
    log_probs: Float[Tensor, "T *B V"],
    targets: Int[Tensor, "..."],
    input_lengths: Lengths,
    target_lengths: Lengths,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Float[Tensor, "*reduced"]:
    """Return the CTC loss -ln p(l | x), Graves 2006 eq. 8 and 12 (Lesson 06).

    The arguments are those of torch.nn.functional.ctc_loss:

    log_probs       (T, B, V) or (T, V): natural log probabilities, as from log_softmax; any float dtype
    targets         (B, U) with any padding, or all targets concatenated, (sum of target_lengths,)
    input_lengths   (B,) frames of each utterance: tensor, sequence or, without B, a number
    target_lengths  (B,) labels of each target
    blank           index of the blank
    reduction       "none": (B,); "sum"; "mean": each loss divided by its target's length, averaged over B
    zero_infinity   an utterance without a path (fewer frames than labels plus repeats) counts as 0

    An utterance without a path has loss inf (0 with `zero_infinity`) and gradient 0 in either case. Log
    probabilities of -inf are allowed and make paths impossible. The recursion runs in float64 if the device
    supports it. The loss is float32 or wider.

    The gradient is the derivative with respect to `log_probs` itself: minus the posterior of each label (eq.
    15). PyTorch adds exp(log_probs), which gives the derivative with respect to logits. After a log_softmax
    the two agree.

    Raises ValueError, naming the argument and the first bad item, for arguments that are no tensors, lengths
    or labels that are not integers, shapes that disagree, a length beyond its tensor, a label that is blank
    or outside the vocabulary, and NaN or +inf outside the padding. On XLA only shapes are checked, because
    values stay on the device, and targets must be (B, U).
    """
    check_reduction(reduction)
    check_ctc_tensors(log_probs, targets)
    arguments = log_probs, targets, input_lengths, target_lengths, blank
    if choice.runs_kernels(log_probs, targets.shape[-1] + 1):
        losses, U_b = _by_kernels(*arguments)
    else:
        batch, checked = CTCTargets.check(*arguments)
        losses, U_b = _CTCLoss.apply(batch, checked), checked.U_b
    if zero_infinity:
        losses = torch.where(losses == math.inf, 0.0, losses)
    if reduction == "mean":
        losses = losses / U_b.clamp(min=1)
    losses = reduce_losses(losses, reduction)
    return losses[0] if log_probs.ndim == 2 and reduction == "none" else losses


def ctc_posteriors(
    log_probs: Float[Tensor, "T *B V"],
    targets: Int[Tensor, "..."],
    input_lengths: Lengths | None = None,
    target_lengths: Lengths | None = None,
    blank: int = 0,
) -> Float[Tensor, "T *B S"]:
    """Return γ(t, s), the probability that a path of the target is in state s of l' at frame t (Lesson 06).

    The arguments are those of `ctc_loss`; without lengths, the tensors' full lengths apply. Returns (T, B,
    2U+1) or (T, 2U+1) probabilities (eq. 14). They sum to 1 over s at every frame of an utterance that has a
    path, and are 0 in the padding. Raises the same errors as `ctc_loss`.
    """
    check_ctc_tensors(log_probs, targets)
    batch, checked = CTCTargets.check(log_probs.detach(), targets, input_lengths, target_lengths, blank)
    _, flow = forward_backward(batch, checked)
    assert flow is not None  # posteriors are asked for by default
    gamma = flow[:, :-2].permute(0, 2, 1)
    return gamma[:, 0] if log_probs.ndim == 2 else gamma


def _by_kernels(
    log_probs: Tensor, targets: Tensor, input_lengths: Lengths, target_lengths: Lengths, blank: int
) -> tuple[Tensor, Tensor]:
    """Return the losses (B,), computed by the GPU kernels, and the lengths of the targets."""
    from asrlib.losses.kernels.arguments import mark_bad_rows, prepare
    from asrlib.losses.kernels.ctc import ctc_losses

    arguments = log_probs, targets, input_lengths, target_lengths, blank
    log_probs, targets, T_b, U_b = in_one_form(*arguments)
    T, _, V = log_probs.shape
    prepared = prepare("input_lengths", T_b, T, U_b, targets, V, blank, log_probs)
    if values_checked(log_probs) and prepared.status is not None:
        mark_bad_rows(prepared.status, log_probs.transpose(0, 1), prepared.T_b, minus_infinity=True)
    losses = ctc_losses(log_probs, *prepared[:3], blank)
    if prepared.suspicious():
        CTCTargets.check(*arguments)
    return losses, prepared.U_b


class _CTCLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, log_probs: Tensor, targets: CTCTargets) -> Tensor:
        log_p, gamma = forward_backward(log_probs, targets, posteriors=ctx.needs_input_grad[0])
        if gamma is not None:
            ctx.save_for_backward(gamma.to(loss_dtype(log_probs)), targets.states)
            ctx.like = log_probs.new_empty(0), log_probs.shape
        return -log_p.to(loss_dtype(log_probs))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_losses: Tensor) -> tuple[Tensor, None]:
        # eq. 15 for ln p(l|x) and log y: -Σ γ(t, s) over the states s that show label k
        gamma, states = ctx.saved_tensors
        like, (T, B, V) = ctx.like
        # an impossible utterance has γ = 0 and maybe an infinite gradient: avoid inf * 0 = NaN
        flow = -gamma * grad_losses.where(grad_losses.isfinite(), 0)
        index = states.expand(T, -1, -1).transpose(1, 2)
        grad = gamma.new_zeros(T, B, V).scatter_add_(2, index, flow.transpose(1, 2))
        return grad.to(like.dtype), None
