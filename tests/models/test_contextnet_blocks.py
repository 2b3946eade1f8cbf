"""ContextNet's table of blocks, and a block by hand."""

import pytest
import torch

from asrlib.errors import InputError
from asrlib.models.contextnet import VARIANTS, Block, BlockConfig, standard_blocks


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(1)


def test_downsampling_halves_at_c3_c7_c14_or_c3_alone():
    for downsampling, halved in (("progressive", [3, 7, 14]), ("2x", [3])):
        strides = [block.stride for block in standard_blocks(downsampling=downsampling)]
        assert strides == [2 if index in halved else 1 for index in range(23)]
    with pytest.raises(InputError, match="downsampling is '4x'; use one of progressive, 2x"):
        standard_blocks(downsampling="4x")


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("residual", [True, False])
def test_a_block_is_what_its_description_says(variant, residual):
    block = Block(6, BlockConfig(16, layers=2, stride=2, residual=residual), 1.0, variant, 2).eval()
    swish = torch.nn.functional.silu
    x = torch.randn(2, 9, 6)
    y = x
    for layer in block.layers:
        y = swish(layer.norm(layer.conv(y), None))
    assert [layer.conv.stride for layer in block.layers] == ([1, 2] if variant == "paper" else [1, 2, 1])
    z = block.se.up(swish(block.se.down(y.mean(1, keepdim=True))))
    y = y * torch.sigmoid(swish(z) if variant == "tensorflowasr-2021" else z)
    if residual:
        y = swish(y + block.shortcut_norm(block.shortcut(x), None))
    elif variant != "paper":
        y = swish(y)
    torch.testing.assert_close(block(x, None, None), y)
