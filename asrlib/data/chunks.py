"""Chunks of long recordings with word times, for training on any length of context. Lesson 15.

    chunk(cut, 30.0, 50.0)       a part of a recording, with the words that lie wholly inside it
    chunks(cuts, 20.0)           all recordings, cut into consecutive chunks of 20 s
    ChunkSampler(...)            batches of chunks, whose length doubles in the course of training

A word that a chunk's edge cuts in two is heard in part, and is not in the chunk's text (Flynn & Ragni 2024,
section 3.1). A chunk without a whole word is left out.
"""

from __future__ import annotations

import dataclasses
import random
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from typing import TYPE_CHECKING, NamedTuple

from asrlib.data.samplers import shareable
from asrlib.errors import InputError
from asrlib.extras import extra

if TYPE_CHECKING:
    from lhotse import CutSet
    from lhotse.cut import Cut

# word times and durations are rounded: a word may end this many seconds behind a chunk's edge
TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True)
class ChunkLengths:
    """The length of chunks in the course of training: sequence-length warm-up.

    Chunks have ``first`` seconds at the start (None: ``longest``). Whenever ``double_every`` more recordings
    have been used, the length doubles, up to ``longest`` seconds. Flynn & Ragni 2024, section 3.2: from 5 s
    to an hour, doubled every 5,000 recordings.
    """

    longest: float
    first: float | None = None
    double_every: int = 5000

    def after(self, recordings: int) -> float:
        """Return the length in seconds once ``recordings`` recordings have been used."""
        if self.first is None:
            return self.longest
        return min(self.longest, self.first * 2.0 ** min(recordings // self.double_every, 64))


def chunk(cut: Cut, start: float, end: float) -> Cut:
    """Return the part of ``cut`` from ``start`` to ``end`` seconds, with the words wholly inside it.

    Raises ``InputError`` if the cut has no word times.
    """
    return _Words(cut).chunk(start, end)


def chunks(cuts: Iterable[Cut], seconds: float) -> CutSet:
    """Cut recordings into consecutive chunks of ``seconds``; the last of each recording may be shorter.

    Raises ``InputError`` for a recording without word times.
    """
    with extra("train"):
        from lhotse import CutSet

    found = []
    for cut in cuts:
        words = _Words(cut)
        found += [words.chunk(*piece) for piece in _pieces(cut.duration, seconds, 0.0) if words.any(*piece)]
    return CutSet.from_cuts(found).to_eager()


class _Piece(NamedTuple):
    """A chunk to be: the place of its recording, and its start and end in seconds."""

    recording: int
    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


class ChunkSampler:
    """Draw batches of chunks of up to ``batch_seconds`` seconds in all, so the batch halves as chunks double.

    An epoch uses each recording once, in a random order, and cuts it at random places into chunks of the
    length that ``lengths`` gives at that point. Batches mix the chunks of all recordings of that length. The
    order depends only on the seed and the epoch, so a run that is resumed continues with the same batches.
    Memory does not grow with the recordings, but for their word times. Other arguments are those of
    ``BatchSampler``.

    Raises ``InputError`` for a recording without word times, and if no word fits into a chunk.
    """

    def __init__(
        self,
        cuts: CutSet,
        lengths: ChunkLengths,
        batch_seconds: float,
        seed: int,
        rank: int = 0,
        processes: int = 1,
    ):
        self.recordings = [_Words(cut) for cut in cuts]
        self.lengths, self.batch_seconds, self.seed = lengths, batch_seconds, seed
        self.rank, self.processes = rank, processes

    @property
    def seconds(self) -> float:
        """The length of all recordings together."""
        return sum(words.cut.duration for words in self.recordings)

    def epoch(self, number: int, first: int = 0) -> Iterator[list[Cut]]:
        """Yield the batches of epoch ``number``, starting with batch ``first``."""
        for batch in islice(self._epoch(number), first, None):
            yield [
                self.recordings[n].chunk(start, end) for n, start, end in batch[self.rank :: self.processes]
            ]

    def count(self, number: int) -> int:
        """Return the number of batches in epoch ``number``."""
        return sum(1 for _ in self._epoch(number))

    def padding(self, cuts: Sequence[Cut]) -> None:
        """Return None: pad a batch to its own longest chunk."""
        return None

    def _epoch(self, number: int) -> Iterator[list[_Piece]]:
        draw = random.Random(f"{self.seed} {number}")
        order = draw.sample(range(len(self.recordings)), len(self.recordings))
        used = number * len(order)
        planned = ((self.lengths.after(used + place), n) for place, n in enumerate(order))
        nothing = True
        for length, stage in groupby(planned, key=lambda item: item[0]):
            for batch in shareable(self._stage(length, [n for _, n in stage], draw), self.processes):
                if batch:
                    nothing = False
                    yield batch
        if nothing:
            raise InputError(
                f"no word lies wholly inside a chunk of {self.lengths.after(used):g} s: use longer chunks"
            )

    def _stage(self, length: float, recordings: list[int], draw: random.Random) -> Iterator[list[_Piece]]:
        """Yield the batches of some recordings, cut into chunks of ``length`` seconds."""
        pieces = [
            _Piece(n, *piece)
            for n in recordings
            for piece in _pieces(self.recordings[n].cut.duration, length, draw.random() * length)
            if self.recordings[n].any(*piece)
        ]
        while 0 < len(pieces) < self.processes:  # each process needs one
            pieces += pieces[: self.processes - len(pieces)]
        draw.shuffle(pieces)
        # whole chunks first; the rest by length, so that little is padded
        pieces.sort(key=lambda piece: -piece.seconds if piece.seconds < length - TOLERANCE else -length)
        batches: list[list[_Piece]] = []
        for piece in pieces:
            if not batches or not self._has_room(batches[-1]):
                batches.append([])
            batches[-1].append(piece)
        draw.shuffle(batches)
        yield from batches

    def _has_room(self, batch: list[_Piece]) -> bool:
        """Return whether another chunk fits; the first of a batch is its longest."""
        most = self.batch_seconds * self.processes + TOLERANCE
        return len(batch) < self.processes or (len(batch) + 1) * batch[0].seconds <= most


def _pieces(duration: float, length: float, phase: float) -> list[tuple[float, float]]:
    """Cut a duration at ``phase`` and every ``length`` from there, in seconds."""
    if duration <= length + TOLERANCE:
        return [(0.0, duration)]
    edges = [0.0]
    at = phase if phase > TOLERANCE else length
    while at < duration - TOLERANCE:
        edges.append(round(at, 4))
        at += length
    return list(zip(edges, [*edges[1:], duration], strict=True))


class _Words:
    """A recording's words in order of time."""

    def __init__(self, cut: Cut):
        alignment = (cut.supervisions[0].alignment if cut.supervisions else None) or {}
        if not alignment.get("word"):
            raise InputError(
                f"recording {cut.id}: it has no word times, without which its text cannot be cut into chunks;"
                " write them into alignments.json (asrlib.ctc_align finds them)"
            )
        self.cut = cut
        self.items = sorted(alignment["word"], key=lambda item: item.start)
        self.starts = [item.start for item in self.items]

    def inside(self, start: float, end: float) -> Iterator:
        for item in self.items[bisect_left(self.starts, start - TOLERANCE) :]:
            if item.start >= end:
                return
            if item.end <= end + TOLERANCE:
                yield item

    def any(self, start: float, end: float) -> bool:
        return next(self.inside(start, end), None) is not None

    def chunk(self, start: float, end: float) -> Cut:
        cut, words = self.cut, list(self.inside(start, end))
        key = f"{cut.id} {start:.2f}-{end:.2f}"
        told = cut.supervisions[0]
        supervision = dataclasses.replace(
            told,
            id=key,
            start=0.0,
            duration=end - start,
            text=" ".join(item.symbol for item in words),
            alignment={"word": [item.with_offset(-start) for item in words]},
        )
        return dataclasses.replace(
            cut, id=key, start=cut.start + start, duration=end - start, supervisions=[supervision]
        )
