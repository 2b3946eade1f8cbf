"""Self-attention over the frames of a padded batch, over all frames or in a window around each frame.

It uses ``scaled_dot_product_attention``. Without a mask, this runs a GPU's flash kernels, which never hold a
matrix of all pairs of frames. Vaswani et al. 2017, section 3.2.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from asrlib.backend import is_traced
from asrlib.models.layers.positions import rotate

Rotary = tuple[Tensor, Tensor]


class SelfAttention(nn.Module):
    """Multi-head self-attention without biases. It never attends to padding.

    A single projection computes queries, keys and values, in this order, of ``heads`` · ``head_dim`` channels
    each.
    """

    def __init__(self, dim: int, heads: int, head_dim: int, dropout: float = 0.0):
        super().__init__()
        self.heads, self.head_dim, self.dropout = heads, head_dim, dropout
        self.queries_keys_values = nn.Linear(dim, 3 * heads * head_dim, bias=False)
        self.output = nn.Linear(heads * head_dim, dim, bias=False)

    def forward(
        self,
        x: Float[Tensor, "batch frames dim"],
        valid: Bool[Tensor, "batch frames"] | None = None,
        rotary: Rotary | None = None,
        window: int | None = None,
    ) -> Float[Tensor, "batch frames dim"]:
        """Attend to the frames in ``valid``, at most ``window`` frames away on either side.

        None means all frames for both. ``rotary`` is the result of ``rotary_table``. Output in the padding is
        finite and meaningless.
        """
        batch, frames, _ = x.shape
        shape = batch, frames, 3, self.heads, self.head_dim
        q, k, v = self.queries_keys_values(x).view(shape).permute(2, 0, 3, 1, 4)
        if rotary is not None:
            q, k = rotate(q, *rotary), rotate(k, *rotary)
        dropout = self.dropout if self.training else 0.0
        if window is None or (not is_traced() and window >= frames - 1):
            out = F.scaled_dot_product_attention(q, k, v, _open_keys(valid), dropout)
        elif is_traced():  # a graph would record the example's number of blocks
            out = F.scaled_dot_product_attention(q, k, v, band(frames, window, valid, x.device), dropout)
        else:
            out = windowed_attention(q, k, v, valid, window, dropout)
        return self.output(out.transpose(1, 2).flatten(2))


def _open_keys(valid: Bool[Tensor, "batch frames"] | None) -> Bool[Tensor, "batch 1 1 frames"] | None:
    """Return which keys may be attended to. The first always may, because a row without keys gives NaN."""
    if valid is None:
        return None
    first = torch.arange(valid.shape[1], device=valid.device) == 0
    return (valid | first)[:, None, None]


def band(
    frames: int, window: int, valid: Bool[Tensor, "batch frames"] | None, device: torch.device
) -> Bool[Tensor, "_ 1 frames frames"]:
    """Return which keys each query sees: its own, and those in ``valid`` at most ``window`` frames away."""
    position = torch.arange(frames, device=device)
    distance = (position[:, None] - position).abs()
    near = (distance <= window)[None, None]
    return near if valid is None else near & valid[:, None, None] | (distance == 0)


def windowed_attention(
    q: Float[Tensor, "batch heads frames head_dim"],
    k: Float[Tensor, "batch heads frames head_dim"],
    v: Float[Tensor, "batch heads frames head_dim"],
    valid: Bool[Tensor, "batch frames"] | None,
    window: int,
    dropout: float = 0.0,
) -> Float[Tensor, "batch heads frames head_dim"]:
    """Compute attention with the mask ``band`` in time and memory proportional to frames · window.

    Queries are cut into blocks, and a block sees itself and ``window`` frames on either side. The result is
    that of the full matrix with the mask, not an approximation.
    """
    batch, heads, frames, head_dim = q.shape
    block = max(window, 16)
    blocks = -(-frames // block)
    behind = blocks * block - frames
    span = block + 2 * window  # keys that a block of queries may see
    queries = F.pad(q, (0, 0, 0, behind)).view(batch, heads, blocks, block, head_dim).transpose(1, 2)
    keys, values = (
        F.pad(x, (0, 0, window, behind + window)).unfold(2, span, block).permute(0, 2, 1, 4, 3)
        for x in (k, v)
    )
    exists = torch.ones(1, frames, dtype=torch.bool, device=q.device) if valid is None else valid
    exists = F.pad(exists, (window, behind + window)).unfold(1, span, block)[:, :, None, None]
    offset = torch.arange(span, device=q.device) - window - torch.arange(block, device=q.device)[:, None]
    mask = exists & (offset.abs() <= window) | (offset == 0)
    mask = mask.expand(batch, blocks, 1, block, span).flatten(0, 1)
    out = F.scaled_dot_product_attention(
        queries.flatten(0, 1), keys.flatten(0, 1), values.flatten(0, 1), mask, dropout
    )
    out = out.view(batch, blocks, heads, block, head_dim).transpose(1, 2).flatten(2, 3)
    return out[:, :, :frames]
