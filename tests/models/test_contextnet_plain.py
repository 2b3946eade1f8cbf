"""The plain ContextNet is the oracle: on the same weights asrlib's encoder gives the same numbers."""

import pytest
import torch

from asrlib.models.contextnet import BlockConfig, ContextNetEncoder, standard_blocks
from asrlib.models.contextnet_plain import PlainEncoder, copy_weights

BLOCKS = [
    BlockConfig(16, layers=1, residual=False),
    BlockConfig(24, layers=3, kernel=3, stride=2),
    BlockConfig(24, layers=2, stride=2),
    BlockConfig(32, layers=1, residual=False),
]


@pytest.fixture(params=["a few blocks", "all of them"])
def both(request):
    """asrlib's encoder and the plain one with its weights, in float64."""
    torch.manual_seed(1)
    blocks, alpha = (BLOCKS, 1.0) if request.param == "a few blocks" else (standard_blocks(), 1 / 16)
    ours = ContextNetEncoder(10, blocks, alpha).double()
    for name, buffer in ours.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.3)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    plain = PlainEncoder(10, blocks, alpha).double()
    copy_weights(plain, ours)
    return ours, plain


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("frames", [40, 37])
def test_without_padding_both_give_the_same_frames_statistics_and_gradients(both, training, frames):
    found = []
    features = torch.randn(3, frames, 10, dtype=torch.float64)
    ours, plain = (encoder.train(training) for encoder in both)
    for out, encoder in ((ours(features)[0], ours), (plain(features), plain)):
        out.square().mean().backward()
        found.append((out, [p.grad.flatten() for p in encoder.parameters()], list(encoder.buffers())))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-9, atol=1e-9)
    for mine, other in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-7, atol=1e-9)
    for mine, other in zip(found[0][2], found[1][2], strict=True):
        torch.testing.assert_close(mine, other)


def test_both_have_the_same_width_and_as_many_numbers(both):
    ours, plain = both
    assert ours.dim == plain.dim
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in plain.parameters())
