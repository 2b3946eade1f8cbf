"""The depthwise convolution's kernels against PyTorch's convolution, in float64."""

import kernels
import pytest
import references
import torch

from asrlib.models.layers.activations import ACTIVATIONS
from asrlib.models.layers.conv import depthwise_conv, pad_amounts
from asrlib.models.layers.mask import frame_mask

pytest.importorskip("triton")
pytestmark = [*kernels.RUN, pytest.mark.usefixtures("small_tiles")]


@pytest.mark.parametrize("kernel, padding", [(1, "same"), (2, "same"), (5, "same"), (6, "causal")])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("shape", [(2, 10, 11), (1, 1, 3)])
def test_depthwise(kernel, padding, stride, shape):
    from asrlib.models.kernels import depthwise

    x, weight = (references.draw(*s).requires_grad_() for s in (shape, (shape[-1], kernel)))
    expected = depthwise_conv(x, weight, stride, padding)
    taps, pads = weight.detach().T.contiguous(), pad_amounts(kernel, padding)
    found = depthwise.depthwise_conv(x, weight, taps, stride, *pads)
    grad = torch.randn_like(expected)
    gradients = [torch.autograd.grad(y, (x, weight), grad) for y in (found, expected)]
    torch.testing.assert_close(found, expected, **references.EXACT)
    torch.testing.assert_close(*gradients, **references.EXACT)


@pytest.mark.parametrize(
    "kernel, stride, padding, activation, lengths",
    [
        (5, 1, "same", "swish", [9, 5, 2]),
        (4, 2, "causal", "relu", [9, 0, 9]),
        (3, 1, "causal", "linear", [1, 9, 0]),
    ],
)
def test_norm_and_depthwise_in_one(kernel, stride, padding, activation, lengths):
    from asrlib.models.kernels.norm_depthwise import norm_depthwise

    x, weight = references.draw(3, 9, 11), references.draw(11, kernel).requires_grad_()
    lengths = torch.tensor(lengths, device=kernels.DEVICE)
    mask = frame_mask(lengths, 9)
    taps, pads = weight.detach().T.contiguous(), pad_amounts(kernel, padding)
    fused, plain = references.norms(11)

    def together(x):
        return norm_depthwise(x, lengths, fused, activation, weight, taps, stride, *pads)

    def apart(x):
        y = references.masked_norm(x, mask, plain, ACTIVATIONS[activation])
        return depthwise_conv(y, weight, stride, padding)

    results, grad = [], None
    for norm, function, padded in (fused, together, torch.nan), (plain, apart, 0.0):
        given = x.masked_fill(~mask[..., None], padded).requires_grad_()
        y = function(given)
        grad = torch.randn_like(y) if grad is None else grad
        found = torch.autograd.grad(y, (given, weight, norm.weight, norm.bias), grad)
        results.append((y.detach(), found, list(norm.buffers())))
    torch.testing.assert_close(*results, **references.EXACT)
