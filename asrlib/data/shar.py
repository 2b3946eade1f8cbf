"""Corpora too large for memory: lhotse's Shar, shards that are read one by one (Lesson 09).

    write_shar(cuts, folder)      a folder a split, in it cuts.000000.jsonl.gz with recording.000000.tar, …
    load_corpus(folder, "train")  reads them: a lazy CutSet, which trains, tests and transcribes as any other

A training holds one shard at a time, never the corpus; of several processes each reads its own shards, and a
resumed run leaves the shards unread that it has heard already.
"""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrlib.errors import InputError

if TYPE_CHECKING:
    from lhotse import CutSet
    from lhotse.cut import Cut

# two hours of speech at 16 kHz are some 120 MB of FLAC: what a process holds
SHARD_SECONDS = 7200.0
# written last: {split: {file: bytes}}, by which a copy that is not whole is found out
INDEX = "shards.json"
# of the folder while it is written
DRAFT = ".partial"


def write_shar(cuts: CutSet, folder: str | Path, shard_size: int | None = None) -> list[str]:
    """Writes ``cuts`` as FLAC, each split (``custom["split"]``, else train) in a folder; returns their names.

    A shard has ``shard_size`` utterances (None: about two hours of speech). The utterances of a split are
    shuffled, always the same way, because a training's batches are made within a shard. The folder appears
    complete or not at all. Raises InputError for a folder that exists, an empty corpus, an id that two
    utterances share, a split that cannot be a folder's name, audio that cannot be read, and where it cannot
    be written.
    """
    from lhotse.audio.utils import AudioLoadingError
    from lhotse.shar import SharWriter

    folder = Path(folder)
    if folder.exists():
        raise InputError(f"{folder} exists already: give --shar a folder that does not")
    draft = folder.with_name(folder.name + DRAFT)
    try:
        shutil.rmtree(draft, ignore_errors=True)  # left by a process that was killed
        index = {}
        for split, members in _by_split(cuts, folder).items():
            random.Random(split).shuffle(members)
            size = shard_size or SHARD_SECONDS * len(members) / sum(cut.duration for cut in members)
            shards = math.ceil(len(members) / size)
            each = math.ceil(len(members) / shards)  # so the last one is hardly smaller
            (draft / split).mkdir(parents=True)
            with SharWriter(draft / split, {"recording": "flac"}, shard_size=each) as writer:
                for cut in members:
                    try:
                        writer.write(cut)
                    except AudioLoadingError:
                        raise InputError(f"{cut.id}: its audio cannot be read, copy it again") from None
            index[split] = {path.name: path.stat().st_size for path in sorted((draft / split).iterdir())}
        (draft / INDEX).write_text(json.dumps(index, indent=1))
        draft.rename(folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return list(index)


def _by_split(cuts: CutSet, folder: Path) -> dict[str, list[Cut]]:
    splits: dict[str, list[Cut]] = {}
    ids = set()
    for cut in cuts:
        split = (cut.custom or {}).get("split", "train")
        if split in (".", "..") or Path(split).name != split:
            raise InputError(f"utterance {cut.id}: its split {split!r} cannot be the name of a folder")
        name = str(Path(cut.id))  # as the tar file has it: without ./ and //
        if name in ids:
            raise InputError(f"two utterances have the id {name}: give each its own (cut.with_id)")
        ids.add(name)
        splits.setdefault(split, []).append(cut if name == cut.id else cut.with_id(name))
    if not splits:
        raise InputError(f"{folder}: the corpus has no utterances")
    return splits


def is_shar(folder: str | Path) -> bool:
    """Whether a folder holds shards, and no manifest.tsv."""
    return not Path(folder, "manifest.tsv").is_file() and bool(splits_of(folder))


def splits_of(folder: str | Path) -> dict[str, Path]:
    """The folder of each split's shards; shards that lie in no such folder are ``train``."""
    folder = Path(folder)
    if index := _index(folder):
        return {split: folder / split for split in index}
    places = {place.name: place for place in sorted(folder.glob("*/"))} | {"train": folder}
    if (folder / "train").is_dir():
        places["train"] = folder / "train"
    return {split: place for split, place in places.items() if any(place.glob("cuts.*.jsonl*"))}


def load_shar(folder: str | Path, split: str | None = None) -> CutSet:
    """The lazy CutSet of a split's shards (None: of all). InputError names a split that is not there, and a
    file that is missing or shorter than it was written.
    """
    from lhotse import CutSet

    folder, places = Path(folder), splits_of(folder)
    if folder.name.endswith(DRAFT):
        raise InputError(f"{folder} was never finished: write these shards again")
    if split is not None and split not in places:
        raise InputError(f"{folder}: there is no split {split!r}; it has {', '.join(places)}")
    shards = []
    for name in places if split is None else [split]:
        place = places[name]
        for file, size in _index(folder).get(name, {}).items():
            if not (place / file).is_file():
                raise InputError(f"{place / file} is missing: copy the whole folder again")
            if (place / file).stat().st_size != size:
                found = (place / file).stat().st_size
                raise InputError(f"{place / file} has {found:,} of {size:,} bytes: copy it again")
        audio = {path.name.split(".")[1]: str(path) for path in place.glob("recording.*.tar*")}
        for path in sorted(place.glob("cuts.*.jsonl*")):
            number = path.name.split(".")[1]
            if number not in audio:
                raise InputError(f"{place / f'recording.{number}.tar'} is missing: copy the folder again")
            shards.append({"cuts": str(path), "recording": audio.pop(number)})
        if audio:
            number = min(audio)
            raise InputError(f"{place / f'cuts.{number}.jsonl.gz'} is missing: copy the folder again")
    return CutSet(_Shards(shards))


def _index(folder: Path) -> dict[str, dict[str, int]]:
    """What a folder should hold; empty if it is not known, as of shards that others wrote."""
    try:
        return json.loads((folder / INDEX).read_bytes())
    except OSError:
        return {}
    except ValueError:
        raise InputError(f"{folder / INDEX} is damaged: copy it again") from None


class _Shards:
    """What a lazy CutSet iterates over: dictionaries with the files of each shard."""

    def __init__(self, shards: list[dict[str, Any]]):
        self.shards = shards

    def __iter__(self) -> Iterator[Cut]:
        for shard in self.shards:
            yield from _read(shard)

    def __len__(self) -> int:
        return sum(_count(shard) for shard in self.shards)


def shards_of(cuts: CutSet) -> list[dict[str, Any]] | None:
    """The files of each shard, by field; None for a CutSet that is no Shar corpus. Those of
    ``CutSet.from_shar`` are as good.
    """
    return getattr(getattr(cuts, "data", None), "shards", None)


def without_audio(cuts: CutSet) -> CutSet:
    """The same utterances read from the manifests alone, where there are shards: texts and durations."""
    from lhotse import CutSet

    shards = shards_of(cuts)
    return cuts if shards is None else CutSet(_Shards([{"cuts": shard["cuts"]} for shard in shards]))


def parts(cuts: CutSet) -> list[CutSet]:
    """A lazy CutSet for each shard; of other corpora the whole."""
    from lhotse import CutSet

    shards = shards_of(cuts)
    return [cuts] if shards is None else [CutSet(_Shards([shard])) for shard in shards]


class ShardBatchSampler:
    """As ``BatchSampler``, from shards; memory does not grow with their number.

    An epoch goes through the shards in an order of its own, one after another, of several processes each
    through its own: as many shards at a time as there are processes. All processes make equally many
    batches of these, of utterances that are similarly long: they are sorted by their length times a random
    number between 0.9 and 1.1, so that an epoch's batches are not those of the one before.
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
            wanted = {name for batch in batches[first:] for name in batch}
            held = {cut.id: cut for shard in shards for cut in _read(shard) if cut.id in wanted}
            for batch in batches[first:]:
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
        windows = [order[n : n + self.processes] for n in range(0, len(order), self.processes)]
        if len(windows) > 1 and sum(map(_count, windows[-1])) < self.processes:
            windows[-2:] = [windows[-2] + windows[-1]]  # too little for all
        for window in windows:
            shares = [{cut.id: cut.duration for cut in _read({"cuts": shard["cuts"]})} for shard in window]
            plans = [self._batches(share, draw) for share in shares]
            mine, most = [window[self.rank % len(window)]], max(map(len, plans))
            if len(window) != self.processes or most > min(map(len, shares)):
                # not a shard for each, or one that is too small: everybody reads them and takes a part
                together = sorted((item for share in shares for item in share.items()), key=lambda i: i[::-1])
                if len(together) < self.processes:
                    raise InputError(
                        f"{self.processes} processes cannot share {len(together)} utterances, all that"
                        f" {window[0]['cuts']} has: start fewer, or write the shards again"
                    )
                shares, mine = [dict(together[r :: self.processes]) for r in range(self.processes)], window
                plans = [self._batches(share, draw) for share in shares]
                most = min(max(map(len, plans)), min(map(len, shares)))
            batches = _so_many(plans[self.rank], most)
            draw.shuffle(batches)
            yield mine, batches

    def _batches(self, lengths: dict[str, float], draw: random.Random) -> list[list[str]]:
        batches, seconds = [[]], 0.0
        blurred = {name: duration * draw.uniform(0.9, 1.1) for name, duration in lengths.items()}
        for name in sorted(blurred, key=blurred.__getitem__):
            duration = lengths[name]
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


def _count(shard: dict[str, Any]) -> int:
    from lhotse import CutSet

    try:
        return len(CutSet.from_shar(fields={"cuts": [shard["cuts"]]}))
    except Exception as error:
        raise _unreadable(shard, error) from error


def _read(shard: dict[str, Any]) -> Iterator[Cut]:
    from lhotse import CutSet

    read = 0
    try:
        for cut in CutSet.from_shar(fields={field: [path] for field, path in shard.items()}):
            read += 1
            yield cut
    except Exception as error:  # a damaged file can raise anything
        raise _unreadable(shard, error) from error
    if read < (count := _count(shard)):  # lhotse ends where the first of the files ends
        raise _unreadable(shard, f"audio of {read} of {count} utterances")


def _unreadable(shard: dict[str, Any], reason: Any) -> InputError:
    said = " ".join(str(reason).split())[:150]
    return InputError(f"{shard['cuts']}: this shard cannot be read ({said}); copy its files again")
