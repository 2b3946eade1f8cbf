"""Sample batches from Shar shards, with one shard in memory at a time. Lesson 09."""

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
    """Draw batches as ``BatchSampler`` does, from shards. Memory does not grow with the number of shards.

    An epoch visits the shards in a random order. With several processes, a window of as many shards as
    processes is visited at a time: each process reads its own shard, and all make the same number of batches.
    Utterances are sorted by their length times a random number between 0.9 and 1.1. A batch therefore has
    similar lengths, and batches differ from epoch to epoch.
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
        """Yield the batches of epoch ``number``, starting with batch ``first``.

        Audio of earlier shards is not read. Raises ``InputError`` for a damaged shard, and if there are too
        few utterances for the processes.
        """
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
        """Return the number of batches in epoch ``number``, from the manifests alone."""
        return sum(len(batches) for _, batches in self.windows(number))

    def padding(self, cuts: Sequence[Cut]) -> tuple[int, int] | None:
        """Return None: pad a batch to its own longest utterance."""
        return None

    def windows(self, number: int) -> Iterator[tuple[list[dict[str, Any]], list[list[str]]]]:
        """Yield, for each window of shards, the shards that this process reads and the ids in its batches.

        A window has as many shards as there are processes.
        """
        draw = random.Random(f"{self.seed} {number}")
        order = draw.sample(self.shards, len(self.shards))
        windows = [order[n : n + self.processes] for n in range(0, len(order), self.processes)]
        if len(windows) > 1 and sum(map(count_shard, windows[-1])) < self.processes:
            windows[-2:] = [windows[-2] + windows[-1]]  # the last has too few utterances for all processes
        for window in windows:
            shares = [_seconds_of(shard) for shard in window]
            plans = [self._plan(share, draw) for share in shares]
            mine, most = [window[self.rank % len(window)]], max(map(len, plans))
            if len(window) != self.processes or most > min(map(len, shares)):
                # a process would have no shard, or too small a one: each reads all shards and takes a part
                shares, mine = self._divided(shares, window), window
                plans = [self._plan(share, draw) for share in shares]
                most = min(max(map(len, plans)), min(map(len, shares)))
            batches = _regrouped(plans[self.rank], most)
            draw.shuffle(batches)
            yield mine, batches

    def _divided(
        self, shares: list[dict[str, float]], window: list[dict[str, Any]]
    ) -> list[dict[str, float]]:
        """Divide the utterances of a window among the processes, with similar lengths for each."""
        together = sorted((item for share in shares for item in share.items()), key=lambda i: i[::-1])
        if len(together) < self.processes:
            raise InputError(
                f"{self.processes} processes cannot share the {len(together)} utterances of"
                f" {window[0]['cuts']}: start fewer processes, or write larger shards"
            )
        return [dict(together[r :: self.processes]) for r in range(self.processes)]

    def _plan(self, seconds_of: dict[str, float], draw: random.Random) -> list[list[str]]:
        return plan_batches(seconds_of, draw, self.batch_seconds, self.batch_utterances)


def _seconds_of(shard: dict[str, Any]) -> dict[str, float]:
    """Return the duration in seconds of each utterance of a shard, by id, from its manifest alone."""
    return {cut.id: cut.duration for cut in read_shard({"cuts": shard["cuts"]})}


def plan_batches(
    seconds_of: dict[str, float], draw: random.Random, batch_seconds: float, batch_utterances: int | None
) -> list[list[str]]:
    """Group utterances of similar length into batches of ``batch_seconds`` or ``batch_utterances`` at most.

    ``seconds_of`` is the duration of each utterance by id. Returns the ids of each batch.
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
    """Return ``count`` batches: halve those with the most utterances, or join those with the fewest."""
    batches = sorted(batches, key=len)
    while len(batches) > count:
        batches = sorted([batches[0] + batches[1], *batches[2:]], key=len)
    while len(batches) < count:
        largest = batches.pop()
        batches += [largest[::2], largest[1::2]]
        batches.sort(key=len)
    return batches
