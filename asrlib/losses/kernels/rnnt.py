"""The transducer loss of given logits in three launches: read, sweep, gradient (Lesson 07).

`losses.rnnt` calls this on a GPU. At (B, T, U, V) = (8, 186, 50, 1000) in float32 the passes over the logits
take 0.1 and 0.2 ms at 3 TB/s, in addition to the 236 steps of the sweep.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from asrlib.losses.kernels.diagonals import sweep
from asrlib.losses.kernels.vocabulary import Chunk, Scores, read, write_gradient


def rnnt_losses(
    logits: Tensor,
    labels: Tensor,
    T_b: Tensor,
    U_b: Tensor,
    blank: int,
    fused: bool = True,
    clamp: float = -1.0,
    status: Tensor | None = None,
) -> Tensor:
    """Return -ln Pr(y | x) (B,), inf for utterances without a path. The gradient is that of `rnnt_loss`.

    logits    (B, T, U+1, V), with any padding
    labels    (B, U+1), with any valid label in the padding
    T_b, U_b  (B,) lengths, on the same device
    fused     False: the logits are log probabilities already
    clamp     above 0: the gradient of each utterance is clipped to [-clamp, clamp]
    status    (B,), marked as by `vocabulary.read`, or None
    """
    return _RNNTLoss.apply(logits, labels, T_b, U_b, blank, fused, clamp, status)


class _RNNTLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, labels, T_b, U_b, blank, fused, clamp, status):
        logits = logits.contiguous()
        B, T, U1, _ = logits.shape
        scores = Scores.new(logits, B, T, U1)
        read(logits, labels, T_b, U_b, scores, Chunk(0, B, 0, T), blank, fused, status)
        found = sweep(*scores[:2], T_b, U_b, turned=ctx.needs_input_grad[0])
        ctx.save_for_backward(logits, labels, T_b, U_b, *scores, *found)
        ctx.arguments = blank, fused, clamp
        return -found[1].to(scores.lse.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_losses):
        logits, *lattice = ctx.saved_tensors
        B, T, _, _ = logits.shape
        grad = torch.empty_like(logits)
        write_gradient(logits, grad, lattice, grad_losses.contiguous(), Chunk(0, B, 0, T), *ctx.arguments)
        return grad, *[None] * 7
