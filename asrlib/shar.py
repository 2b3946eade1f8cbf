"""Corpora too large for memory: lhotse's Shar, shards that are read one by one (Lesson 09).

    write_shar(cuts, folder)      a folder a split, in it cuts.000000.jsonl.gz with recording.000000.tar, …
    load_corpus(folder, "train")  reads them: a lazy CutSet, which trains, tests and transcribes as any other

A training holds one shard at a time, never the corpus; of several processes each reads its own shards, and a
resumed run leaves the shards unread that it has heard already.
"""

from __future__ import annotations

import random
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrlib.errors import InputError

if TYPE_CHECKING:
    from lhotse import CutSet
    from lhotse.cut import Cut

# FLAC of 500 utterances as LibriSpeech's takes 120 MB
SHARD_SIZE = 500


def write_shar(cuts: CutSet, folder: str | Path, shard_size: int = SHARD_SIZE) -> list[str]:
    """Writes ``cuts`` as FLAC, each split (``custom["split"]``, else train) in a folder; returns their names.

    The utterances of a split are shuffled, always the same way, because a training's batches are made
    within a shard. The folder appears complete or not at all. Raises InputError for a folder that exists, for
    an empty corpus, audio that cannot be read, and where it cannot be written.
    """
    from lhotse.audio.utils import AudioLoadingError
    from lhotse.shar import SharWriter

    folder = Path(folder)
    if folder.exists():
        raise InputError(f"{folder} exists already: give --shar a folder that does not")
    splits: dict[str, list[Cut]] = {}
    for cut in cuts:
        splits.setdefault((cut.custom or {}).get("split", "train"), []).append(cut)
    if not splits:
        raise InputError(f"{folder}: the corpus has no utterances")
    draft = folder.with_name(folder.name + ".partial")
    shutil.rmtree(draft, ignore_errors=True)  # left by a process that was killed
    try:
        for split, members in splits.items():
            random.Random(split).shuffle(members)
            (draft / split).mkdir(parents=True)
            with SharWriter(draft / split, {"recording": "flac"}, shard_size=shard_size) as writer:
                for cut in members:
                    try:
                        writer.write(cut)
                    except AudioLoadingError:
                        raise InputError(f"{cut.id}: its audio cannot be read, copy it again") from None
        draft.rename(folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}): is the disk full?") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return list(splits)


def is_shar(folder: str | Path) -> bool:
    """Whether a folder holds shards, and no manifest.tsv."""
    return not Path(folder, "manifest.tsv").is_file() and bool(splits_of(folder))


def splits_of(folder: str | Path) -> dict[str, Path]:
    """The folder of each split's shards; shards that lie in no such folder are ``train``."""
    places = {place.name: place for place in sorted(Path(folder).glob("*/"))} | {"train": Path(folder)}
    if Path(folder, "train").is_dir():
        places["train"] = Path(folder, "train")
    return {split: place for split, place in places.items() if any(place.glob("cuts.*.jsonl*"))}


def load_shar(folder: str | Path, split: str | None = None) -> CutSet:
    """The lazy CutSet of a split's shards (None: of all). InputError names a split that is not there."""
    from lhotse import CutSet

    places = splits_of(folder)
    if split is not None and split not in places:
        raise InputError(f"{folder}: there is no split {split!r}; it has {', '.join(places)}")
    fields: dict[str, list[str]] = {"cuts": [], "recording": []}
    for place in places.values() if split is None else [places[split]]:
        for field, names in (("cuts", "cuts.*.jsonl*"), ("recording", "recording.*.tar*")):
            fields[field] += [str(path) for path in sorted(place.glob(names))]
        if len(fields["cuts"]) != len(fields["recording"]):
            raise InputError(f"{place}: its shards are not complete; write them again, or copy the rest")
    return CutSet.from_shar(fields=fields)


def shards_of(cuts: CutSet) -> list[dict[str, Any]] | None:
    """The files of each shard, by field; None for a CutSet that is no Shar corpus."""
    from lhotse.shar.readers.lazy import LazySharIterator

    return cuts.data.shards if isinstance(cuts.data, LazySharIterator) else None


