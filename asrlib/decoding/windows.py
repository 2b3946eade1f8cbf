"""Windows over a long recording, and the frames of the whole put together from those of the windows.

========  ==========================================================================================
average   where windows overlap, their frames are added and divided by how many cover each: of
          probabilities, a mean (Flynn & Ragni 2024, section 2.4)
middle    of each window the frames in its middle are kept, which have context on both sides
========  ==========================================================================================

Both return frames as soon as no later window can change them, so that a window's worth is in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Span(NamedTuple):
    """A window: its number of feature frames before, and features (frames, mels), one for each listener."""

    start: int
    features: list[Tensor]
    last: bool


class Slicer:
    """Cuts features that come in pieces into windows of ``width`` frames, one every ``step``.

    The last window ends where the recording ends, and is as wide as the others if the recording is; its
    start is a multiple of ``grid``, as ``width`` and ``step`` must be.
    """

    def __init__(self, width: int, step: int, grid: int):
        self.width, self.step, self.grid = width, step, grid
        self.kept: list[Tensor] = []  # from frame ``first`` on
        self.first = self.next_start = 0

    def feed(self, features: Sequence[Float[Tensor, "frames mels"]]) -> Iterator[Span]:
        """Yield the windows that these frames, as many of each listener, complete, but for the last."""
        known = self.kept or [each[:0] for each in features]
        self.kept = [torch.cat(pair) for pair in zip(known, features, strict=True)]
        while self.next_start + self.width < self.first + len(self.kept[0]):  # another frame follows
            yield self._cut(self.next_start, self.width, False)
            self._drop(self.next_start)
            self.next_start += self.step

    def finish(self) -> Iterator[Span]:
        """Yield the last window, if there was any frame."""
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
    """Joins windows by the mean of those that cover a frame. Starts are in frames of what is joined."""

    def __init__(self) -> None:
        self.sums: Tensor | None = None  # from frame ``first`` on
        self.first = 0

    def add(
        self, start: int, frames: Float[Tensor, "frames channels"], last: bool
    ) -> Float[Tensor, "_ channels"]:
        """Take a window; return the frames that are final: those before it, and all when it is the last."""
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
    """Joins windows by the middle of each: ``margin`` frames at an edge inside the recording are left out."""

    def __init__(self, margin: int):
        self.margin, self.taken = margin, 0

    def add(
        self, start: int, frames: Float[Tensor, "frames channels"], last: bool
    ) -> Float[Tensor, "_ channels"]:
        """Take a window; return its frames that no window before had."""
        end = start + len(frames) - (0 if last else self.margin)
        kept = frames[self.taken - start : end - start]
        self.taken = max(self.taken, end)
        return kept
