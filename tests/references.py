"""References for the tests of the encoder's kernels: the same computations in PyTorch, in float64."""

import kernels
import torch

from asrlib.models.layers.batch_norm import MaskedBatchNorm

EXACT = dict(rtol=1e-9, atol=1e-11)


def draw(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, device=kernels.DEVICE)


def norms(channels):
    """Return two batch norms in training mode, with the same random weights."""
    pair = [MaskedBatchNorm(channels).to(kernels.DEVICE, torch.float64) for _ in range(2)]
    for parameter, same in zip(*(norm.parameters() for norm in pair), strict=True):
        torch.nn.init.normal_(parameter)
        same.data.copy_(parameter.data)
    return pair


def masked_norm(x, mask, norm, activation):
    """Apply `MaskedBatchNorm` to the valid frames. Without any frames, output and statistics are zero."""
    if not mask.any():
        return x * 0
    y = norm(x[mask][None], None, activation)[0]
    return torch.zeros_like(x).masked_scatter(mask[..., None], y)


def norm_and_end(rank=None):
    """Run a norm and a block's end in training, on all utterances or on those of one of two processes.

    Returns output, gradients of both inputs, gradients of the weights, and running statistics.
    """
    from asrlib.models.kernels.block_end import block_end
    from asrlib.models.kernels.norm import masked_norm

    torch.manual_seed(0)
    first, last = norms(6)[0], norms(6)[0]
    x, s, grad = (draw(4, 9, 6) for _ in range(3))
    lengths = torch.tensor([9, 4, 0, 7], device=kernels.DEVICE)
    x, s, grad, lengths = (v if rank is None else v[rank::2] for v in (x, s, grad, lengths))
    x, s = x.requires_grad_(), s.requires_grad_()
    y = masked_norm(x, lengths, first, "swish")
    y = block_end(y, s, lengths, None, [], last, "relu")
    weights = [p for norm in (first, last) for p in norm.parameters()]
    d_x, d_s, *d_weights = torch.autograd.grad(y, (x, s, *weights), grad)
    buffers = [b for norm in (first, last) for b in norm.buffers()]
    return [y.detach(), d_x, d_s], d_weights, buffers
