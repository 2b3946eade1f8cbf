"""Find the pauses at which a long recording can be cut into pieces, by energy.

The level of a recording is its power in dB, every 10 ms, smoothed over 50 ms. What is quieter than the middle
between its quiet and its loud parts for 0.2 s is a pause. The middle and the parts are those of the stretch
under examination, so that loudness may change in the course of a recording. A stretch whose level hardly
changes, such as noise or music, has no pauses.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

_FRAMES_PER_SECOND = 100
_SMOOTHED = 5  # frames
_SHORTEST = 20  # frames of a pause
_QUIET = 0.1  # quantile of the level; loud is the same share from above
_CONTRAST = 12.0  # dB from quiet to loud, below which there are no pauses
_SILENCE = 1e-10  # power; -100 dB


class _Pause(NamedTuple):
    """A pause from frame ``start`` to before frame ``end``."""

    start: int
    end: int

    @property
    def middle(self) -> int:
        return (self.start + self.end) // 2


def find_cuts(blocks: Iterable[Float[Tensor, "_"]], sample_rate: int, longest: int) -> Iterator[int]:
    """Yield the samples at which to cut a recording into pieces of at most ``longest`` samples, in order.

    ``blocks`` has the samples at ``sample_rate`` Hz, in blocks of any size. A cut is in the middle of the
    longest pause that leaves a piece of at least a quarter of ``longest`` on either side. There is speech on
    either side, too: silence at an edge of the recording, or for longer than ``longest``, is part of the
    piece that speaks. Where there is no such pause, a piece goes on until the next one, and is longer than
    ``longest``.

    Memory does not grow with the recording: it has the levels of ``longest`` samples.
    """
    hop = max(1, sample_rate // _FRAMES_PER_SECOND)
    longest = max(4, longest // hop)
    for frame in _cut_frames(_powers(blocks, hop), longest, longest // 4):
        yield frame * hop


def _powers(blocks: Iterable[Tensor], hop: int) -> Iterator[Float[Tensor, "frames"]]:
    """Yield the mean power of every ``hop`` samples; samples at the end that fill no frame are left out."""
    rest = torch.zeros(0)
    for block in blocks:
        rest = torch.cat([rest, block.cpu()])
        whole = len(rest) // hop * hop
        yield rest[:whole].view(-1, hop).square().mean(1)
        rest = rest[whole:]


def _cut_frames(powers: Iterable[Tensor], longest: int, least: int) -> Iterator[int]:
    """Yield the frames at which a piece ends. Pieces have at least ``least`` frames."""
    known, first = torch.zeros(0), 0  # the powers from frame ``first`` on
    start, limit = 0, longest  # the piece's first frame, and for how long it may last
    chunks = itertools.chain(powers, [None])
    for chunk in chunks:
        if chunk is not None:
            known = torch.cat([known, chunk])
        end = first + len(known)
        while start + limit + least <= end or (chunk is None and start + longest < end):
            stop = min(start + limit + least, end)
            pause = _longest_pause(known[: stop - first], start + least - first, stop - least - first)
            if pause is None and stop == end and chunk is None:
                return
            if pause is None:
                limit += max(1, longest // 20)
            else:
                start, limit = first + pause.middle, longest
                yield start
            known, first = known[start + limit - longest - first :], start + limit - longest


def _longest_pause(powers: Float[Tensor, "frames"], earliest: int, latest: int) -> _Pause | None:
    """Return the longest pause, the first of several, whose middle is in ``earliest`` to ``latest``."""
    quiet = _is_quiet(powers)
    if quiet is None:
        return None
    edges = torch.nn.functional.pad(quiet.int(), (1, 1)).diff()
    starts, ends = (edges == 1).nonzero()[:, 0].tolist(), (edges == -1).nonzero()[:, 0].tolist()
    pauses = [
        _Pause(start, end)
        for start, end in zip(starts, ends, strict=True)
        if 0 < start and end < len(quiet) and end - start >= _SHORTEST
    ]
    pauses = [pause for pause in pauses if earliest <= pause.middle <= latest]
    return max(pauses, key=lambda pause: pause.end - pause.start, default=None)


def _is_quiet(powers: Float[Tensor, "frames"]) -> Tensor | None:
    """Return which frames are quiet; None if the level hardly changes."""
    smooth = torch.nn.functional.avg_pool1d(
        powers[None], _SMOOTHED, stride=1, padding=_SMOOTHED // 2, count_include_pad=False
    )[0]
    levels = 10 * smooth.clamp(min=_SILENCE).log10()
    quiet, loud = levels.quantile(torch.tensor([_QUIET, 1 - _QUIET])).tolist()
    return None if loud - quiet < _CONTRAST else levels < (quiet + loud) / 2
