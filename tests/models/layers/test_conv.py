"""Separable convolution, batch norm and receptive field against PyTorch's own layers and gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from asrlib.errors import InputError
from asrlib.models.layers import conv
from asrlib.models.layers.conv import (
    ACTIVATIONS,
    MaskedBatchNorm,
    PointwiseConv,
    SeparableConv,
    depthwise_conv,
    frame_mask,
    output_length,
    pad_amounts,
    receptive_field,
)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(1)


def pytorch_separable(ours, channels_in, channels_out, kernel, stride):
    """The same two convolutions as nn.Conv1d on (batch, channels, frames), without padding."""
    depthwise = nn.Conv1d(channels_in, channels_in, kernel, stride, groups=channels_in, bias=False)
    pointwise = nn.Conv1d(channels_in, channels_out, 1)
    with torch.no_grad():
        depthwise.weight.copy_(ours.depthwise[:, None])
        pointwise.weight.copy_(ours.pointwise.weight[..., None])
        pointwise.bias.normal_()
        ours.pointwise.bias.copy_(pointwise.bias)
    return nn.Sequential(depthwise, pointwise)


@pytest.mark.parametrize("padding", ["same", "causal"])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 11])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_separable_conv_is_two_conv1d(padding, kernel, stride):
    ours = SeparableConv(6, 10, kernel, stride, padding)
    theirs = pytorch_separable(ours, 6, 10, kernel, stride)
    before = {"causal": kernel - 1, "same": (kernel - 1) // 2}[padding]
    for frames in (1, 2, 7, 8, 30):
        x = torch.randn(3, frames, 6)
        expected = theirs(F.pad(x.transpose(1, 2), (before, kernel - 1 - before))).transpose(1, 2)
        torch.testing.assert_close(ours(x), expected, atol=1e-5, rtol=1e-5)
        assert expected.shape[1] == output_length(frames, stride) == -(-frames // stride)


def test_odd_same_convolution_is_pytorchs_same():
    x, weight = torch.randn(2, 20, 4), torch.randn(4, 5)
    theirs = F.conv1d(x.transpose(1, 2), weight[:, None], padding="same", groups=4).transpose(1, 2)
    torch.testing.assert_close(depthwise_conv(x, weight), theirs)


def test_gradients_are_conv1ds():
    ours = SeparableConv(4, 3, 5, 2)
    theirs = pytorch_separable(ours, 4, 3, 5, 2)
    x = torch.randn(2, 11, 4, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    ours(x).square().sum().backward()
    theirs(F.pad(y.transpose(1, 2), (2, 2))).square().sum().backward()
    torch.testing.assert_close(x.grad, y.grad, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(ours.depthwise.grad, theirs[0].weight.grad[:, 0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kernel", [1, 4, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_causal_output_does_not_change_with_the_future(kernel, stride):
    conv = SeparableConv(3, 3, kernel, stride, "causal")
    x = torch.randn(1, 20, 3)
    changed = x.clone()
    changed[:, 11:] += 5.0
    y, z = conv(x), conv(changed)
    same = torch.arange(y.shape[1]) * stride <= 10
    torch.testing.assert_close(y[:, same], z[:, same])
    assert ((y - z)[:, ~same].abs().amax(2) > 1e-3).all()  # frame n does read frame n · stride


def test_pad_amounts_by_hand():
    assert [pad_amounts(k, "same") for k in (1, 2, 3, 4, 5)] == [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)]
    assert [pad_amounts(k, "causal") for k in (1, 4, 5)] == [(0, 0), (3, 0), (4, 0)]


@pytest.mark.parametrize("cin, cout, kernel", [(80, 128, 5), (128, 256, 5), (7, 3, 4), (3, 3, 9)])
def test_separable_conv_has_few_parameters(cin, cout, kernel):
    conv = SeparableConv(cin, cout, kernel)
    assert sum(p.numel() for p in conv.parameters()) == cin * kernel + cin * cout + cout


def test_the_reviews_example_has_36_weights_not_30():
    conv = SeparableConv(3, 3, 9)
    assert conv.depthwise.numel() + conv.pointwise.weight.numel() == 27 + 9


def test_initial_weights_keep_the_variance():
    x = torch.randn(8, 300, 64)
    assert abs(float(SeparableConv(64, 64, 5)(x).detach().var()) - 1) < 0.2
    assert not SeparableConv(4, 4, 5).pointwise.bias.any()


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_pointwise_conv_is_conv1d_of_kernel_1(stride):
    ours, theirs = PointwiseConv(4, 6, stride), nn.Conv1d(4, 6, 1, stride)
    with torch.no_grad():
        theirs.weight.copy_(ours.linear.weight[..., None])
        theirs.bias.copy_(ours.linear.bias)
    x = torch.randn(2, 10, 4)
    torch.testing.assert_close(ours(x), theirs(x.transpose(1, 2)).transpose(1, 2))


def test_exported_pointwise_conv_is_a_linear_layer(library):
    program = torch.export.export(SeparableConv(6, 4, 3), (torch.randn(2, 9, 6),))
    called = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert sum("conv2d" in name for name in called) == 1  # the depthwise half
    assert sum("linear" in name for name in called) == 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((4, 4, 0), "kernel of a convolution is 0"),
        ((4, 4, 5, 0), "stride of a convolution is 0"),
        ((-1, 4, 5), "channels of a convolution is -1"),
        ((4, 0, 5), "channels of a convolution is 0"),
        ((4, 4, 5, 1, "valid"), "padding is 'valid'; use one of same, causal"),
    ],
)
def test_impossible_convolutions_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        SeparableConv(*arguments)


# ---- batch norm over valid frames --------------------------------------------------------------------------


@pytest.fixture(params=["one process", "as in several"])
def processes(request, monkeypatch):
    """One process of several computes by other operations, as a GPU does."""
    if request.param != "one process":
        monkeypatch.setattr(conv, "in_processes", lambda: True)
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


def test_frame_mask_by_hand():
    mask = frame_mask(torch.tensor([2, 0, 3]), 3)
    assert mask.tolist() == [[True, True, False], [False] * 3, [True] * 3]


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
        arguments = mask if masked else None, weight, bias, norm.eps, ACTIVATIONS[activation]
        return conv._BatchNorm.apply(x, *arguments)[0]

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


# ---- receptive field ---------------------------------------------------------------------------------------


def test_receptive_field_by_hand():
    assert receptive_field([(3, 1), (3, 2), (3, 1)]) == [(3, 1), (5, 2), (9, 2)]
    assert receptive_field([]) == []


@pytest.mark.parametrize("padding", ["same", "causal"])
def test_receptive_field_is_what_gradients_reach(padding):
    layers = [(5, 1), (4, 2), (3, 1), (5, 3), (2, 1), (3, 2)]
    field, step = receptive_field(layers)[-1]
    x = torch.randn(1, 400, 2, dtype=torch.float64, requires_grad=True)
    y = x
    for kernel, stride in layers:
        y = SeparableConv(2, 2, kernel, stride, padding).double()(y)
    assert y.shape[1] == -(-400 // step)
    middle = y.shape[1] // 2
    reached = torch.autograd.grad(y[0, middle].sum(), x)[0][0].abs().sum(1).nonzero()[:, 0]
    assert int(reached[-1] - reached[0]) + 1 == field
    if padding == "causal":
        assert int(reached[-1]) == middle * step
