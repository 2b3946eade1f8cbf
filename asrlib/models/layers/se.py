"""Squeeze-and-excitation: a gate for each channel, computed from context in time. Lesson 03.

The squeeze averages every channel over time. The excitation turns the averages into gates in (0, 1) through a
bottleneck. The gates multiply the channels (Hu et al. 2018; ContextNet, Han et al. 2020, section 2.2.3). The
context is the frames to average over:

========  ====================================================================
none      no gates
global    all valid frames of the utterance (the paper's choice)
a number  a window of that many *input* frames around each frame (the ablation)
causal    all frames up to each one: a running mean, which can stream
========  ====================================================================
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from asrlib.errors import InputError
from asrlib.models.layers.activations import ACTIVATIONS
from asrlib.signal.running import running_mean, running_sum


def squeeze(
    x: Float[Tensor, "batch frames channels"],
    mask: Bool[Tensor, "batch frames"] | None = None,
    context: str | int = "global",
    memory: int | None = None,
) -> Float[Tensor, "batch frames_or_1 channels"]:
    """Return the mean of each channel over the valid frames in ``context``. Lesson 03.

    An integer ``context`` is the width of a centered window, in frames of ``x``. ``mask`` is True at valid
    frames; None means that all are valid. ``memory`` is the number of frames of ``x`` after which the context
    ``causal`` forgets; None is never (`asrlib.signal.running`).
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
    if context == "causal":
        sums = (
            running_sum(y, torch.zeros_like(y[:, :1]), memory)
            for y in (x.to(dtype), mask.to(dtype)[..., None])
        )
        total, count = sums
        return (total / count.clamp(min=1)).to(x.dtype)
    total = torch.cumsum(x.to(dtype), dim=1)
    count = torch.cumsum(mask.to(dtype), dim=1)[..., None]
    total, count = (torch.nn.functional.pad(c, (0, 0, 1, 0)) for c in (total, count))
    frames = x.shape[1]
    position = torch.arange(frames, device=x.device)
    first = (position - context // 2).clamp(min=0)
    last = (position + (context + 1) // 2).clamp(max=frames)
    return ((total[:, last] - total[:, first]) / (count[:, last] - count[:, first]).clamp(min=1)).to(x.dtype)


class SqueezeExcite(nn.Module):
    """Compute x · sigmoid(W₂ · activation(W₁ · squeeze(x))) with a bottleneck of C // 8. Lesson 03.

    An integer ``context`` and ``memory`` are in frames of ``x``, see ``squeeze``. ``gate_activation`` is
    applied before the sigmoid, as in TensorFlowASR's code of 2021. Raises ``InputError`` for an unknown
    context.
    """

    def __init__(
        self,
        channels: int,
        context: str | int = "global",
        activation: str = "swish",
        gate_activation: str = "linear",
        memory: int | None = None,
    ):
        super().__init__()
        if not (context in ("global", "causal") or (isinstance(context, int) and context > 0)):
            raise InputError(
                f"SE context is {context!r}; use none, global, causal or a positive number of frames"
            )
        self.context, self.memory = context, memory
        self.activation = ACTIVATIONS[activation]
        self.gate_activation = ACTIVATIONS[gate_activation]
        bottleneck = max(channels // 8, 1)
        self.down = nn.Linear(channels, bottleneck)
        self.up = nn.Linear(bottleneck, channels)

    def gate(self, z: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return gates in (0, 1) from the output of the bottleneck."""
        return torch.sigmoid(self.gate_activation(z))

    def gates(
        self, x: Float[Tensor, "batch frames channels"], mask: Bool[Tensor, "batch frames"] | None = None
    ) -> Float[Tensor, "batch frames_or_1 channels"]:
        """Return the gate of each channel; one frame for the whole utterance if the context is global."""
        return self._excite(squeeze(x, mask, self.context, self.memory))

    def forward(
        self, x: Float[Tensor, "batch frames channels"], mask: Bool[Tensor, "batch frames"] | None = None
    ) -> Float[Tensor, "batch frames channels"]:
        """Return ``x`` times its gates."""
        return x * self.gates(x, mask)

    def initial_state(self, batch: int = 1) -> tuple[Float[Tensor, "batch 1 channels"], Float[Tensor, ""]]:
        """Return the state of ``step`` before the first frame: sum and number of frames, 0 and 0. Lesson 12.

        They have 64 bits, because a long stream needs the precision.
        """
        total = self.down.weight.new_zeros(batch, 1, self.down.in_features, dtype=torch.float64)
        return total, total.new_zeros(())

    def step(
        self,
        x: Float[Tensor, "batch frames channels"],
        total: Float[Tensor, "batch 1 channels"],
        count: Float[Tensor, ""],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return gated frames, and the new sum and number of frames, for the context ``causal``.

        Lesson 12.
        """
        means, total, count = running_mean(x, total, count, self.memory)
        return x * self._excite(means), total, count

    def _excite(self, means: Float[Tensor, "*shape channels"]) -> Float[Tensor, "*shape channels"]:
        return self.gate(self.up(self.activation(self.down(means))))
