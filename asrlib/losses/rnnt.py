"""The transducer (RNN-T): the loss and its posteriors, in plain PyTorch (Lesson 07).

Graves 2012, "Sequence Transduction with Recurrent Neural Networks", arXiv 1211.3711. Equation numbers and
symbols are the paper's:

    T        frames (t = 0 .. T-1 here; 1 .. T in the paper)
    U        labels of the target y (u = 0 .. U of them have been emitted)
    V        vocabulary, including blank
    ∅(t, u)  log Pr(blank | t, u): go to the next frame (eq. 15)          `log_blank[b, t, u]`
    y(t, u)  log Pr(y[u+1] | t, u): emit the next label (eq. 14)          `log_label[b, t, u]`
    α(t, u)  log probability of all paths from (0, 0) to (t, u)           (eq. 16)
    β(t, u)  log probability of all paths from (t, u) to the end          (eq. 18)

All logarithms are natural. The recursion is in `losses.rnnt_lattice`, and the passes over the logits are in
`losses.rnnt_logits`.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from asrlib.losses.arguments import check_floats, check_reduction, reduce_losses, values_checked
from asrlib.losses.kernels import choice
from asrlib.losses.rnnt_lattice import Arguments, RNNTTargets, check_shapes, forward_backward
from asrlib.losses.rnnt_logits import complain, gradient, read, read_lattice


def rnnt_loss(
    logits: Float[Tensor, "B T U1 V"],
    targets: Int[Tensor, "B U"],
    logit_lengths: Int[Tensor, "B"],
    target_lengths: Int[Tensor, "B"],
    blank: int = -1,
    clamp: float | int = -1,
    reduction: str = "mean",
    fused_log_softmax: bool = True,
) -> Float[Tensor, "*reduced"]:
    """Return the transducer loss -ln Pr(y | x), Graves 2012 eq. 17 (Lesson 07).

    The arguments are those of torchaudio.functional.rnnt_loss:

    logits             (B, T, U+1, V) scores of the joint network, any float dtype, any padding
    targets            (B, U) labels, with any padding
    logit_lengths      (B,) frames of each utterance, 0 .. T
    target_lengths     (B,) labels of each target, 0 .. U
    blank              index of the blank; negative counts from the end
    clamp              above 0: the gradient of each utterance is clipped to [-clamp, clamp]
    reduction          "none": (B,); "sum"; "mean" over the batch
    fused_log_softmax  False: `logits` are log probabilities already, where -inf is allowed

    An utterance without frames has only the empty path: loss 0 for the empty target, else inf with gradient
    0. The loss is float32 or wider. α and β are computed in float64 if the device supports it. On a CPU the
    passes go over blocks of frames: they make no copy of `logits` other than the gradient, and skip the
    padding.

    Raises ValueError, naming the argument and the first bad item, for arguments that are no tensors, lengths
    or labels that are not integers (such as lengths relative to the longest), shapes that disagree, a length
    beyond its tensor, a label that is blank or outside the vocabulary, and a logit that is NaN or infinite.
    To forbid a label, give it a finite score such as -1e4. On XLA only shapes are checked, because values
    stay on the device.
    """
    check_reduction(reduction)
    check_floats("logits", logits, "(B, T, U+1, V)", 4)
    arguments: Arguments = (
        "logits",
        logits.shape,
        "logit_lengths",
        logit_lengths,
        target_lengths,
        targets,
        blank,
    )
    if choice.runs_kernels(logits, logits.shape[2]):
        losses = _by_kernels(logits, arguments, float(clamp), fused_log_softmax)
    else:
        losses = _RNNTLoss.apply(logits, RNNTTargets.check(*arguments), float(clamp), fused_log_softmax)
    return reduce_losses(losses, reduction)


def rnnt_posteriors(
    logits: Float[Tensor, "B T U1 V"],
    targets: Int[Tensor, "B U"],
    logit_lengths: Int[Tensor, "B"] | None = None,
    target_lengths: Int[Tensor, "B"] | None = None,
    blank: int = -1,
) -> Float[Tensor, "B T U1"]:
    """Return γ(t, u) = α(t, u) β(t, u) / Pr(y | x), the probability that a path passes (t, u) (Lesson 07).

    The arguments are those of `rnnt_loss`; without lengths, the tensors' full lengths apply. γ sums to 1 over
    each diagonal t + u = n before the end (eq. 19), and is 0 in the padding. Raises the same errors as
    `rnnt_loss`.
    """
    checked, log_blank, log_label = read_lattice(logits, targets, logit_lengths, target_lengths, blank)
    _, blank_flow, label_flow = forward_backward(log_blank, log_label, checked.T_b, checked.U_b)
    assert blank_flow is not None and label_flow is not None  # flows are asked for by default
    return blank_flow + label_flow


def _by_kernels(logits: Tensor, arguments: Arguments, clamp: float, fused: bool) -> Tensor:
    """Return the losses (B,), computed by the GPU kernels. ``arguments`` are those of `RNNTTargets.check`."""
    from asrlib.losses.kernels.arguments import prepare
    from asrlib.losses.kernels.rnnt import rnnt_losses

    blank = check_shapes(*arguments)
    _, (_, T, _, V), length_name, T_b, U_b, targets, _ = arguments
    prepared = prepare(length_name, T_b, T, U_b, targets, V, blank, logits)
    marks = prepared.status if values_checked(logits) else None
    losses = rnnt_losses(logits, *prepared[:3], blank, fused, clamp, marks)
    if prepared.suspicious():
        complain(logits, RNNTTargets.check(*arguments), fused)
    return losses


class _RNNTLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: RNNTTargets, clamp: float, fused: bool) -> Tensor:
        log_blank, log_label, lse = read(logits, targets, fused)
        wanted = ctx.needs_input_grad[0]
        log_p, *flows = forward_backward(log_blank, log_label, targets.T_b, targets.U_b, wanted)
        dtype = log_blank.dtype
        if wanted:
            ctx.save_for_backward(logits, lse, *(flow.to(dtype) for flow in flows if flow is not None))
            ctx.arguments = targets, clamp, fused
        return -log_p.to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_losses: Tensor) -> tuple[Tensor | None, None, None, None]:
        logits, lse, blank_flow, label_flow = ctx.saved_tensors
        targets, clamp, fused = ctx.arguments
        grad = gradient(logits, lse, blank_flow, label_flow, grad_losses, targets, clamp, fused)
        return grad, None, None, None
