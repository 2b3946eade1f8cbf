"""Features of a recording of any length, block by block, equal to those of the whole recording.

A block's last samples are kept for the windows that the next block completes. ``FrontEnd`` normalizes by the
whole recording's peak, limits by its highest feature, and normalizes by the mean and deviation of its
features. These are measured in earlier passes.
Memory therefore holds only a block, however long the recording.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from asrlib.signal.features import FrontEnd
from asrlib.signal.framing import frame, mirrored, preemphasize
from asrlib.signal.running import running_mean
from asrlib.signal.streaming import StreamingResampler

# yields samples block by block, from the start at every call
Blocks = Callable[[], Iterable[Tensor]]


def resampled(blocks: Blocks, rate: int, new_rate: int, device: torch.device | str = "cpu") -> Blocks:
    """Resample ``blocks`` from ``rate`` Hz to ``new_rate`` Hz and move them to ``device``."""

    def converted() -> Iterable[Tensor]:
        resampler = StreamingResampler(rate, new_rate)
        for block in blocks():
            yield resampler.feed(block).to(device)
        yield resampler.finish().to(device)

    return converted


def pieces(blocks: Blocks, cuts: Sequence[int]) -> Iterator[Blocks]:
    """Yield the pieces of a recording between the ``cuts``, which are samples in rising order.

    A piece may be read several times, but only before the next piece is requested. The first reading of each
    piece continues a pass over ``blocks``, the second reading another one, and so on. There are thus as many
    passes as readings of a piece, and only one block per pass is in memory.
    """
    passes: list[Iterator[tuple[int, Iterator[tuple[int, Tensor]]]]] = []
    for number in range(len(cuts) + 1):
        readings = itertools.count()

        def piece(number: int = number, readings: Iterator[int] = readings) -> Iterable[Tensor]:
            reading = next(readings)
            if reading == len(passes):
                passes.append(itertools.groupby(_numbered(blocks(), cuts), key=lambda part: part[0]))
            for found, parts in passes[reading]:
                if found == number:
                    return (part for _, part in parts)
            return ()

        yield piece


def at_most(blocks: Blocks, most: int) -> Tensor | None:
    """Return the samples of a recording or piece, or None if there are none or more than ``most``."""
    read: list[Tensor] = []
    for block in blocks() if most else ():
        read.append(block)
        most -= len(block)
        if most < 0:
            return None
    return torch.cat(read) if any(map(len, read)) else None


def _numbered(blocks: Iterable[Tensor], cuts: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
    """Yield the blocks, divided at ``cuts``, with the numbers of their pieces."""
    position = number = 0
    for block in blocks:
        while number < len(cuts) and cuts[number] <= position + len(block):
            yield number, block[: cuts[number] - position]
            block = block[cuts[number] - position :]
            position = cuts[number]
            number += 1
        if len(block):
            yield number, block
        position += len(block)


class Whole(NamedTuple):
    """The statistics of a whole recording that a front end normalizes by.

    Samples are divided by ``peak``. ``mean`` and ``deviation`` of the features have an entry per mel bin, or
    a single one. Features below ``lowest`` are raised to it first. The values are 1, 0, 1 and -inf if the
    front end does not normalize.
    """

    peak: Float[Tensor, ""]
    mean: Float[Tensor, "bins"]
    deviation: Float[Tensor, "bins"]
    lowest: Float[Tensor, ""]


class RecordingFeatures:
    """Apply a ``FrontEnd`` block by block. ``whole`` is from ``measure``; ``warp`` stretches frequencies.

    ``raw`` features are without the running mean.
    """

    def __init__(self, front_end: FrontEnd, whole: Whole, warp: float = 1.0, raw: bool = False):
        self.front_end, self.whole = front_end, whole
        self.warp = None if warp == 1.0 else torch.tensor([warp], device=front_end.taper.device)
        self.last = self.newest = self.buffer = front_end.taper.new_zeros(0)
        self.started, self.raw = False, raw
        self.sums: tuple[Tensor, ...] = ()

    def feed(self, samples: Float[Tensor, "n"]) -> Float[Tensor, "frames mels"]:
        """Take samples at the front end's rate; return the frames whose windows they complete."""
        if not len(samples):
            return self._frames(samples)
        samples = samples / self.whole.peak
        joined = torch.cat([self.last, samples])
        emphasized = preemphasize(joined, self.front_end.preemphasis)[len(self.last) :]
        self.last = joined[-1:]
        margin = self.front_end.margin
        self.buffer = torch.cat([self.buffer, emphasized])
        self.newest = torch.cat([self.newest, emphasized])[-margin - 1 :]
        if not self.started:
            if len(self.buffer) <= margin:  # too few samples yet to mirror
                return self._frames(samples[:0])
            self.buffer = torch.cat([self.buffer[1 : margin + 1].flip(0), self.buffer])
            self.started = True
        return self._take()

    def finish(self) -> Float[Tensor, "frames mels"]:
        """Return the remaining frames, at the end of the recording and in the tail."""
        tail = self.feed(self.last.new_zeros(self.front_end.tail if len(self.last) else 0))
        if not self.started and len(self.buffer):  # the whole recording is shorter than the margin
            lengths = torch.tensor([len(self.buffer)], device=self.buffer.device)
            self.buffer = mirrored(self.buffer[None], lengths, self.front_end.margin)[0]
        elif self.front_end.margin:
            self.buffer = torch.cat([self.buffer, self.newest[:-1].flip(0)])
        self.buffer = self.front_end.padded(self.buffer) if len(self.buffer) else self.buffer
        if not self.sums and len(self.buffer) < self.front_end.window:
            return self._frames(self.buffer)
        return torch.cat([tail, self._take()])

    def _take(self) -> Float[Tensor, "frames mels"]:
        """Return the features of the complete windows, and drop the samples that no later window needs."""
        window, hop = self.front_end.window, self.front_end.hop
        count = max(0, 1 + (len(self.buffer) - window) // hop)
        ready, self.buffer = self.buffer[: (count - 1) * hop + window], self.buffer[count * hop :]
        return self._frames(ready if count else ready[:0])

    def _frames(self, samples: Tensor) -> Float[Tensor, "frames mels"]:
        front_end = self.front_end
        if not len(samples):
            return front_end.filters.new_zeros(0, front_end.filters.shape[1])
        features = front_end.log_mels(frame(samples[None], front_end.window, front_end.hop), self.warp)
        features = torch.maximum(features, self.whole.lowest)
        if front_end.normalize == "running" and not self.raw:
            mean, *self.sums = running_mean(features, *self.sums, memory=front_end.running_memory)
            return (features - mean)[0]
        self.sums = self.sums or (samples[:0],)  # marks that there was a frame
        return (features[0] - self.whole.mean) / self.whole.deviation


def measure(front_end: FrontEnd, blocks: Blocks, warps: Sequence[float] = (1.0,)) -> list[Whole]:
    """Return, for each warp, the statistics of the whole recording that the front end normalizes by.

    This takes one pass over ``blocks`` if the front end normalizes the signal, one if it has a ``top_db``,
    and one if it normalizes features.
    """
    taper = front_end.taper
    peak, zero, one = taper.new_ones(()), taper.new_zeros(1), taper.new_ones(1)
    if front_end.normalize_signal:
        peak = max((block.abs().max() for block in blocks() if len(block)), default=peak).clamp(min=1e-9)
    wholes = [Whole(peak, zero, one, taper.new_full((), -torch.inf))] * len(warps)
    if front_end.range is not None:
        tops = [-torch.inf] * len(warps)
        for number, features in _all_features(front_end, blocks, wholes, warps):
            tops[number] = max(tops[number], float(features.max()))
        wholes = [
            whole._replace(lowest=taper.new_tensor(top - front_end.range))
            for whole, top in zip(wholes, tops, strict=True)
        ]
    if front_end.normalize in ("none", "running"):
        return wholes
    moments = [_Moments() for _ in warps]
    for number, features in _all_features(front_end, blocks, wholes, warps):
        moments[number].add(features)
    return [
        Whole(peak, *moment.normalization(front_end), whole.lowest)
        for moment, whole in zip(moments, wholes, strict=True)
    ]


def _all_features(
    front_end: FrontEnd, blocks: Blocks, wholes: Sequence[Whole], warps: Sequence[float]
) -> Iterator[tuple[int, Tensor]]:
    """Yield (index of the warp, some frames) until every frame of the recording was there."""
    every = [RecordingFeatures(front_end, *pair, raw=True) for pair in zip(wholes, warps, strict=True)]
    for block in blocks():
        yield from ((number, found) for number, one in enumerate(every) if len(found := one.feed(block)))
    yield from ((number, found) for number, one in enumerate(every) if len(found := one.finish()))


class _Moments:
    """Mean and sum of squared distances of data in pieces, in float64 (Chan et al. 1983, eq. 2.1)."""

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, torch.zeros(()), torch.zeros(())

    def add(self, x: Float[Tensor, "frames bins"]) -> None:
        if not len(x):
            return
        x = x.double()
        mean = x.mean(0)
        total, apart = self.count + len(x), mean - self.mean.to(mean)
        own = (x - mean).square().sum(0)
        self.squares = self.squares.to(own) + own + apart.square() * (self.count * len(x) / total)
        self.mean = mean - apart * (self.count / total)
        self.count = total

    def normalization(self, front_end: FrontEnd) -> tuple[Tensor, Tensor]:
        """Return the mean and the deviation as ``front_end`` defines them."""
        mean, squares, count = self.mean, self.squares, self.count
        if front_end.normalize == "utterance":
            together = mean.mean(0, keepdim=True)
            squares = (squares + count * (mean - together).square()).sum(0, keepdim=True)
            mean, count = together, count * len(mean)
        number = torch.tensor(float(count), dtype=squares.dtype, device=squares.device)
        return mean.float(), front_end.deviation(squares / number, number).float()
