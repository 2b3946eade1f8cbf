"""The kernels of a block's end against PyTorch, in float64."""

import kernels
import pytest
import references
import torch

from asrlib.models.layers.activations import ACTIVATIONS
from asrlib.models.layers.mask import frame_mask
from asrlib.models.layers.se import SqueezeExcite

pytest.importorskip("triton")
pytestmark = [*kernels.RUN, pytest.mark.usefixtures("small_tiles")]


@pytest.mark.parametrize("with_gate, with_shortcut", [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("activation", ["swish", "linear"])
@pytest.mark.parametrize("channels", [8, 19])
def test_block_end(with_gate, with_shortcut, activation, channels):
    from asrlib.models.kernels.block_end import block_end

    lengths = torch.tensor([9, 4, 1], device=kernels.DEVICE)
    mask = frame_mask(lengths, 9)
    x, s, grad = (references.draw(3, 9, channels) for _ in range(3))
    se = SqueezeExcite(channels).to(kernels.DEVICE, torch.float64)
    fused, plain = references.norms(channels)

    def by_kernels(x, s):
        excite = (lambda mean: se.gate(se.up(se.activation(se.down(mean))))) if with_gate else None
        parameters = list(se.parameters()) if with_gate else []
        shortcut, norm = (s, fused) if with_shortcut else (None, None)
        return block_end(x, shortcut, lengths, excite, parameters, norm, activation)

    def by_pytorch(x, s):
        y = se(x, mask) if with_gate else x
        if with_shortcut:
            y = y + references.masked_norm(s, mask, plain, ACTIVATIONS["linear"])
        return ACTIVATIONS[activation](y) * mask[..., None]

    results = []
    for function, norm, padding in (by_kernels, fused, torch.nan), (by_pytorch, plain, 0.0):
        x_given, s_given = (v.masked_fill(~mask[..., None], padding).requires_grad_() for v in (x, s))
        y = function(x_given, s_given)
        wanted = [x_given, *([s_given, norm.weight, norm.bias] if with_shortcut else [])]
        wanted += se.parameters() if with_gate else []
        results.append((y.detach(), torch.autograd.grad(y, wanted, grad), list(norm.buffers())))
    torch.testing.assert_close(*results, **references.EXACT)


def test_an_utterance_without_frames():
    """Its gate is that of a mean of 0, and it gives nothing and takes nothing."""
    from asrlib.models.kernels.block_end import block_end

    x = references.draw(2, 5, 8).requires_grad_()
    lengths = torch.tensor([0, 5], device=kernels.DEVICE)
    y = block_end(x, None, lengths, torch.sigmoid, [], None, "swish")
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert (y[0] == 0).all() and (gradient[0] == 0).all() and gradient[1].isfinite().all()


def test_frozen_excitation():
    """Parameters that are not trained have no gradient, and what comes before them has its own."""
    from asrlib.models.kernels.block_end import block_end

    se = SqueezeExcite(8).to(kernels.DEVICE, torch.float64)
    se.down.requires_grad_(False)
    x, lengths = references.draw(2, 5, 8).requires_grad_(), torch.tensor([5, 3], device=kernels.DEVICE)
    y = block_end(x, None, lengths, lambda m: se.gate(se.up(se.down(m))), list(se.parameters()), None, "relu")
    y.sum().backward()
    assert se.up.weight.grad is not None and se.down.weight.grad is None and x.grad is not None
