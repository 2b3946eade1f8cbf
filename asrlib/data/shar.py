"""Corpora too large for memory, in lhotse's Shar format: shards that are read one by one. Lesson 09.

    write_shar(cuts, folder)      write a folder per split with cuts.000000.jsonl.gz, recording.000000.tar, …
    load_corpus(folder, "train")  return a lazy CutSet, usable like any other

Training holds one shard in memory at a time, never the corpus (``asrlib.data.shard_sampler``).
"""

from __future__ import annotations

import io
import json
import math
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrlib.data.audio import cut_audio
from asrlib.errors import InputError
from asrlib.extras import extra
from asrlib.reading import damaged, read_json, shown

if TYPE_CHECKING:
    from lhotse import CutSet
    from lhotse.cut import Cut

# two hours of speech at 16 kHz: a process holds a shard in memory, about 120 MB of FLAC
SHARD_SECONDS = 7200.0
# written last: {split: {file: bytes}}, to detect an incomplete copy
INDEX = "shards.json"
# suffix of the folder while it is being written
DRAFT = ".partial"


def write_shar(cuts: CutSet, folder: str | Path, shard_size: int | None = None) -> list[str]:
    """Write ``cuts`` as Shar shards of FLAC, one folder per split, and return the names of the splits.

    The split of a cut is ``custom["split"]``, or ``train`` without that. A shard has ``shard_size``
    utterances; None means about two hours of speech. The utterances of a split are shuffled, because training
    makes batches within a shard, and always in the same way. The folder appears complete or not at all.
    Raises ``InputError`` if the folder exists or cannot be written, the corpus is empty, two utterances share
    an id, the name of a split cannot be that of a folder, or audio cannot be read.
    """
    folder = Path(folder)
    if folder.exists():
        raise InputError(f"{folder} already exists: give --shar a folder that does not")
    draft = folder.with_name(folder.name + DRAFT)
    try:
        shutil.rmtree(draft, ignore_errors=True)  # left over from a killed process
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
    """Write the shards of a split. Return the size of each file, in bytes, by name."""
    with extra("train"):
        from lhotse.audio.utils import AudioLoadingError
        from lhotse.shar import SharWriter

    size = shard_size or SHARD_SECONDS * len(cuts) / sum(cut.duration for cut in cuts)
    shards = math.ceil(len(cuts) / size)
    each = math.ceil(len(cuts) / shards)  # even, so that the last shard is hardly smaller
    folder.mkdir(parents=True)
    with SharWriter(folder, {"recording": "flac"}, shard_size=each) as writer:
        for cut in cuts:
            try:
                writer.write(cut)
            except AudioLoadingError:
                writer.write(_in_memory(cut))
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir())}


def _in_memory(cut: Cut) -> Cut:
    """Return a cut with its samples in memory.

    lhotse reads the first stream of a file, and only what its header promises. ``cut_audio`` reads all.
    Raises ``InputError`` if that cannot read it either.
    """
    with extra("train"):
        from lhotse import MonoCut, Recording
        from lhotse.utils import fastcopy
    import soundfile

    try:
        samples, rate, file = cut_audio(cut), int(cut.sampling_rate), io.BytesIO()
    except InputError as error:
        raise InputError(f"{cut.id}: its audio cannot be read ({error})") from None
    soundfile.write(file, samples, rate, format="FLAC")
    recording = Recording.from_bytes(file.getvalue(), cut.id)
    supervisions = [fastcopy(each, channel=0, recording_id=cut.id) for each in cut.supervisions]
    duration = len(samples) / rate
    return MonoCut(cut.id, 0.0, duration, 0, supervisions, recording=recording, custom=cut.custom)


def _by_split(cuts: CutSet, folder: Path) -> dict[str, list[Cut]]:
    splits: dict[str, list[Cut]] = {}
    ids = set()
    for cut in cuts:
        split = (cut.custom or {}).get("split", "train")
        if split in (".", "..") or Path(split).name != split:
            raise InputError(f"utterance {cut.id}: its split {split!r} cannot be the name of a folder")
        name = str(Path(cut.id))  # the name in the tar file: without ./ and //
        if name in ids:
            raise InputError(f"two utterances have the id {name}: give each its own (cut.with_id)")
        ids.add(name)
        splits.setdefault(split, []).append(cut if name == cut.id else cut.with_id(name))
    if not splits:
        raise InputError(f"{folder}: the corpus has no utterances")
    return splits


