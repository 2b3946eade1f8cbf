"""Batch norm's kernels against `MaskedBatchNorm`, in float64."""

import kernels
import pytest
import references
import together
import torch

from asrlib.models.layers.activations import ACTIVATIONS
from asrlib.models.layers.mask import frame_mask

pytest.importorskip("triton")
pytestmark = [*kernels.RUN, pytest.mark.usefixtures("small_tiles")]


@pytest.mark.parametrize(
    "activation, channels, lengths",
    [
        ("linear", 8, [9, 4, 0, 7]),
        ("swish", 13, [9, 9, 9, 9]),
        ("relu", 8, [2, 9, 5, 0]),
        ("tanh", 13, [1, 2, 3, 4]),
        ("swish", 3, [0, 1, 0, 0]),
    ],
)
def test_masked_norm(activation, channels, lengths):
    from asrlib.models.kernels.norm import masked_norm

    x, grad = references.draw(4, 9, channels) + 3, references.draw(4, 9, channels)
    lengths = torch.tensor(lengths, device=kernels.DEVICE)
    mask = frame_mask(lengths, 9)
    fused, plain = references.norms(channels)
    results = []
    for norm, function, padding in (
        (fused, lambda x: masked_norm(x, lengths, fused, activation), torch.nan),
        (plain, lambda x: references.masked_norm(x, mask, plain, ACTIVATIONS[activation]), 0.0),
    ):
        given = x.masked_fill(~mask[..., None], padding).requires_grad_()
        y = function(given)
        found = torch.autograd.grad(y, (given, norm.weight, norm.bias), grad)
        results.append((y.detach(), found, list(norm.buffers())))
    torch.testing.assert_close(*results, **references.EXACT)
    assert (results[0][0][~mask] == 0).all()


def test_statistics_of_numbers_far_from_zero():
    """Sums of squares in float32 would have no digit left of a deviation of 1 around 10,000."""
    from asrlib.models.kernels.statistics import batch_statistics

    x = (references.draw(4, 50, 8) + 1e4).float()
    norm = references.norms(8)[0].float()
    norm.eps, norm.momentum = 0.0, 1.0
    mean, rstd, count = batch_statistics(x, torch.full((4,), 50, device=x.device), norm)
    exact = x.double().flatten(0, 1)
    assert (count == 200).all() and norm.num_batches_tracked == 1
    torch.testing.assert_close(mean.double(), exact.mean(0), rtol=1e-6, atol=0)
    torch.testing.assert_close(rstd.double(), exact.std(0, correction=0) ** -1, rtol=1e-3, atol=0)
    torch.testing.assert_close(norm.running_var.double(), exact.var(0), rtol=1e-3, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_lower_precision(dtype):
    from asrlib.models.kernels.norm import masked_norm

    x, grad = (references.draw(3, 11, 8).to(dtype) for _ in range(2))
    lengths = torch.tensor([11, 5, 8], device=kernels.DEVICE)
    results = []
    norms = references.norms(8)
    for norm, kind in zip(norms, (dtype, torch.float64), strict=True):
        norm.to(torch.promote_types(kind, torch.float32))
        given = x.to(kind).requires_grad_()
        y = masked_norm(given, lengths, norm, "swish")
        assert y.dtype == kind
        found = torch.autograd.grad(y, (given, norm.weight, norm.bias), grad.to(kind))
        results.append([value.double() for value in (y.detach(), *found)])
    tolerance = 2e-3 if dtype == torch.float16 else 1e-5
    torch.testing.assert_close(*results, rtol=tolerance, atol=tolerance)


@pytest.mark.skipif(kernels.DEVICE.type == "cuda", reason="two processes want two GPUs")
def test_two_processes_are_one_with_the_larger_batch(tmp_path):
    whole, whole_weights, whole_buffers = references.norm_and_end()
    (even, even_weights, buffers), (odd, odd_weights, other) = together.run(references.norm_and_end, tmp_path)
    for one, a, b in zip(whole, even, odd, strict=True):
        torch.testing.assert_close(torch.stack([a, b], 1).flatten(0, 1), one, **references.EXACT)
    summed = [a + b for a, b in zip(even_weights, odd_weights, strict=True)]
    torch.testing.assert_close(summed, whole_weights, **references.EXACT)
    torch.testing.assert_close(buffers, whole_buffers, **references.EXACT)
    torch.testing.assert_close(other, whole_buffers, **references.EXACT)
