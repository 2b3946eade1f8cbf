"""Sample batches of utterances with similar lengths, in a reproducible order. Lesson 09.

A sampler's ``epoch(number, first)`` yields lists of cuts, ``count(number)`` returns their number, and
``padding(cuts)`` returns the size to pad a batch to. ``asrlib.data.shard_sampler`` does the same from shards.
"""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from asrlib.errors import InputError
from asrlib.extras import extra
from asrlib.signal.augment import longest_after

if TYPE_CHECKING:
    from lhotse import CutSet
    from lhotse.cut import Cut


Item = TypeVar("Item")


class BatchSampler:
    """Draw batches of up to ``batch_seconds`` seconds of speech, or of ``batch_utterances`` cuts if given.

    The same seed, epoch and rank give the same batches. With several ``processes``, a batch is that many
    times larger and divided among them. Together they do what one process does with the larger batch, and use
    each utterance once per epoch. ``rank`` is the number of this process, from 0.
    """

    def __init__(
        self,
        cuts: CutSet,
        batch_seconds: float,
        seed: int,
        rank: int = 0,
        processes: int = 1,
        batch_utterances: int | None = None,
    ):
        self.cuts, self.batch_seconds, self.seed = cuts, batch_seconds, seed
        self.rank, self.processes, self.batch_utterances = rank, processes, batch_utterances

    def epoch(self, number: int, first: int = 0) -> Iterator[list[Cut]]:
        """Yield the batches of epoch ``number``, starting with batch ``first``.

        Raises ``InputError`` if there are fewer utterances than processes.
        """
        yield from islice(self._epoch(number), first, None)

    def count(self, number: int) -> int:
        """Return the number of batches in epoch ``number``."""
        return sum(1 for _ in self._epoch(number))

    def _epoch(self, number: int) -> Iterator[list[Cut]]:
        with extra("train"):
            from lhotse.dataset import DynamicBucketingSampler

        count = len(self.cuts)
        if count < self.processes:
            raise InputError(f"{self.processes} processes cannot share {count} utterances: start fewer")
        if count == 1:  # too few for lhotse's buckets
            yield list(self.cuts)
            return
        utterances = self.batch_utterances and self.batch_utterances * self.processes
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # lhotse warns about corpora that do not fit into memory
            sampler = DynamicBucketingSampler(
                self.cuts,
                max_duration=None if utterances else self.batch_seconds * self.processes,
                max_cuts=utterances,
                num_buckets=min(20, max(2, count // 50)),
                shuffle=True,
                drop_last=False,
                seed=self.seed,
                world_size=1,  # lhotse would distribute whole batches, and some of them twice
                rank=0,
                # lhotse looks at 10,000 cuts at a time; with several corpora these are all of the first one
                num_cuts_for_bins_estimate=max(10_000, count),
                buffer_size=max(10_000, count),
            )
            sampler.set_epoch(number)
            batches = map(list, sampler)
        for batch in shareable(batches, self.processes):
            yield batch[self.rank :: self.processes]

    def padding(self, cuts: Sequence[Cut]) -> tuple[int, int] | None:
        """Return None: pad a batch to its own longest utterance."""
        return None


def shareable(batches: Iterable[list[Item]], processes: int) -> Iterator[list[Item]]:
    """Join a batch with fewer utterances than processes to the one before it (the first one: to the next)."""
    ready: list[Item] = []
    for batch in batches:
        if len(ready) >= processes and len(batch) >= processes:
            yield ready
            ready = []
        ready = ready + batch
    yield ready


class StaticBatchSampler:
    """Draw batches of at most ``buckets`` shapes, for programs that are compiled or recorded per shape.

    Utterances are sorted into buckets by length. All batches of a bucket have the same number of utterances
    and the same padded size, that of the bucket's longest utterance played at ``slowest`` speed. The last
    batch of a bucket is filled up with other utterances of the bucket, so that none is left out.

    ``labels`` are the label numbers of every utterance by id. ``sample_rate`` is that of the padded
    waveforms, in Hz. The other arguments are those of ``BatchSampler``.
    """

    def __init__(
        self,
        cuts: CutSet,
        labels: dict[str, list[int]],
        sample_rate: int,
        batch_seconds: float,
        seed: int,
        rank: int = 0,
        processes: int = 1,
        batch_utterances: int | None = None,
        slowest: float | None = None,
        buckets: int = 4,
    ):
        self.seed, self.rank, self.processes = seed, rank, processes
        self.buckets: list[tuple[list[Cut], int]] = []  # cuts, and batch size over all processes
        self._padding: dict[str, tuple[int, int]] = {}
        ordered = sorted(cuts, key=lambda cut: (cut.duration, cut.id))
        ends = np.cumsum([cut.duration for cut in ordered])
        # each bucket has about the same number of seconds
        bucket_of = np.minimum((ends / ends[-1] * buckets).astype(int), buckets - 1)
        for bucket in np.unique(bucket_of):
            members = [cut for cut, b in zip(ordered, bucket_of, strict=True) if b == bucket]
            count = batch_utterances or max(1, int(batch_seconds // members[-1].duration))
            together = processes * min(count, -(-len(members) // processes))
            samples = math.ceil(members[-1].duration * sample_rate) + 1
            if slowest is not None:
                samples = longest_after(samples, slowest)
            longest = max(len(labels[cut.id]) for cut in members)
            self.buckets.append((members, together))
            self._padding |= {cut.id: (samples, longest) for cut in members}

    def epoch(self, number: int, first: int = 0) -> Iterator[list[Cut]]:
        """Yield the batches of epoch ``number``, starting with batch ``first``."""
        draw = random.Random(f"{self.seed} {number}")
        batches = []
        for members, together in self.buckets:
            order = draw.sample(members, len(members))
            order += (order * together)[: -len(order) % together]
            batches += [order[n : n + together] for n in range(0, len(order), together)]
        draw.shuffle(batches)
        for batch in batches[first:]:
            yield batch[self.rank :: self.processes]

    def count(self, number: int) -> int:
        """Return the number of batches in an epoch, the same for every epoch."""
        return sum(-(-len(members) // together) for members, together in self.buckets)

    def padding(self, cuts: Sequence[Cut]) -> tuple[int, int]:
        """Return the numbers of samples and of labels to pad the batch of these cuts to."""
        return self._padding[cuts[0].id]