def without_audio(cuts: CutSet) -> CutSet:
    """The same utterances read from the manifests alone, where there are shards: texts and durations."""
    from lhotse import CutSet

    shards = shards_of(cuts)
    return cuts if shards is None else CutSet.from_shar(fields={"cuts": [shard["cuts"] for shard in shards]})


class ShardBatchSampler:
    """As ``BatchSampler``, from shards; memory does not grow with their number.

    An epoch goes through the shards in an order of its own, one after another, of several processes each
    through its own: as many shards at a time as there are processes. All processes make equally many
    batches of these, utterances of similar length together, in an order of their own.
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
        """Batches from the one numbered ``first``; shards that come before are not opened."""
        for shards, batches in self._windows(number):
            if first >= len(batches):
                first -= len(batches)
                continue
            wanted = {name for batch in batches for name in batch}
            held = {cut.id: cut for shard in shards for cut in _read(shard) if cut.id in wanted}
            for batch in islice(batches, first, None):
                yield [held.pop(name) for name in batch]
            first = 0

    def count(self, number: int) -> int:
        """The batches of an epoch, from the manifests alone."""
        return sum(len(batches) for _, batches in self._windows(number))

    def padding(self, cuts: Sequence[Cut]) -> tuple[int, int] | None:
        """No more than the longest of a batch needs."""
        return None

    def _windows(self, number: int) -> Iterator[tuple[list[dict[str, Any]], list[list[str]]]]:
        """For as many shards as there are processes at a time: this process' own, and its batches of ids."""
        draw = random.Random(f"{self.seed} {number}")
        order = draw.sample(self.shards, len(self.shards))
        for start in range(0, len(order), self.processes):
            window = order[start : start + self.processes]
            lengths = [{cut.id: cut.duration for cut in _read({"cuts": shard["cuts"]})} for shard in window]
            shares, mine = lengths, [window[self.rank]] if self.rank < len(window) else []
            plans = [self._batches(share) for share in shares]
            most = max(map(len, plans))
            if len(window) < self.processes or most > min(map(len, shares)):
                # too few shards for all, or too small ones: everybody reads them and takes a part
                together = sorted((item for each in lengths for item in each.items()), key=lambda i: i[::-1])
                if len(together) < self.processes:
                    raise InputError(
                        f"{self.processes} processes cannot share {len(together)} utterances, all that"
                        f" {window[0]['cuts']} has: start fewer, or write the shards again"
                    )
                shares, mine = [dict(together[r :: self.processes]) for r in range(self.processes)], window
                plans = [self._batches(share) for share in shares]
                most = min(max(map(len, plans)), min(map(len, shares)))
            batches = _so_many(plans[self.rank], most)
            draw.shuffle(batches)
            yield mine, batches

    def _batches(self, lengths: dict[str, float]) -> list[list[str]]:
        batches, seconds = [[]], 0.0
        for name, duration in sorted(lengths.items(), key=lambda item: item[::-1]):
            size = len(batches[-1])
            if self.batch_utterances:
                full = size >= self.batch_utterances
            else:
                full = seconds + duration > self.batch_seconds
            if size and full:
                batches.append([])
                seconds = 0.0
            batches[-1].append(name)
            seconds += duration
        return batches


def _so_many(batches: list[list[str]], count: int) -> list[list[str]]:
    """Makes ``count`` batches: the ones of most utterances are halved, those of fewest put together."""
    batches = sorted(batches, key=len)
    while len(batches) > count:
        batches = sorted([batches[0] + batches[1], *batches[2:]], key=len)
    while len(batches) < count:
        largest = batches.pop()
        batches += [largest[::2], largest[1::2]]
        batches.sort(key=len)
    return batches


def _read(shard: dict[str, Any]) -> Iterator[Cut]:
    from lhotse import CutSet

    try:
        yield from CutSet.from_shar(fields={field: [path] for field, path in shard.items()})
    except (OSError, EOFError, ValueError, AssertionError, RuntimeError, tarfile.TarError) as error:
        reason = " ".join(str(error).split())[:150]
        raise InputError(f"{shard['cuts']}: this shard cannot be read ({reason}); copy it again") from None
