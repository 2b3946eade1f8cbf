"""Self-attention against the textbook's formula, and attention in a window against a full mask."""

import math

import pytest
import torch

from asrlib.models.layers import attention
from asrlib.models.layers.attention import SelfAttention, band, windowed_attention
from asrlib.models.layers.mask import frame_mask
from asrlib.models.layers.positions import rotary_table, rotate


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def textbook(layer, x, rotary=None, allowed=None):
    """softmax(q kᵀ / √d) v of each head, in loops."""
    q, k, v = layer.queries_keys_values(x).chunk(3, dim=-1)
    heads = []
    for head in range(layer.heads):
        part = slice(head * layer.head_dim, (head + 1) * layer.head_dim)
        one, other = q[..., part], k[..., part]
        if rotary is not None:
            one, other = rotate(one, *rotary), rotate(other, *rotary)
        scores = one @ other.mT / math.sqrt(layer.head_dim)
        if allowed is not None:
            scores = scores.masked_fill(~allowed, -math.inf)
        heads.append(scores.softmax(-1) @ v[..., part])
    return layer.output(torch.cat(heads, dim=-1))


@pytest.mark.parametrize("rotary", [True, False])
def test_attention_is_the_textbooks(rotary):
    layer, x = SelfAttention(10, heads=3, head_dim=4), torch.randn(2, 7, 10)
    table = rotary_table(7, 4, 100.0) if rotary else None
    torch.testing.assert_close(layer(x, rotary=table), textbook(layer, x, table), atol=1e-6, rtol=1e-5)


def test_no_biases():
    assert [name for name, _ in SelfAttention(6, 2, 3).named_parameters()] == [
        "queries_keys_values.weight",
        "output.weight",
    ]


def test_padding_is_not_attended_to():
    layer, x = SelfAttention(8, 2, 4), torch.randn(3, 9, 8)
    lengths = torch.tensor([9, 4, 0])
    out = layer(x, frame_mask(lengths, 9))
    assert torch.isfinite(out).all()
    torch.testing.assert_close(out[1, :4], layer(x[1:2, :4])[0], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("frames", [1, 5, 16, 33, 70])
@pytest.mark.parametrize("window", [1, 3, 16, 20])
@pytest.mark.parametrize("masked", [True, False])
def test_a_window_is_exactly_the_full_mask(frames, window, masked):
    q, k, v = torch.randn(3, 2, 2, frames, 4)
    valid = frame_mask(torch.tensor([frames, frames // 2]), frames) if masked else None
    mask = band(frames, window, valid, q.device)
    full = torch.nn.functional.scaled_dot_product_attention(q, k, v, mask)
    torch.testing.assert_close(windowed_attention(q, k, v, valid, window), full, atol=1e-6, rtol=1e-5)


def test_the_mask_of_a_window_by_hand():
    valid = torch.tensor([[True, True, True, False]])
    by_hand = [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 1, 1]]  # its own key is always open
    assert band(4, 1, valid, valid.device)[0, 0].tolist() == [[bool(x) for x in row] for row in by_hand]


def test_a_window_and_its_gradient_through_the_layer(monkeypatch):
    layer, x = SelfAttention(8, 2, 4).double(), torch.randn(2, 50, 8, dtype=torch.float64)
    valid, table = frame_mask(torch.tensor([50, 31]), 50), rotary_table(50, 4, 100.0)
    results = []
    for traced in (False, True):  # blocks, and the full mask of a graph
        monkeypatch.setattr(attention, "is_traced", lambda traced=traced: traced)
        leaf = x.clone().requires_grad_()
        out = layer(leaf, valid, table, window=6)
        (out * valid[..., None]).square().sum().backward()
        results.append((out[valid], leaf.grad))
    torch.testing.assert_close(*results)


def test_a_window_that_covers_everything_is_no_window():
    layer, x = SelfAttention(8, 2, 4), torch.randn(1, 12, 8)
    torch.testing.assert_close(layer(x, window=11), layer(x))
    assert not torch.allclose(layer(x, window=10), layer(x))


def test_a_window_needs_memory_for_its_width_alone():
    """20,000 frames: the full matrix would have 400 million entries."""
    q = torch.randn(1, 1, 20000, 4)
    out = windowed_attention(q, q, q, None, 5)
    near = torch.softmax(q[0, 0, 100] @ q[0, 0, 95:106].T / 2, -1) @ q[0, 0, 95:106]
    torch.testing.assert_close(out[0, 0, 100], near)


def test_dropout_in_training_alone():
    layer, x = SelfAttention(8, 2, 4, dropout=0.5), torch.randn(1, 30, 8)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))
