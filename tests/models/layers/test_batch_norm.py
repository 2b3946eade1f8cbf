"""Batch norm over valid frames against PyTorch's own, its gradients and its running statistics."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from asrlib.models.layers import batch_norm
from asrlib.models.layers.activations import ACTIVATIONS
from asrlib.models.layers.batch_norm import MaskedBatchNorm, normalize
from asrlib.models.layers.mask import FrameMask, frame_mask


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(1)


@pytest.fixture(params=["one process", "as in several"])
def processes(request, monkeypatch):
    """One process of several computes by other operations, as a GPU does."""
    if request.param != "one process":
        monkeypatch.setattr(batch_norm, "in_processes", lambda: True)
        monkeypatch.setattr(torch.distributed, "all_reduce", lambda x: None)


def norms(channels=5):
    ours = MaskedBatchNorm(channels)
    with torch.no_grad():
        ours.weight.uniform_(0.5, 2)
        ours.bias.normal_()
        ours.running_mean.normal_()
        ours.running_var.uniform_(0.5, 2)
    theirs = nn.BatchNorm1d(channels, eps=1e-3, momentum=0.01)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_an_activation_comes_behind_batch_norm(training, masked):
    ours, _ = norms()
    ours.train(training)
    x, mask = batch_of_frames()
    mask = mask if masked else None
    torch.testing.assert_close(ours(x, mask, F.silu), F.silu(ours(x, mask)))


def batch_of_frames():
    """Frames of four utterances, rubbish behind each; (x, mask)."""
    return 3 * torch.randn(4, 9, 5) + 1, frame_mask(torch.tensor([9, 3, 1, 6]), 9)


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_batch_norm_is_pytorchs_on_the_valid_frames(training, masked):
    ours, theirs = norms()
    ours.train(training)
    theirs.train(training)
    x, mask = batch_of_frames()
    if not masked:
        mask = torch.ones_like(mask)
    y = ours(x, mask if masked else None)
    torch.testing.assert_close(y[mask], theirs(x[mask]), atol=1e-5, rtol=1e-5)
    assert not y[~mask].any()
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)


@pytest.mark.usefixtures("processes")
def test_batch_norm_gradients_are_pytorchs_and_zero_in_the_padding():
    ours, theirs = norms()
    x, mask = batch_of_frames()
    weights = torch.randn_like(x)
    x.requires_grad_()
    (ours(x, mask) * weights).sum().backward()
    ours_grad, x.grad = x.grad, None
    (theirs(x[mask]) * weights[mask]).sum().backward()
    torch.testing.assert_close(ours_grad, x.grad, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad, atol=1e-4, rtol=1e-4)
    assert not ours_grad[~mask].any()


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("activation", ["linear", "swish", "tanh"])
def test_batch_norm_gradients_by_finite_differences(masked, activation):
    norm = norms()[0].double()
    x, mask = batch_of_frames()
    x = x.double().requires_grad_()

    def run(x, weight, bias):
        return normalize(x, mask if masked else None, weight, bias, norm.eps, ACTIVATIONS[activation])[0]

    assert torch.autograd.gradcheck(run, (x, norm.weight, norm.bias))


@pytest.mark.usefixtures("processes")
def test_batch_norm_loses_no_digits_over_many_frames():
    """nn.BatchNorm1d's statistics of such a batch are off by 2e-6."""
    x = torch.randn(4, 4000, 8) + 2
    ours = norms(8)[0]
    exact = F.batch_norm(x.double().flatten(0, 1), None, None, training=True, eps=1e-3).view_as(x)
    y = (ours(x, None) - ours.bias) / ours.weight
    assert (y - exact).abs().max() < 2e-6


def test_batch_norm_in_sixteen_bits_has_wide_statistics():
    x, mask = batch_of_frames()
    ours = norms()[0]
    y = ours(x.bfloat16(), mask)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), ours(x.bfloat16().float(), mask), atol=0.02, rtol=0.01)


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("frames", [1, 2])
def test_a_batch_of_one_frame_leaves_the_running_statistics_finite(frames):
    norm = MaskedBatchNorm(3)
    y = norm(torch.randn(1, frames, 3), torch.tensor([[True, False]])[:, :frames])
    assert y.isfinite().all() and norm.running_var.isfinite().all()
    torch.testing.assert_close(norm.running_var, torch.full((3,), 0.99))


def test_running_statistics_move_by_keras_momentum():
    norm = MaskedBatchNorm(1)
    norm(torch.tensor([[[0.0], [2.0], [100.0]]]), torch.tensor([[True, True, False]]))
    torch.testing.assert_close(norm.running_mean, torch.tensor([0.01]))
    torch.testing.assert_close(norm.running_var, torch.tensor([0.99 + 0.01 * 2.0]))
    assert norm.eps == 1e-3


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("training", [True, False])
def test_a_shared_mask_gives_what_its_tensor_gives(training):
    x, mask = batch_of_frames()
    one, other = (norms()[0].train(training) for _ in range(2))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(x, mask), other(x, FrameMask(mask)))
    assert torch.equal(one.running_var, other.running_var)
