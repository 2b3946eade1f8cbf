"""The joint network and the transducer loss together, with fixed shapes for a TPU (Lesson 07b).

`losses.joint` is the reference and calls this on XLA devices. Both passes compute every node, so that shapes
do not depend on lengths. As in `losses.rnnt_xla`, no values are read from the device and loops are
`recursion.scan`s. The code also runs on other devices, where it is tested.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from asrlib.losses.arguments import within
from asrlib.losses.recursion import loss_dtype, scan
from asrlib.losses.rnnt_xla import by_logits, forward_backward, is_label


class StaticJointRNNTLoss(torch.autograd.Function):
    """Map (encoder, prediction, weight, bias or None, RNNTTargets, settings) to losses (B,)."""

    @staticmethod
    def forward(ctx, encoder, prediction, weight, bias, targets, joint):
        T, U1 = encoder.shape[1], prediction.shape[1]
        # mask the padding, where a NaN would reach the sums
        encoder = torch.where(within(targets.T_b, T)[..., None], encoder, 0.0)
        prediction = torch.where(within(targets.U_b + 1, U1)[..., None], prediction, 0.0)
        dtype = loss_dtype(encoder)
        some_bias = weight.new_zeros(len(weight)) if bias is None else bias
        low_weight, low_bias = joint.cast(weight, some_bias)
        scores = _read(encoder, prediction, low_weight, low_bias, targets, joint)
        wanted = any(ctx.needs_input_grad)
        log_p, *flows = forward_backward(*targets.fill(*scores), targets.T_b, wanted)
        if wanted:
            flows = (flow.to(dtype) for flow in flows)
            ctx.save_for_backward(encoder, prediction, weight, bias, low_weight, low_bias, *flows)
            ctx.arguments = targets, joint
        return -log_p.to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_losses):
        encoder, prediction, weight, bias, low_weight, low_bias, *flows = ctx.saved_tensors
        given = encoder, prediction, low_weight, low_bias
        scale = grad_losses.to(flows[0].dtype)
        found = _gradient(*given, *flows, scale, *ctx.arguments)
        wanted = encoder, prediction, weight, bias
        return *(None if x is None else d.to(x.dtype) for x, d in zip(wanted, found, strict=True)), None, None


def _read(encoder, prediction, weight, bias, targets, joint) -> tuple[Tensor, Tensor]:
    """Return the joint's log_blank and log_label (B, T, U+1), computed some frames at a time."""
    B, T, _ = encoder.shape
    U1 = prediction.shape[1]
    frames = _frames(encoder, U1, joint.rows)
    dtype = loss_dtype(encoder)

    def step(layers, x):
        prediction, weight, bias, labels = layers
        logits = _joint(joint, x[0], prediction, weight, bias)[2]
        lse = logits.logsumexp(-1)
        at_label = torch.where(is_label(labels, logits.shape[-1]), logits, 0.0).sum(-1)
        return layers, ((logits[..., targets.blank] - lse).to(dtype), (at_label - lse).to(dtype))

    layers = prediction, weight, bias, targets.labels
    _, scores = scan(step, layers, (_chunks(encoder, frames),))
    return tuple(_frames_of(x, T) for x in scores)


def _gradient(encoder, prediction, weight, bias, blank_flow, label_flow, scale, targets, joint):
    """Return ∂(-ln Pr)/∂ encoder, prediction, weight and bias, with each utterance scaled by scale[b]."""
    B, T, D = encoder.shape
    U1, dtype = prediction.shape[1], blank_flow.dtype
    frames = _frames(encoder, U1, joint.rows)
    flows = blank_flow * scale[:, None, None], label_flow * scale[:, None, None]

    def step(state, x):
        prediction, weight, bias, labels, d_prediction, d_weight, d_bias = state
        encoder, blank_flow, label_flow = x
        z, h, logits = _joint(joint, encoder, prediction, weight, bias)
        is_next = is_label(labels, logits.shape[-1])
        g = by_logits(logits.softmax(-1), blank_flow, label_flow, targets.blank, is_next)
        d_bias = d_bias + g.sum((0, 1, 2)).to(dtype)
        g = g.to(joint.compute)
        d_weight = d_weight + torch.einsum("btuv,btud->vd", g, h.to(joint.compute)).to(dtype)
        d_z = (g @ weight).to(dtype) * joint.slope(z, h)
        d_prediction = d_prediction + d_z.sum(1)
        return (prediction, weight, bias, labels, d_prediction, d_weight, d_bias), (d_z.sum(2),)

    layers = prediction, weight, bias, targets.labels
    zeros = tuple(torch.zeros_like(x, dtype=dtype) for x in layers[:3])
    end, (d_encoder,) = scan(step, (*layers, *zeros), tuple(_chunks(x, frames) for x in (encoder, *flows)))
    return _frames_of(d_encoder, T), *end[4:]


def _joint(joint, encoder, prediction, weight, bias):
    """Return input and output of the activation, (B, t, U+1, D), and the logits (B, t, U+1, V)."""
    z = encoder[:, :, None] + prediction[:, None]
    h = joint.activate(z)
    return z, h, joint.logits(h, weight, bias)


def _frames(encoder: Tensor, U1: int, rows: int) -> int:
    """Return the number of frames per chunk, for about `rows` nodes and chunks of about equal size."""
    B, T, _ = encoder.shape
    chunks = -(-T // max(1, min(T, rows // (B * U1))))
    return -(-T // chunks)


def _chunks(x: Tensor, frames: int) -> Tensor:
    """Reshape (B, T, ...) to (chunks, B, frames, ...), padding the last chunk with zeros."""
    B, T = x.shape[:2]
    chunks = -(-T // frames)
    x = F.pad(x, [0, 0] * (x.ndim - 2) + [0, chunks * frames - T])
    return x.reshape(B, chunks, frames, *x.shape[2:]).transpose(0, 1)


def _frames_of(chunks: Tensor, T: int) -> Tensor:
    """Reshape (chunks, B, frames, ...) to (B, T, ...), the inverse of `_chunks`."""
    return chunks.transpose(0, 1).flatten(1, 2)[:, :T]
