"""Corpora in one HDF5 file, instead of thousands of small ones: ours, and csr-pytorch's. Lesson 14.

    write_hdf5(cuts, "x.h5")          write any corpus; `asrlib data NAME --hdf5 x.h5` does it, too
    load_corpus("x.h5", "train")      read it, as lhotse cuts whose samples stay in the file
    write_words(cuts, "words.h5")     write csr-pytorch's layout: one word and one second each

    ours            /samples (float32, all utterances behind one another), and for each utterance /start and
                    /length (samples), /rate (Hz), /id, /text, /speaker, /split, /times (JSON, or empty)
    csr-pytorch's   /ds/data (N, 16000), a second at 16 kHz each, and /ds/label (N), words or their numbers;
                    the words that numbers stand for are the attribute ``words`` of /ds/label

csr-pytorch itself does not store what its numbers stand for: they follow the order in which a folder was
listed, which differs from one machine to another.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asrlib.data.audio import cut_audio
from asrlib.data.manifest import Row, alignment_items, assign_splits, split_names
from asrlib.errors import InputError, first_line
from asrlib.extras import extra

if TYPE_CHECKING:  # importing lhotse takes seconds, so it happens inside the functions
    import h5py
    from lhotse import CutSet
    from lhotse.cut import Cut

SUFFIXES = (".h5", ".hdf5")
# attribute of our files, with the number of their layout
LAYOUT = "asrlib_layout"
# samples of a recording, and Hz, in csr-pytorch's layout
SECOND = 16000
_TEXTS = ("id", "text", "speaker", "split", "times")


def is_hdf5(name: str | Path) -> bool:
    """Return whether a name is that of an HDF5 file, there or not."""
    return Path(name).suffix.lower() in SUFFIXES and not Path(name).is_dir()


# -------------------------------------------------------------------------------- read


def load_hdf5(path: str | Path, split: str | None = None) -> CutSet:
    """Return the utterances of a split of a file in either layout as an eager CutSet. None means all splits.

    Samples are not read here but in ``cut_audio``, by whichever process asks for them. An utterance of
    csr-pytorch's layout, which has neither speakers nor splits, is assigned to one by a hash of its number.

    Raises ``InputError`` for a file that is missing, damaged or has another layout, and for a split that does
    not exist.
    """
    with extra("train"):
        from lhotse import CutSet

    path = Path(path)
    with _reading(path) as file:
        rows = _our_rows(file, path) if LAYOUT in file.attrs else _word_rows(file, path)
    known = split_names([row for row, *_ in rows])
    if split is not None and split not in known:
        raise InputError(f"{path}: there is no split {split!r}; it has {', '.join(known)}")
    chosen = [entry for entry in rows if split in (None, entry[0].split)]
    return CutSet.from_cuts([_cut(path, *entry) for entry in chosen]).to_eager()


def hdf5_splits(path: str | Path) -> list[str]:
    """Return the names of a file's splits. Raises ``InputError`` as ``load_hdf5`` does."""
    path = Path(path)
    with _reading(path) as file:
        rows = _our_rows(file, path) if LAYOUT in file.attrs else _word_rows(file, path)
    return split_names([row for row, *_ in rows])


# a row, and of its samples: dataset, place (start, or row of a matrix), number, rate in Hz; and its times
_Entry = tuple[Row, str, int, int, int, dict[str, Any] | None]


def _our_rows(file: h5py.File, path: Path) -> list[_Entry]:
    total = len(_dataset(file, "samples", path))
    columns = {name: _dataset(file, name, path).asstr()[:] for name in _TEXTS}
    numbers = {name: _dataset(file, name, path)[:] for name in ("start", "length", "rate")}
    if len({len(column) for column in (*columns.values(), *numbers.values())}) != 1:
        raise InputError(f"{path}: its columns differ in length; write it again")
    if (numbers["start"] + numbers["length"] > total).any() or (numbers["length"] < 1).any():
        raise InputError(f"{path}: an utterance lies outside its samples; write it again")
    entries: list[_Entry] = []
    for place, (name, text, speaker, split, times) in enumerate(zip(*columns.values(), strict=True)):
        row = Row(place, name, text, speaker or None, split)
        start, length, rate = (int(numbers[key][place]) for key in ("start", "length", "rate"))
        entries.append((row, "samples", start, length, rate, json.loads(times) if times else None))
    return entries


def _word_rows(file: h5py.File, path: Path) -> list[_Entry]:
    data, labels = (_dataset(file, name, path) for name in ("ds/data", "ds/label"))
    if data.ndim != 2 or labels.shape != data.shape[:1]:
        raise InputError(
            f"{path}: ds/data has shape {data.shape}, ds/label {labels.shape}; expected (N, samples) and (N,)"
        )
    words = _words_of(labels, path)
    rows = [Row(n, f"{n:06d}", word, None, "") for n, word in enumerate(words)]
    assign_splits(rows)
    return [(row, "ds/data", row.line, data.shape[1], SECOND, None) for row in rows]


def _words_of(labels: h5py.Dataset, path: Path) -> list[str]:
    """Return the word of each utterance of csr-pytorch's layout."""
    if labels.dtype.kind not in "iu":
        return [label.decode() if isinstance(label, bytes) else str(label) for label in labels[:]]
    words = labels.attrs.get("words")
    if words is None:
        raise InputError(
            f"{path}: ds/label has numbers, and nothing says which words they are: store the list of words in"
            " its attribute words"
        )
    numbers = labels[:]
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(words):
        raise InputError(f"{path}: ds/label has numbers outside its {len(words)} words")
    return [str(words[number]) for number in numbers]


