"""Running means: of all frames so far, or of the last ones, with a memory that fades. Lessons 03 and 12.

The mean of all frames so far moves less and less. After an hour it is the mean of an hour, most of it silence
perhaps, and a network that was trained on utterances of some seconds has never met such a mean. With a
``memory`` of N frames, every frame counts 1 - 1 / N times as much as the next one:

    total ← (1 - 1 / N) · total + x,   count ← (1 - 1 / N) · count + 1,   mean = total / count

The first frames are averaged almost as without it, and ``count`` never exceeds N. Whatever the length of a
stream, the network meets the means that it was trained with.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from asrlib.backend import is_traced

# frames that are summed at once; more would waste work, fewer would take more steps
_AT_ONCE = 64


def running_mean(
    x: Float[Tensor, "batch frames channels"],
    total: Float[Tensor, "batch 1 channels"] | None = None,
    count: Float[Tensor, ""] | None = None,
    memory: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return each frame's mean over the frames up to it, and the sum and number of all frames.

    Pass the sum and number as ``total`` and ``count`` to continue with the next chunk. None starts them at
    zero, in 64 bits, because a long stream needs the precision. ``memory`` is in frames; None never forgets.
    """
    total = x.new_zeros(x.shape[0], 1, x.shape[2], dtype=torch.float64) if total is None else total
    count = total.new_zeros(()) if count is None else count
    totals = running_sum(x.to(total.dtype), total, memory)
    counts = running_count(count, x.shape[1], memory)
    if not x.shape[1]:
        return totals.to(x.dtype), total, count
    return (totals / counts[:, None]).to(x.dtype), totals[:, -1:], counts[-1]


def running_count(
    count: Float[Tensor, ""], frames: int, memory: int | None = None
) -> Float[Tensor, "frames"]:
    """Return the number of frames up to each of ``frames`` further ones, faded as `running_sum` fades."""
    steps = torch.arange(1, frames + 1, device=count.device)
    if memory is None:
        return count + steps
    faded = (1 - 1 / memory) ** steps.to(count.dtype)
    return faded * count + memory * (1 - faded)


def running_sum(
    x: Float[Tensor, "batch frames channels"],
    before: Float[Tensor, "batch 1 channels"],
    memory: int | None = None,
) -> Float[Tensor, "batch frames channels"]:
    """Return for each frame the sum of the frames up to it, which fades with ``memory``, in frames.

    ``before`` is the sum after the frame before the first.
    """
    if memory is None:
        return before + torch.cumsum(x, dim=1)
    keep, sums = 1 - 1 / memory, []
    # a recorded graph takes any number of frames, so it has no loop over parts of them
    size = x.shape[1] if is_traced() else _AT_ONCE
    ages = torch.arange(size, device=x.device, dtype=x.dtype)
    weights = torch.tril(keep ** (ages[:, None] - ages).clamp(min=0))
    faded = keep ** (ages[:, None] + 1)
    if is_traced():
        return weights @ x + faded * before
    for part in x.split(size, dim=1):
        n = part.shape[1]
        sums.append(weights[:n, :n] @ part + faded[:n] * before)
        before = sums[-1][:, -1:] if n else before
    return torch.cat(sums, dim=1)
