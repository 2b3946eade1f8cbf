"""Squeeze-and-excitation: a gate for each channel, computed from context in time.

The squeeze averages every channel over time; the excitation turns the averages into
gates in (0, 1) through a bottleneck; the gates multiply the channels (Hu et al. 2018;
ContextNet, section 2.2.3). What "over time" means is the context:

========  ====================================================================
none      no gate at all
global    all valid frames of the utterance (the paper's choice)
a number  a window of that many *input* frames around each frame (the ablation)
causal    all frames up to each one: a running mean, so that it can stream
========  ====================================================================

Lesson 03.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from asrlib.errors import InputError
from asrlib.models.layers.activations import ACTIVATIONS


def squeeze(
    x: Float[Tensor, "batch frames channels"],
    mask: Bool[Tensor, "batch frames"] | None = None,
    context: str | int = "global",
) -> Float[Tensor, "batch frames_or_1 channels"]:
    """Mean over the valid frames of ``context``; frames in the padding never count.

    ``context`` as an integer is a window in frames of ``x``, centred.
    """
    if mask is None and context == "global":
        return x.mean(1, keepdim=True)
    if mask is None:
        mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
    x = x * mask[..., None]
    if context == "global":
        return x.sum(1, keepdim=True) / mask.sum(1)[:, None, None]
    # at least float32: a running sum in 16 bits drifts
    dtype = torch.promote_types(x.dtype, torch.float32)
    total = torch.cumsum(x.to(dtype), dim=1)
    count = torch.cumsum(mask.to(dtype), dim=1)[..., None]
    if context == "causal":
        return (total / count.clamp(min=1)).to(x.dtype)
    total, count = (torch.nn.functional.pad(c, (0, 0, 1, 0)) for c in (total, count))
    frames = x.shape[1]
    position = torch.arange(frames, device=x.device)
    first = (position - context // 2).clamp(min=0)
    last = (position + (context + 1) // 2).clamp(max=frames)
    return ((total[:, last] - total[:, first]) / (count[:, last] - count[:, first]).clamp(min=1)).to(x.dtype)


class SqueezeExcite(nn.Module):
    """x · sigmoid(W₂ · activation(W₁ · context of x)), with a bottleneck of ``channels // 8``.

    TensorFlowASR's code of 2021 has an activation before the sigmoid, too: ``gate_activation``.
    """

    def __init__(
        self,
        channels: int,
        context: str | int = "global",
        activation: str = "swish",
        gate_activation: str = "linear",
    ):
        super().__init__()
        if not (context in ("global", "causal") or (isinstance(context, int) and context > 0)):
            raise InputError(
                f"SE context is {context!r}; use none, global, causal or a positive number of frames"
            )
        self.context = context
        self.activation = ACTIVATIONS[activation]
        self.gate_activation = ACTIVATIONS[gate_activation]
        bottleneck = max(channels // 8, 1)
        self.down = nn.Linear(channels, bottleneck)
        self.up = nn.Linear(bottleneck, channels)

    def gate(self, z: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """From what the bottleneck says to numbers in (0, 1)."""
        return torch.sigmoid(self.gate_activation(z))

    def gates(
        self, x: Float[Tensor, "batch frames channels"], mask: Bool[Tensor, "batch frames"] | None = None
    ) -> Float[Tensor, "batch frames_or_1 channels"]:
        """The factor on each channel: one for the whole utterance if the context is global."""
        return self._excite(squeeze(x, mask, self.context))

    def forward(
        self, x: Float[Tensor, "batch frames channels"], mask: Bool[Tensor, "batch frames"] | None = None
    ) -> Float[Tensor, "batch frames channels"]:
        return x * self.gates(x, mask)

    def initial_state(self, batch: int = 1) -> tuple[Float[Tensor, "batch 1 channels"], Float[Tensor, ""]]:
        """Return the sum and the number of no frames, in 64 bits, as a long stream needs. Lesson 12."""
        total = self.down.weight.new_zeros(batch, 1, self.down.in_features, dtype=torch.float64)
        return total, total.new_zeros(())

    def step(
        self,
        x: Float[Tensor, "batch frames channels"],
        total: Float[Tensor, "batch 1 channels"],
        count: Float[Tensor, ""],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gate further frames by the mean of all up to each; return them and the sum and number of frames
        to go on from. For the context ``causal``. Lesson 12.
        """
        totals = total + torch.cumsum(x.to(total.dtype), dim=1)
        counts = count + torch.arange(1, x.shape[1] + 1, device=x.device)
        gates = self._excite((totals / counts[:, None]).to(x.dtype))
        return x * gates, totals[:, -1:] if x.shape[1] else total, count + x.shape[1]

    def _excite(self, means: Float[Tensor, "*shape channels"]) -> Float[Tensor, "*shape channels"]:
        return self.gate(self.up(self.activation(self.down(means))))
