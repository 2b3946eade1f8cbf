"""The layers of a Conformer: half-step feed-forwards, attention and a convolution (Gulati et al. 2020).

    x ← x + ½ · feed-forward(LN x)
    x ← x + attention(LN x)
    x ← x + convolution(LN x)
    x ← x + ½ · feed-forward(LN x)
    x ← LN x

The variant is that of Flynn and Ragni 2024, "How Much Context Does My Attention-Based ASR System Need?", with
GELU and without biases in the feed-forwards, and with batch renorm in the convolution.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from asrlib.models.layers.attention import Rotary, SelfAttention
from asrlib.models.layers.batch_norm import MaskedBatchNorm
from asrlib.models.layers.batch_renorm import MaskedBatchRenorm
from asrlib.models.layers.conv import depthwise_conv
from asrlib.models.layers.mask import FrameMask

NORMS = {"batch_renorm": MaskedBatchRenorm, "batch_norm": MaskedBatchNorm}


class FeedForward(nn.Module):
    """A feed-forward network from D to ``expansion`` · D channels and back, with GELU in its tanh form."""

    def __init__(self, dim: int, expansion: int, dropout: float = 0.0):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.widen = nn.Linear(dim, expansion * dim, bias=False)
        self.narrow = nn.Linear(expansion * dim, dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "batch frames dim"]) -> Float[Tensor, "batch frames dim"]:
        return self.dropout(self.narrow(F.gelu(self.widen(self.norm(x)), approximate="tanh")))


class ConvolutionModule(nn.Module):
    """A gated pointwise convolution (GLU), a depthwise one over ``kernel`` frames, norm, SiLU, pointwise."""

    def __init__(self, dim: int, kernel: int, norm: str, dropout: float = 0.0):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.gated = nn.Linear(dim, 2 * dim)
        bound = 1 / math.sqrt(kernel)
        self.depthwise = nn.Parameter(torch.empty(dim, kernel).uniform_(-bound, bound))
        self.depthwise_bias = nn.Parameter(torch.zeros(dim))
        self.batch_norm = NORMS[norm](dim)
        self.output = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch frames dim"], mask: FrameMask | None
    ) -> Float[Tensor, "batch frames dim"]:
        x = F.glu(self.gated(self.norm(x)), dim=-1)
        if mask is not None:
            x = x * mask.valid[..., None]
        x = depthwise_conv(x, self.depthwise) + self.depthwise_bias
        return self.dropout(self.output(self.batch_norm(x, mask, F.silu)))


class ConformerLayer(nn.Module):
    """A layer of the Conformer. Sizes are those of ``ConformerConfig``."""

    def __init__(
        self,
        dim: int,
        heads: int,
        head_dim: int,
        expansion: int,
        kernel: int,
        norm: str = "batch_renorm",
        dropout: float = 0.0,
    ):
        super().__init__()
        self.feed_forward1 = FeedForward(dim, expansion, dropout)
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = SelfAttention(dim, heads, head_dim, dropout)
        self.convolution = ConvolutionModule(dim, kernel, norm, dropout)
        self.feed_forward2 = FeedForward(dim, expansion, dropout)
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        x: Float[Tensor, "batch frames dim"],
        mask: FrameMask | None = None,
        rotary: Rotary | None = None,
        window: int | None = None,
    ) -> Float[Tensor, "batch frames dim"]:
        """Return the layer's output. Frames outside ``mask`` do not affect frames inside it.

        ``rotary`` and ``window`` are those of ``SelfAttention``.
        """
        valid = None if mask is None else mask.valid
        x = x + 0.5 * self.feed_forward1(x)
        x = x + self.attention(self.attention_norm(x), valid, rotary, window)
        x = x + self.convolution(x, mask)
        x = x + 0.5 * self.feed_forward2(x)
        return self.norm(x)
