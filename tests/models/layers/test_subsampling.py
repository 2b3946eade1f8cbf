"""Depthwise-striding subsampling: shapes, against plain PyTorch, padding that changes nothing."""

import pytest
import torch
import torch.nn.functional as F

from asrlib.models.layers.subsampling import DepthwiseStriding


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("frames", [1, 7, 8, 9, 64, 65])
def test_one_frame_for_eight_and_begun_eights(frames):
    assert DepthwiseStriding(20, 4, 6)(torch.randn(2, frames, 20), None).shape == (2, -(-frames // 8), 6)


def test_it_is_three_convolutions_and_a_matrix():
    layer, x = DepthwiseStriding(20, 4, 6), torch.randn(1, 30, 20)
    image = F.silu(F.conv2d(x[:, None], layer.first.weight, layer.first.bias, 2, 1))
    for wide, narrow in zip(layer.depthwise, layer.pointwise, strict=True):
        image = F.conv2d(image, wide.weight, wide.bias, 2, 1, groups=4)
        image = F.silu(
            torch.einsum("oi,bitf->botf", narrow.weight[:, :, 0, 0], image) + narrow.bias[:, None, None]
        )
    rows = torch.stack([layer.linear.weight @ image[0, :, t].flatten() for t in range(image.shape[2])])
    torch.testing.assert_close(layer(x, None)[0], rows, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 15, 17, 24, 29])
def test_padding_changes_nothing_unless_it_may_leak(length):
    layer, x = DepthwiseStriding(20, 4, 6), torch.randn(1, 40, 20)
    alone = layer(x[:, :length], None)[0]
    lengths = torch.tensor([length])
    torch.testing.assert_close(layer(x, lengths)[0, : len(alone)], alone, atol=1e-6, rtol=1e-5)
    layer.masked = False
    leaked = layer(x, lengths)[0, : len(alone)]
    # an even number at each of the three convolutions ends where its last window ends
    assert torch.allclose(leaked, alone, atol=1e-6) == (length % 8 == 0)


def test_how_far_a_frame_sees():
    layer = DepthwiseStriding(20, 4, 6)
    x = torch.randn(1, 80, 20, requires_grad=True)
    layer(x, None)[0, 5].sum().backward()
    seen = x.grad.abs().sum((0, 2)).nonzero().flatten()
    assert (int(seen.min()), int(seen.max())) == (40 - layer.reach, 40 + layer.reach)
