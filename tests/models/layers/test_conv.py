"""Separable convolution and receptive field against PyTorch's own layers and gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from asrlib.errors import InputError
from asrlib.models.layers.conv import (
    PointwiseConv,
    SeparableConv,
    depthwise_conv,
    keras_shift,
    output_length,
    pad_amounts,
    receptive_field,
)
from asrlib.models.layers.mask import FrameMask, frame_mask


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


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 11])
@pytest.mark.parametrize("stride", [1, 2, 3, 6])
def test_keras_same_has_kerass_zeros(kernel, stride):
    """Keras: max((ceil(n / s) - 1) s + k - n, 0) zeros in all, half of them, rounded down, before."""
    ours = SeparableConv(6, 10, kernel, stride, "keras-same")
    theirs = pytorch_separable(ours, 6, 10, kernel, stride)
    for frames in (1, 2, 7, 8, 30):
        x = torch.randn(3, frames, 6)
        zeros = max((-(-frames // stride) - 1) * stride + kernel - frames, 0)
        expected = theirs(F.pad(x.mT, (zeros // 2, zeros - zeros // 2))).mT
        torch.testing.assert_close(ours(x), expected, atol=1e-5, rtol=1e-5)
        assert expected.shape[1] == output_length(frames, stride)


def test_keras_same_of_an_even_length_by_hand():
    """Six frames, kernel 5, stride 2: Keras has a zero before and two after, ``same`` two and two."""
    assert [keras_shift(frames, 5, 2) for frames in (5, 6)] == [0, 1]
    x, last = torch.arange(1.0, 7).view(1, 6, 1), torch.tensor([[0.0, 0, 0, 0, 1]])
    keras, same = (SeparableConv(1, 1, 5, 2, padding) for padding in ("keras-same", "same"))
    for conv in (keras, same):
        conv.depthwise.data, conv.pointwise.weight.data = last, torch.ones(1, 1)
    assert keras(x).flatten().tolist() == [4, 6, 0]
    assert same(x).flatten().tolist() == [3, 5, 0]


@pytest.mark.parametrize("kernel, stride", [(5, 2), (4, 2), (3, 3), (5, 1)])
def test_keras_same_pads_each_utterance_by_its_own_length(kernel, stride):
    conv = SeparableConv(4, 3, kernel, stride, "keras-same")
    x, lengths = torch.randn(5, 13, 4), torch.tensor([13, 12, 11, 8, 1])
    mask = FrameMask(frame_mask(lengths, 13))
    together = conv(x * mask.valid[..., None], mask)
    for row, out, length in zip(x, together, lengths.tolist(), strict=True):
        alone = conv(row[None, :length])[0]
        torch.testing.assert_close(out[: len(alone)], alone, atol=1e-6, rtol=1e-5)


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


# ---- frame by frame ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_steps_over_chunks_of_any_size_give_the_frames_of_the_whole(stride):
    layer = SeparableConv(4, 6, 5, stride, "causal").double()
    shortcut = PointwiseConv(4, 6, stride).double()
    x = torch.randn(2, 23, 4, dtype=torch.float64)
    state, seen, found, straight = layer.initial_state(2), 0, [], []
    assert state.shape == (2, 4, 4) and not state.any()
    for chunk in x.split([3, 0, 1, 7, 1, 1, 10], dim=1):
        y, state = layer.step(chunk, state, seen % (2 * stride))
        found.append(y)
        straight.append(shortcut.step(chunk, seen % stride))
        seen += chunk.shape[1]
    torch.testing.assert_close(torch.cat(found, dim=1), layer(x))
    torch.testing.assert_close(torch.cat(straight, dim=1), shortcut(x))


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
