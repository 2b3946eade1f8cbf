"""Batches from Shar shards, of which a process holds one at a time. Lesson 09."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from asrlib.data.shar import count_shard, read_shard, shards_of
from asrlib.errors import InputError

if TYPE_CHECKING:
    from lhotse import CutSet
    from lhotse.cut import Cut


class ShardBatchSampler:
    """Draw batches as ``BatchSampler`` does, from shards; memory does not grow with their number.

    An epoch goes through the shards one after another, in an order of its own; of several processes each
    reads its own shards, as many at a time as there are processes, and all make equally many batches.
    Utterances are sorted by their length times a random number between 0.9 and 1.1, so that a batch has
    similar lengths and an epoch's batches are not those of the one before.
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
        self.shards, self.batch_seconds, self.seed = shards_of(cuts), batch_seconds, seed
        self.rank, self.processes, self.batch_utterances = rank, processes, batch_utterances

    def epoch(self, number: int, first: int = 0) -> Iterator[list[Cut]]:
        """Yield an epoch's batches from number ``first`` on; shards that come before are not opened."""
        for shards, batches in self.windows(number):
            if first >= len(batches):
                first -= len(batches)
                continue
            wanted = {name for batch in batches[first:] for name in batch}
            held = {cut.id: cut for shard in shards for cut in read_shard(shard) if cut.id in wanted}
            for batch in batches[first:]:
                yield [held.pop(name) for name in batch]
            first = 0

    def count(self, number: int) -> int:
        """Return the number of an epoch's batches, from the manifests alone."""
        return sum(len(batches) for _, batches in self.windows(number))

    def padding(self, cuts: Sequence[Cut]) -> tuple[int, int] | None:
        """Return None: a batch is padded to its own longest utterance."""
        return None

    def windows(self, number: int) -> Iterator[tuple[list[dict[str, Any]], list[list[str]]]]:
        """Yield, for as many shards as there are processes at a time, those that this process reads, and the
        ids of its batches.
        """
        draw = random.Random(f"{self.seed} {number}")
        order = draw.sample(self.shards, len(self.shards))
        windows = [order[n : n + self.processes] for n in range(0, len(order), self.processes)]
        if len(windows) > 1 and sum(map(count_shard, windows[-1])) < self.processes:
            windows[-2:] = [windows[-2] + windows[-1]]  # too few utterances for all processes
        for window in windows:
            shares = [_seconds_of(shard) for shard in window]
            plans = [self._plan(share, draw) for share in shares]
            mine, most = [window[self.rank % len(window)]], max(map(len, plans))
            if len(window) != self.processes or most > min(map(len, shares)):
                # not a shard for each, or one that is too small: every process reads all and takes a part
                shares, mine = self._divided(shares, window), window
                plans = [self._plan(share, draw) for share in shares]
                most = min(max(map(len, plans)), min(map(len, shares)))
            batches = _regrouped(plans[self.rank], most)
            draw.shuffle(batches)
            yield mine, batches

    def _divided(
        self, shares: list[dict[str, float]], window: list[dict[str, Any]]
    ) -> list[dict[str, float]]:
        """Divide the utterances of all shards of a window among the processes, similar lengths for each."""
        together = sorted((item for share in shares for item in share.items()), key=lambda i: i[::-1])
        if len(together) < self.processes:
            raise InputError(
                f"{self.processes} processes cannot share {len(together)} utterances, all that"
                f" {window[0]['cuts']} has: start fewer, or write the shards again"
            )
        return [dict(together[r :: self.processes]) for r in range(self.processes)]

    def _plan(self, seconds_of: dict[str, float], draw: random.Random) -> list[list[str]]:
        return plan_batches(seconds_of, draw, self.batch_seconds, self.batch_utterances)


def _seconds_of(shard: dict[str, Any]) -> dict[str, float]:
    """Return the length of each utterance of a shard, from its manifest alone."""
    return {cut.id: cut.duration for cut in read_shard({"cuts": shard["cuts"]})}


def plan_batches(
    seconds_of: dict[str, float], draw: random.Random, batch_seconds: float, batch_utterances: int | None
) -> list[list[str]]:
    """Put utterances of similar length together, up to ``batch_seconds`` or ``batch_utterances`` in a batch.

    seconds_of: the length of each utterance, by id. Returns ids.
    """
    batches, seconds = [[]], 0.0
    blurred = {name: duration * draw.uniform(0.9, 1.1) for name, duration in seconds_of.items()}
    for name in sorted(blurred, key=blurred.__getitem__):
        duration = seconds_of[name]
        size = len(batches[-1])
        full = size >= batch_utterances if batch_utterances else seconds + duration > batch_seconds
        if size and full:
            batches.append([])
            seconds = 0.0
        batches[-1].append(name)
        seconds += duration
    return batches


def _regrouped(batches: list[list[str]], count: int) -> list[list[str]]:
    """Return ``count`` batches: those of most utterances halved, or those of fewest joined."""
    batches = sorted(batches, key=len)
    while len(batches) > count:
        batches = sorted([batches[0] + batches[1], *batches[2:]], key=len)
    while len(batches) < count:
        largest = batches.pop()
        batches += [largest[::2], largest[1::2]]
        batches.sort(key=len)
    return batches