def is_shar(folder: str | Path) -> bool:
    """Return whether a folder holds shards and no manifest.tsv."""
    return not Path(folder, "manifest.tsv").is_file() and bool(shar_splits(folder))


def shar_splits(folder: str | Path) -> dict[str, Path]:
    """Return the folder of each split's shards, by split. Shards outside such folders belong to ``train``."""
    folder = Path(folder)
    if index := _index(folder):
        return {split: folder / split for split in index}
    places = {place.name: place for place in sorted(folder.glob("*/"))} | {"train": folder}
    if (folder / "train").is_dir():
        places["train"] = folder / "train"
    return {split: place for split, place in places.items() if any(place.glob("cuts.*.jsonl*"))}


def load_shar(folder: str | Path, split: str | None = None) -> CutSet:
    """Return a lazy CutSet over the shards of a split. None means all splits.

    Raises ``InputError`` for a split that does not exist, and for files that are missing or truncated.
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
    """Return the files that a folder should hold, with their sizes.

    Empty if lhotse wrote the shards itself.
    """
    path = folder / INDEX
    if not path.is_file():
        return {}
    index = read_json(path)
    with damaged(path, "is damaged", "copy it again"):
        for split, files in index.items():
            for name, size in files.items():
                if {split, name} & {"", ".", ".."} or "/" in split + name or not isinstance(size, int):
                    raise ValueError(f"{shown(split)}: {shown(name)} is not a file with its size")
    return index


class _Shards:
    """Iterate over the cuts of some shards, for a lazy CutSet.

    ``shards`` holds the files of each, by field.
    """

    def __init__(self, shards: list[dict[str, Any]]):
        self.shards = shards

    def __iter__(self) -> Iterator[Cut]:
        for shard in self.shards:
            yield from read_shard(shard)

    def __len__(self) -> int:
        return sum(count_shard(shard) for shard in self.shards)


def shards_of(cuts: CutSet) -> list[dict[str, Any]] | None:
    """Return the files of each shard, by field. Return None for a CutSet that does not come from shards.

    This also works for ``CutSet.from_shar``.
    """
    return getattr(getattr(cuts, "data", None), "shards", None)


def without_audio(cuts: CutSet) -> CutSet:
    """Return the same utterances; of shards read only the manifests, which have the texts and durations."""
    with extra("train"):
        from lhotse import CutSet

    shards = shards_of(cuts)
    return cuts if shards is None else CutSet(_Shards([{"cuts": shard["cuts"]} for shard in shards]))


def parts(cuts: CutSet) -> list[CutSet]:
    """Split a corpus into one lazy CutSet per shard. A corpus without shards is a single part."""
    with extra("train"):
        from lhotse import CutSet

    shards = shards_of(cuts)
    return [cuts] if shards is None else [CutSet(_Shards([shard])) for shard in shards]


def count_shard(shard: dict[str, Any]) -> int:
    """Return the number of utterances in a shard's manifest.

    Raises ``InputError`` if the manifest is damaged.
    """
    with extra("train"):
        from lhotse import CutSet

    try:
        return len(CutSet.from_shar(fields={"cuts": [shard["cuts"]]}))
    except Exception as error:
        raise _unreadable(shard, error) from error


def read_shard(shard: dict[str, Any]) -> Iterator[Cut]:
    """Yield a shard's cuts, with their audio in memory if ``shard`` names a recording file.

    Raises ``InputError`` for damaged or truncated files.
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
    if read < (count := count_shard(shard)):  # lhotse stops silently at the end of the shorter file
        raise _unreadable(shard, f"audio of {read} of {count} utterances")


def _unreadable(shard: dict[str, Any], reason: Any) -> InputError:
    detail = " ".join(str(reason).split())[:150]
    return InputError(f"{shard['cuts']}: this shard cannot be read ({detail}); copy its files again")
