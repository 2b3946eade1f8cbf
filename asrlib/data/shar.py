"""Corpora too large for memory: lhotse's Shar, shards that are read one by one (Lesson 09).

    write_shar(cuts, folder)      a folder per split, in it cuts.000000.jsonl.gz with recording.000000.tar, …
    load_corpus(folder, "train")  reads them: a lazy CutSet, which trains, tests and transcribes as any other

Training holds one shard at a time, never the corpus (``asrlib.data.shard_sampler``).
"""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrlib.errors import InputError
from asrlib.extras import extra

if TYPE_CHECKING:
    from lhotse import CutSet
    from lhotse.cut import Cut

# two hours of speech at 16 kHz are some 120 MB of FLAC, which a process holds
SHARD_SECONDS = 7200.0
# written last: {split: {file: bytes}}, to find a copy that is not whole
INDEX = "shards.json"
# of the folder while it is written
DRAFT = ".partial"


def write_shar(cuts: CutSet, folder: str | Path, shard_size: int | None = None) -> list[str]:
    """Write ``cuts`` as FLAC, each split (``custom["split"]``, else train) in a folder; return their names.

    A shard has ``shard_size`` utterances (None: about two hours of speech). The utterances of a split are
    shuffled, always the same way, because a training's batches are made within a shard. The folder appears
    complete or not at all. Raises InputError for a folder that exists, an empty corpus, an id that two
    utterances share, a split that cannot be a folder's name, audio that cannot be read, and where it cannot
    be written.
    """
    folder = Path(folder)
    if folder.exists():
        raise InputError(f"{folder} exists already: give --shar a folder that does not")
    draft = folder.with_name(folder.name + DRAFT)
    try:
        shutil.rmtree(draft, ignore_errors=True)  # left by a process that was killed
        index = {}
        for split, members in _by_split(cuts, folder).items():
            random.Random(split).shuffle(members)
            index[split] = _write_split(members, draft / split, shard_size)
        (draft / INDEX).write_text(json.dumps(index, indent=1))
        draft.rename(folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return list(index)


def _write_split(cuts: list[Cut], folder: Path, shard_size: int | None) -> dict[str, int]:
    """Write the shards of a split; return the size of each file in bytes."""
    with extra("train"):
        from lhotse.audio.utils import AudioLoadingError
        from lhotse.shar import SharWriter

    size = shard_size or SHARD_SECONDS * len(cuts) / sum(cut.duration for cut in cuts)
    shards = math.ceil(len(cuts) / size)
    each = math.ceil(len(cuts) / shards)  # so the last one is hardly smaller
    folder.mkdir(parents=True)
    with SharWriter(folder, {"recording": "flac"}, shard_size=each) as writer:
        for cut in cuts:
            try:
                writer.write(cut)
            except AudioLoadingError:
                raise InputError(f"{cut.id}: its audio cannot be read, copy it again") from None
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir())}


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
    """Return whether a folder holds shards, and no manifest.tsv."""
    return not Path(folder, "manifest.tsv").is_file() and bool(shar_splits(folder))


def shar_splits(folder: str | Path) -> dict[str, Path]:
    """Return the folder of each split's shards; shards that lie in no such folder are ``train``."""
    folder = Path(folder)
    if index := _index(folder):
        return {split: folder / split for split in index}
    places = {place.name: place for place in sorted(folder.glob("*/"))} | {"train": folder}
    if (folder / "train").is_dir():
        places["train"] = folder / "train"
    return {split: place for split, place in places.items() if any(place.glob("cuts.*.jsonl*"))}


def load_shar(folder: str | Path, split: str | None = None) -> CutSet:
    """Return the lazy CutSet of a split's shards (None: of all).

    Raises InputError for a split that is not there, and a file that is missing or was cut off.
    """
    with extra("train"):
        from lhotse import CutSet

    folder, places = Path(folder), shar_splits(folder)
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
    """Return the files a folder should hold; none where that is not known, as of shards that lhotse wrote."""
    try:
        return json.loads((folder / INDEX).read_bytes())
    except OSError:
        return {}
    except ValueError:
        raise InputError(f"{folder / INDEX} is damaged: copy it again") from None


class _Shards:
    """The cuts of some shards, one after another, for a lazy CutSet; ``shards`` has the files of each."""

    def __init__(self, shards: list[dict[str, Any]]):
        self.shards = shards

    def __iter__(self) -> Iterator[Cut]:
        for shard in self.shards:
            yield from read_shard(shard)

    def __len__(self) -> int:
        return sum(count_shard(shard) for shard in self.shards)


def shards_of(cuts: CutSet) -> list[dict[str, Any]] | None:
    """Return the files of each shard, by field; None for a CutSet that does not come from shards.

    A ``CutSet.from_shar`` does, too.
    """
    return getattr(getattr(cuts, "data", None), "shards", None)


def without_audio(cuts: CutSet) -> CutSet:
    """Return the same utterances, of shards read from the manifests alone: texts and durations."""
    with extra("train"):
        from lhotse import CutSet

    shards = shards_of(cuts)
    return cuts if shards is None else CutSet(_Shards([{"cuts": shard["cuts"]} for shard in shards]))


def parts(cuts: CutSet) -> list[CutSet]:
    """Return a lazy CutSet for each shard; for other corpora the whole."""
    with extra("train"):
        from lhotse import CutSet

    shards = shards_of(cuts)
    return [cuts] if shards is None else [CutSet(_Shards([shard])) for shard in shards]


def count_shard(shard: dict[str, Any]) -> int:
    """Return how many utterances a shard's manifest has."""
    with extra("train"):
        from lhotse import CutSet

    try:
        return len(CutSet.from_shar(fields={"cuts": [shard["cuts"]]}))
    except Exception as error:
        raise _unreadable(shard, error) from error


def read_shard(shard: dict[str, Any]) -> Iterator[Cut]:
    """Yield a shard's cuts, with audio in memory where ``shard`` names a recording file.

    Raises InputError for files that are damaged or cut off.
    """
    with extra("train"):
        from lhotse import CutSet

    read = 0
    try:
        for cut in CutSet.from_shar(fields={field: [path] for field, path in shard.items()}):
            read += 1
            yield cut
    except Exception as error:  # a damaged file can raise anything
        raise _unreadable(shard, error) from error
    if read < (count := count_shard(shard)):  # lhotse ends where the first of the files ends
        raise _unreadable(shard, f"audio of {read} of {count} utterances")


def _unreadable(shard: dict[str, Any], reason: Any) -> InputError:
    detail = " ".join(str(reason).split())[:150]
    return InputError(f"{shard['cuts']}: this shard cannot be read ({detail}); copy its files again")