def _dataset(file: h5py.File, name: str, path: Path) -> h5py.Dataset:
    with extra("phones"):
        import h5py

    found = file.get(name)
    if not isinstance(found, h5py.Dataset):
        raise InputError(
            f"{path}: there is no dataset {name}; give a file that asrlib data --hdf5 wrote, or one with"
            " ds/data and ds/label"
        )
    return found


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[h5py.File]:
    """Open a file, and turn whatever is wrong with it into an ``InputError``."""
    with extra("train"):
        from asrlib.data.hdf5_recording import open_hdf5

    with open_hdf5(path) as file:
        try:
            yield file
        except (OSError, RuntimeError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise InputError(f"{path}: damaged ({first_line(error)}); copy it again") from None


def _cut(
    path: Path, row: Row, dataset: str, place: int, length: int, rate: int, times: dict[str, Any] | None
) -> Cut:
    with extra("train"):
        from lhotse import SupervisionSegment
        from lhotse.cut import MonoCut

    from asrlib.data.hdf5_recording import recording

    seconds = length / rate
    supervision = SupervisionSegment(
        id=row.path,
        recording_id=row.path,
        start=0.0,
        duration=seconds,
        channel=0,
        text=row.text,
        speaker=row.speaker,
        alignment=None if times is None else alignment_items(times),
    )
    return MonoCut(
        id=row.path,
        start=0.0,
        duration=seconds,
        channel=0,
        supervisions=[supervision],
        recording=recording(row.path, path, dataset, place, length, rate),
        custom={"split": row.split},
    )


# -------------------------------------------------------------------------------- write


def write_hdf5(cuts: CutSet, path: str | Path) -> int:
    """Write ``cuts`` with names, texts, speakers, splits and times; return their number.

    Samples are the float32 numbers that ``cut_audio`` gives, so that nothing is lost. The file appears
    complete or not at all. Raises ``InputError`` if it exists or cannot be written, if there are no
    utterances, if two share an id, and for audio that cannot be read.
    """
    with _writing(path) as file:
        samples = file.create_dataset("samples", (0,), "f4", maxshape=(None,), chunks=(1 << 16,))
        rows: list[tuple[Any, ...]] = []
        ids: set[str] = set()
        start = 0
        for cut in cuts:
            if cut.id in ids:
                raise InputError(f"two utterances have the id {cut.id}: give each its own (cut.with_id)")
            ids.add(cut.id)
            audio = cut_audio(cut)
            samples.resize(start + len(audio), axis=0)
            samples[start:] = audio
            rows.append((start, len(audio), cut.sampling_rate, *_described(cut)))
            start += len(audio)
        if not rows:
            raise InputError(f"{path}: the corpus has no utterances")
        for name, column in zip(("start", "length", "rate", *_TEXTS), zip(*rows, strict=True), strict=True):
            if name in _TEXTS:
                file.create_dataset(name, data=list(column), dtype=_text_type())
            else:
                file.create_dataset(name, data=np.array(column, np.int64))
        file.attrs[LAYOUT] = 1
    return len(rows)


def write_words(cuts: Iterable[Cut], path: str | Path, words: Sequence[str] | None = None) -> int:
    """Write utterances of one word each in csr-pytorch's layout; return their number.

    ``words`` is the order in which the words are numbered, by default the alphabet's; it goes into the file.
    A recording is cut at a second, or filled up with zeros. Raises ``InputError`` as ``write_hdf5`` does, for
    a rate other than 16 kHz, and for an utterance of another word.
    """
    cuts = list(cuts)
    texts = [" ".join(cut.supervisions[0].text.lower().split()) for cut in cuts]
    words = sorted(set(texts)) if words is None else list(words)
    with _writing(path) as file:
        if not cuts:
            raise InputError(f"{path}: the corpus has no utterances")
        data = file.create_dataset("ds/data", (len(cuts), SECOND), "f4", chunks=(1, SECOND))
        for place, (cut, text) in enumerate(zip(cuts, texts, strict=True)):
            if text not in words:
                raise InputError(f"utterance {cut.id}: {text!r} is none of the {len(words)} words to number")
            if cut.sampling_rate != SECOND:
                raise InputError(
                    f"utterance {cut.id}: its rate is {cut.sampling_rate} Hz; resample to 16,000"
                )
            audio = cut_audio(cut)[:SECOND]
            data[place, : len(audio)] = audio
        labels = file.create_dataset("ds/label", data=np.array([words.index(t) for t in texts], np.int64))
        labels.attrs.create("words", words, dtype=_text_type())
    return len(cuts)


def _described(cut: Cut) -> tuple[str, ...]:
    """Return a cut's columns of ``_TEXTS``."""
    told = cut.supervisions[0]
    times = {
        kind: [(item.symbol, item.start, item.end) for item in items]
        for kind, items in (told.alignment or {}).items()
    }
    split = (cut.custom or {}).get("split", "train")
    return cut.id, told.text or "", told.speaker or "", split, json.dumps(times) if times else ""


def _text_type() -> Any:
    with extra("phones"):
        import h5py

    return h5py.string_dtype("utf-8")


@contextlib.contextmanager
def _writing(path: str | Path) -> Iterator[h5py.File]:
    """Open a new file that replaces nothing, and is there once all of it is written."""
    with extra("phones"):
        import h5py

    path = Path(path)
    if path.exists():
        raise InputError(f"{path} already exists: give a new file")
    draft = path.with_name(path.name + ".partial")
    try:
        with h5py.File(draft, "w") as file:
            yield file
        os.replace(draft, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({first_line(error)})") from None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()
