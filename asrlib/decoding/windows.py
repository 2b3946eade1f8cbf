"""Cut a long recording into windows, and join the frames of the windows.

========  ==========================================================================================
average   where windows overlap, average their frames (Flynn & Ragni 2024, section 2.4, on
          probabilities)
middle    keep the frames in the middle of each window, which have context on both sides
========  ==========================================================================================

Both return frames as soon as no later window can change them, so that about one window is in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Span(NamedTuple):
    """A window: its first feature frame, features (frames, mels) per listener, and whether it is the last."""

    start: int
    features: list[Tensor]
    last: bool


class Slicer:
    """Cuts a stream of features into windows of ``width`` frames, one every ``step`` frames.

    The last window ends with the recording and is as wide as the others if the recording is long enough.
    ``width`` and ``step`` must be multiples of ``grid``; every window starts at a multiple of ``grid``.
    """

    def __init__(self, width: int, step: int, grid: int):
        self.width, self.step, self.grid = width, step, grid
        self.kept: list[Tensor] = []  # from frame ``first`` on
        self.first = self.next_start = 0

    def feed(self, features: Sequence[Float[Tensor, "frames mels"]]) -> Iterator[Span]:
        """Yield the windows that these frames complete, except the last; all listeners have equally many."""
        known = self.kept or [each[:0] for each in features]
        self.kept = [torch.cat(pair) for pair in zip(known, features, strict=True)]
        while self.next_start + self.width < self.first + len(self.kept[0]):  # another frame follows
            yield self._cut(self.next_start, self.width, False)
            self._drop(self.next_start)
            self.next_start += self.step

    def finish(self) -> Iterator[Span]:
        """Yield the last window if there were any frames."""
        end = self.first + len(self.kept[0]) if self.kept else 0
        if end:
            start = max(0, end - self.width) // self.grid * self.grid
            yield self._cut(start, end - start, True)

    def _cut(self, start: int, width: int, last: bool) -> Span:
        begin = start - self.first
        return Span(start, [each[begin : begin + width] for each in self.kept], last)

    def _drop(self, start: int) -> None:
        self.kept = [each[start - self.first :].clone() for each in self.kept]
        self.first = start


class Average:
    """Joins windows by averaging those that cover a frame; positions are in frames of the joined output."""

    def __init__(self) -> None:
        self.sums: Tensor | None = None  # from frame ``first`` on
        self.first = 0

    def add(
        self, start: int, frames: Float[Tensor, "frames channels"], last: bool
    ) -> Float[Tensor, "_ channels"]:
        """Add a window; return the frames that are final: those before it, or all if it is the last."""
        ones = torch.cat([frames, torch.ones_like(frames[:, :1])], dim=1)  # the last column counts windows
        done = ones[:0]
        if self.sums is not None:
            done, rest = self.sums[: start - self.first], self.sums[start - self.first :]
            covered = min(len(rest), len(ones))
            ones[:covered] += rest[:covered]
        self.sums, self.first = ones, start
        if last:
            done = torch.cat([done, ones])
        return done[:, :-1] / done[:, -1:]


class Middle:
    """Joins windows by the middle of each; ``margin`` frames are dropped at edges inside the recording."""

    def __init__(self, margin: int):
        self.margin, self.taken = margin, 0

    def add(
        self, start: int, frames: Float[Tensor, "frames channels"], last: bool
    ) -> Float[Tensor, "_ channels"]:
        """Add a window; return its frames that no earlier window has provided."""
        end = start + len(frames) - (0 if last else self.margin)
        kept = frames[self.taken - start : end - start]
        self.taken = max(self.taken, end)
        return kept
