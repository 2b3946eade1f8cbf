"""The joint network and the transducer loss together, chunk by chunk in bounded memory (Lesson 07b).

Symbols are those of `losses.rnnt`; D is the width of the joint network's hidden layer. The (B, T, U+1, V)
logits are computed for a few nodes of the lattice at a time, used, discarded, and recomputed in the backward
pass.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from asrlib import backend
from asrlib.losses.arguments import (
    check_finite,
    check_floats,
    check_reduction,
    reduce_losses,
    values_checked,
    within,
)
from asrlib.losses.joint_xla import StaticJointRNNTLoss
from asrlib.losses.kernels import choice
from asrlib.losses.recursion import NEG_INF, loss_dtype
from asrlib.losses.rnnt_lattice import Arguments, RNNTTargets, check_shapes, forward_backward, new_lattice
from asrlib.losses.rnnt_logits import GPU_BUDGET

# bytes per chunk on a CPU, where larger chunks were not faster
CPU_BUDGET = 64 << 20
# log probabilities of the whole lattice are kept for the backward pass if they take at most so many bytes
KEEP_BUDGET = 128 << 20
OVERFLOW = "encoder_out, prediction_out and weight are finite, but their logits overflow"

# encoder_out, prediction_out, weight and bias
_Parts = tuple[Tensor, Tensor, Tensor, Tensor | None]


def joint_rnnt_loss(
    encoder_out: Float[Tensor, "B T D"],
    prediction_out: Float[Tensor, "B U1 D"],
    weight: Float[Tensor, "V D"],
    bias: Float[Tensor, "V"] | None,
    targets: Int[Tensor, "B U"],
    frame_lengths: Int[Tensor, "B"],
    target_lengths: Int[Tensor, "B"],
    blank: int = 0,
    reduction: str = "mean",
    activation: str = "tanh",
    chunk_frames: int | None = None,
) -> Float[Tensor, "*reduced"]:
    """Return `rnnt_loss` of activation(encoder_out + prediction_out) @ weight.T + bias (Lesson 07b).

    encoder_out     (B, T, D) projected encoder output
    prediction_out  (B, U+1, D) projected prediction output, one row per number of emitted labels
    weight, bias    (V, D) and (V,) or None: the joint network's last layer
    targets         (B, U) labels, with any padding
    frame_lengths   (B,) frames of each utterance, 0 .. T
    target_lengths  (B,) labels of each target, 0 .. U
    blank           index of the blank; negative counts from the end
    reduction       "none": (B,); "sum"; "mean" over the batch
    activation      "tanh", "relu", "swish" (also called "silu") or "linear"
    chunk_frames    about how many frames of (U+1, V) logits to hold; None: as many as a memory budget allows

    The (B, T, U+1, V) logits are computed chunk by chunk, and again in the backward pass, so that memory does
    not grow with T. Without `chunk_frames` they are kept if they fit into `KEEP_BUDGET`. The backward pass
    visits only nodes that matter: an occupancy below eps / 128 (1e-9 in float32) changes no digit of the
    gradient. Under autocast the matrix products run in the lower precision; softmax, recursion and sums over
    nodes stay in float32 or wider.

    On XLA and in the GPU kernels, both passes compute every node, so that shapes do not depend on lengths.

    Raises ValueError as `rnnt_loss` does, for an unknown activation, and for `chunk_frames` below 1.
    """
    _check_shapes(encoder_out, prediction_out, weight, bias)
    if activation not in SLOPES:
        raise ValueError(f"activation is {activation!r}; use one of {', '.join(sorted(SLOPES))}")
    if chunk_frames is not None and chunk_frames < 1:
        raise ValueError(f"chunk_frames is {chunk_frames}; it must be at least 1, or None")
    check_reduction(reduction)
    parts = encoder_out, prediction_out, weight, bias
    (B, T, _), U1, V = encoder_out.shape, prediction_out.shape[1], len(weight)
    shape, lengths = (B, T, U1, V), (frame_lengths, target_lengths)
    arguments: Arguments = "prediction_out", shape, "frame_lengths", *lengths, targets, blank
    kind = encoder_out.device.type
    compute = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else encoder_out.dtype
    nodes = None if chunk_frames is None else chunk_frames * U1
    with torch.autocast(kind, enabled=False):
        if choice.runs_kernels(encoder_out, U1):
            losses = _by_kernels(parts, arguments, activation, nodes, compute)
        else:
            checked = RNNTTargets.check(*arguments)
            _check_values(parts, checked)
            budget = CPU_BUDGET if kind == "cpu" else GPU_BUDGET
            rows = nodes or max(1, budget // (12 * sum(weight.shape)))
            loss = StaticJointRNNTLoss if backend.asks_nothing(encoder_out) else _JointRNNTLoss
            losses = loss.apply(*parts, checked, _Joint(activation, rows, compute, keep=nodes is None))
    return reduce_losses(losses, reduction)


def _check_shapes(encoder_out: Tensor, prediction_out: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    check_floats("encoder_out", encoder_out, "(B, T, D)", 3)
    check_floats("prediction_out", prediction_out, "(B, U+1, D)", 3)
    check_floats("weight", weight, "(V, D)", 2)
    if bias is not None:
        check_floats("bias", bias, "(V,)", 1)
    (B, _, D), (V, weight_D) = encoder_out.shape, weight.shape
    if prediction_out.shape[::2] != (B, D):
        shapes = tuple(prediction_out.shape), tuple(encoder_out.shape)
        raise ValueError("prediction_out is {}, but encoder_out is {}".format(*shapes))
    if weight_D != D or (bias is not None and bias.shape != (V,)):
        bias_shape = None if bias is None else tuple(bias.shape)
        raise ValueError(f"weight is {(V, weight_D)} and bias {bias_shape}, but encoder_out has D = {D}")


def _check_values(parts: _Parts, checked: RNNTTargets) -> None:
    encoder_out, prediction_out, weight, bias = parts
    check_finite("encoder_out", encoder_out, within(checked.T_b, encoder_out.shape[1]))
    check_finite("prediction_out", prediction_out, within(checked.U_b + 1, prediction_out.shape[1]))
    check_finite("weight", weight)
    if bias is not None:
        check_finite("bias", bias)


def _by_kernels(
    parts: _Parts, arguments: Arguments, activation: str, nodes: int | None, compute: torch.dtype
) -> Tensor:
    """Return the losses (B,), computed by the GPU kernels. ``arguments`` are those of `RNNTTargets.check`."""
    from asrlib.losses.kernels.arguments import mark_bad_rows, prepare
    from asrlib.losses.kernels.joint import Plan, joint_rnnt_losses

    blank = check_shapes(*arguments)
    _, (B, T, _, V), length_name, T_b, U_b, targets, _ = arguments
    encoder_out, prediction_out, weight, bias = parts
    prepared = prepare(length_name, T_b, T, U_b, targets, V, blank, encoder_out)
    marks = None
    if values_checked(encoder_out) and B and prepared.status is not None:
        marks = prepared.status
        mark_bad_rows(marks, encoder_out, prepared.T_b)
        mark_bad_rows(marks, prediction_out, prepared.U_b, more=1)
        mark_bad_rows(marks, weight[None])
        if bias is not None:
            mark_bad_rows(marks, bias[None, None])
    nodes = nodes or max(1, GPU_BUDGET // (compute.itemsize * sum(weight.shape)))
    plan = Plan(blank, "swish" if activation == "silu" else activation, nodes, compute)
    losses = joint_rnnt_losses(*parts, *prepared[:3], plan, marks)
    if prepared.suspicious():
        _check_values(parts, RNNTTargets.check(*arguments))
        raise ValueError(OVERFLOW)
    return losses


def _swish_slope(z: Tensor, h: Tensor) -> Tensor:
    s = torch.sigmoid(z)
    return s + h * (1 - s)


# activation functions h(z), each with its derivative as a function of z and h
SLOPES = {
    "tanh": (torch.tanh, lambda z, h: 1 - h * h),
    "relu": (torch.relu, lambda z, h: (h > 0).to(h.dtype)),
    "swish": (F.silu, _swish_slope),
    "silu": (F.silu, _swish_slope),
    "linear": (lambda z: z, lambda z, h: torch.ones_like(h)),
}


class _Joint(NamedTuple):
    """Settings: `rows` nodes per chunk, matrix products in `compute`, whether to `keep` small lattices."""

    activation: str
    rows: int
    compute: torch.dtype
    keep: bool

    def activate(self, z: Tensor) -> Tensor:
        return SLOPES[self.activation][0](z)

    def slope(self, z: Tensor, h: Tensor) -> Tensor:
        return SLOPES[self.activation][1](z, h)

    def hidden(self, encoder: Tensor, prediction: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the activation's input and output at nodes (N, 3) of b, t, u: (N, D) each."""
        b, t, u = nodes.unbind(1)
        (_, T, D), (_, U1, _) = encoder.shape, prediction.shape
        # index_select copies whole rows, faster than indexing with two index tensors
        z = encoder.reshape(-1, D).index_select(0, b * T + t)
        z = z + prediction.reshape(-1, D).index_select(0, b * U1 + u)
        return z, self.activate(z)

    def logits(self, h: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        out = backend.linear(h.to(self.compute), weight, bias)
        return out.to(loss_dtype(out))

    def cast(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return the last layer's parameters in the dtype of the matrix products."""
        return weight.to(self.compute), None if bias is None else bias.to(self.compute)


class _JointRNNTLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        encoder: Tensor,
        prediction: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: RNNTTargets,
        joint: _Joint,
    ) -> Tensor:
        T, U1 = encoder.shape[1], prediction.shape[1]
        low_weight, low_bias = joint.cast(weight, bias)
        dtype = loss_dtype(encoder)
        log_blank, log_label = new_lattice(targets.T_b, targets.U_b, T, U1, dtype)
        wanted = any(ctx.needs_input_grad)
        inside = targets.inside(T).nonzero()
        shape = len(inside), len(weight)
        kept = None
        if wanted and joint.keep and math.prod(shape) * dtype.itemsize <= KEEP_BUDGET:
            kept = encoder.new_empty(shape, dtype=dtype)
        for number, nodes in enumerate(inside.split(joint.rows)):
            _, h = joint.hidden(encoder, prediction, nodes)
            log_p = joint.logits(h, low_weight, low_bias).log_softmax(-1)
            if kept is not None:
                kept[number * joint.rows :][: len(nodes)] = log_p
            here = b, t, u = nodes.unbind(1)
            log_blank[here] = log_p[:, targets.blank].to(dtype)
            y = log_p.gather(1, targets.labels[b, u, None])[:, 0].to(dtype)
            log_label[here] = torch.where(u < targets.U_b[b], y, NEG_INF)
        if values_checked(encoder) and not ((log_blank < math.inf) & (log_label < math.inf)).all():
            raise ValueError(OVERFLOW)
        log_p, *flows = forward_backward(log_blank, log_label, targets.T_b, targets.U_b, wanted)
        if wanted:
            given = (flow.to(dtype) for flow in flows if flow is not None)
            ctx.save_for_backward(encoder, prediction, weight, bias, kept, *given)
            ctx.arguments = targets, joint
        return -log_p.to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_losses: Tensor) -> tuple[Tensor | None, ...]:
        encoder, prediction, weight, bias, kept, blank_flow, label_flow = ctx.saved_tensors
        targets, joint = ctx.arguments
        (B, T, D), U1 = encoder.shape, prediction.shape[1]
        dtype = blank_flow.dtype
        occupancy = blank_flow + label_flow
        inside = targets.inside(T)
        visited = (occupancy[inside] > torch.finfo(dtype).eps / 128).nonzero()[:, 0]
        inside = inside.nonzero()
        low_weight, low_bias = joint.cast(weight, bias)
        d_encoder = encoder.new_zeros(B * T, D, dtype=dtype)
        d_prediction = encoder.new_zeros(B * U1, D, dtype=dtype)
        d_weight = torch.zeros_like(weight, dtype=dtype)
        d_bias = encoder.new_zeros(len(weight), dtype=dtype)
        for rows in visited.split(joint.rows):
            nodes = inside[rows]
            here = b, t, u = nodes.unbind(1)
            z, h = joint.hidden(encoder, prediction, nodes)
            scale = grad_losses[b].to(dtype)
            if kept is None:
                d_logits = joint.logits(h, low_weight, low_bias).softmax(-1)
            else:
                d_logits = kept.index_select(0, rows).exp_()
            d_logits *= (occupancy[here] * scale)[:, None]
            d_logits[:, targets.blank] -= blank_flow[here] * scale
            d_logits.scatter_add_(1, targets.labels[b, u, None], -(label_flow[here] * scale)[:, None])
            d_bias += d_logits.sum(0)
            d_logits = d_logits.to(joint.compute)
            if ctx.needs_input_grad[2]:
                d_weight += backend.linear_weight_grad(h.to(joint.compute), d_logits)
            d_z = backend.linear(d_logits, low_weight.T).to(dtype) * joint.slope(z, h)
            d_encoder.index_add_(0, b * T + t, d_z)
            d_prediction.index_add_(0, b * U1 + u, d_z)
        return (
            d_encoder.view(encoder.shape).to(encoder.dtype),
            d_prediction.view(prediction.shape).to(prediction.dtype),
            d_weight.to(weight.dtype),
            None if bias is None else d_bias.to(bias.dtype),
            None,
            None,
        )
