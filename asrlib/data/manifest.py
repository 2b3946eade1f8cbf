"""Corpus folders: audio files with a ``manifest.tsv``, and an ``alignments.json`` if times are known.

    load_folder(folder, split)             return the utterances, as lhotse cuts
    folder_splits(folder)                  return the names of the splits
    save_corpus(folder, utterances, rate)  write such a folder

    manifest.tsv       tab-separated, header ``path speaker seconds text split``; path and text are
                       required; paths are relative to the manifest, texts are used as written; other
                       columns, such as ``sex`` or ``accent``, are kept in ``cut.custom``
    alignments.json    optional: {path: {"word": [[symbol, start, end], ...], "phone": [...]}}, in seconds

Lessons 01 (waveforms) and 09 (training).
"""

import hashlib
import json
import os
import shutil
import tempfile
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asrlib.data.audio import audio_info
from asrlib.errors import InputError, first_line
from asrlib.extras import extra
from asrlib.reading import damaged, read_json, read_text, shown

if TYPE_CHECKING:  # importing lhotse takes seconds, so it happens inside the functions
    import lhotse
    import lhotse.cut

SPLITS = ("train", "dev", "test")
MANIFEST = "manifest.tsv"
ALIGNMENTS = "alignments.json"
COLUMNS = ("path", "speaker", "seconds", "text", "split")


@dataclass
class Row:
    """One utterance of a manifest, with its line number; ``more`` has the values of other columns."""

    line: int
    path: str
    text: str
    speaker: str | None
    split: str
    more: dict[str, str] = field(default_factory=dict)


# -------------------------------------------------------------------------------- read


def load_folder(folder: Path, split: str | None = None) -> "lhotse.CutSet":
    """Return the utterances of a split of a folder as an eager CutSet. None means all splits.

    Raises ``InputError``, naming the file and line, for faults in the manifest, the alignments or an audio
    file's header, and for a split that does not exist. Samples are not decoded.
    """
    with extra("train"):
        from lhotse import CutSet

    manifest = folder / MANIFEST
    rows = read_manifest(manifest)
    if split is not None:
        known = split_names(rows)
        if split not in known:
            raise InputError(f"{manifest}: there is no split {split!r}; it has {', '.join(known)}")
        rows = [row for row in rows if row.split == split]
    alignments = _read_alignments(folder / ALIGNMENTS)
    return CutSet.from_cuts([_cut(folder, row, alignments.get(row.path)) for row in rows]).to_eager()


def folder_splits(folder: Path) -> list[str]:
    """Return the names of a folder's splits, ``train``, ``dev`` and ``test`` first.

    Raises ``InputError`` for faults in the manifest.
    """
    return split_names(read_manifest(folder / MANIFEST))


def split_names(rows: Sequence[Row]) -> list[str]:
    """Return the names of the splits, ``train``, ``dev`` and ``test`` first."""

    def place(split: str) -> tuple[int, str]:
        return (SPLITS.index(split) if split in SPLITS else len(SPLITS), split)

    return sorted({row.split for row in rows}, key=place)


def read_manifest(manifest: Path) -> list[Row]:
    """Return the rows of a manifest, each with a split (see ``assign_splits``).

    Raises ``InputError``, naming the line, for a missing column, a malformed row, an empty field, a path
    listed twice, and a manifest without rows.
    """
    header, numbered = _read_table(manifest)
    rows = []
    line_of: dict[str, int] = {}
    for number, fields in numbered:
        row = dict(zip(header, fields, strict=True))
        for column, what in (("path", "path"), ("text", "transcript"), ("split", "split")):
            if column in row and not row[column].strip():
                raise InputError(f"{manifest}: line {number}: the {what} is empty; fill it in or drop it")
        path = row["path"]
        if any(unicodedata.category(c) == "Cc" for c in path):
            raise InputError(f"{manifest}: line {number}: {shown(path)} cannot be the path of a file")
        place = os.path.normpath(path)  # a.wav is ./a.wav
        if place in line_of:
            raise InputError(
                f"{manifest}: line {number}: {path} is already in line {line_of[place]}; drop one"
            )
        line_of[place] = number
        more = {column: row[column] for column in header if column not in COLUMNS and row[column].strip()}
        rows.append(Row(number, path, row["text"], row.get("speaker") or None, row.get("split", ""), more))
    if not rows:
        raise InputError(f"{manifest}: it has no utterances; add a row for each audio file")
    if "split" not in header:
        assign_splits(rows)
    return rows


def _read_table(manifest: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header, and the line number and fields of every other line that is not empty."""
    lines = manifest_lines(manifest)
    header = lines[0].split("\t")
    twice = next((column for place, column in enumerate(header) if column in header[:place]), None)
    if twice is not None:
        raise InputError(f"{manifest}: line 1 has the column {shown(twice)} twice; keep one of them")
    for column in ("path", "text"):
        if column not in header:
            raise InputError(
                f"{manifest}: line 1 has no column {column!r}; it must name the tab-separated columns, "
                "path and text at least"
            )
    numbered = [(number, line.split("\t")) for number, line in enumerate(lines[1:], start=2) if line.strip()]
    for number, fields in numbered:
        if len(fields) != len(header):
            raise InputError(
                f"{manifest}: line {number} has {len(fields)} fields, the header has {len(header)}; "
                "separate fields with one tab"
            )
    return header, numbered


def manifest_lines(manifest: Path) -> list[str]:
    """Return the lines of a manifest. Raises ``InputError`` if it cannot be read or is not UTF-8."""
    missing = "does not exist; a corpus folder needs it, with the columns path and text"
    # not splitlines(), which also splits at rare characters inside a text
    return read_text(manifest, missing).split("\n")


def check_field(field: str, what: str) -> None:
    """Raise ``InputError`` unless a field of a manifest is one line without tabs; ``what`` names it."""
    # some programs take each of these for the end of a line
    bad = next((c for c in field if unicodedata.category(c) in ("Cc", "Zl", "Zp")), None)
    if bad is not None or not field.strip():
        found = f" (it has {bad!r})" if bad is not None else ""
        raise InputError(f"the {what} {shown(field)} must be one line without tabs, and not empty{found}")


def assign_splits(rows: Sequence[Row]) -> None:
    """Assign ``split``, in place: by speaker, or by utterance if there are fewer than three speakers.

    The shares are about 80/10/10, in the order of a hash of the names, so that the splits never change.
    """
    by_speaker = len({row.speaker for row in rows if row.speaker}) >= 3
    keys = [(row.speaker or row.path) if by_speaker else row.path for row in rows]
    ordered = sorted(set(keys), key=lambda key: (hashlib.sha256(key.encode()).digest(), key))
    held_out = max(1, round(len(ordered) / 10)) if len(ordered) >= 3 else 0
    split = dict.fromkeys(ordered, "train")
    split |= dict.fromkeys(ordered[:held_out], "test")
    split |= dict.fromkeys(ordered[held_out : 2 * held_out], "dev")
    for row, key in zip(rows, keys, strict=True):
        row.split = split[key]


def _cut(folder: Path, row: Row, times: dict | None) -> "lhotse.cut.Cut":
    with extra("train"):
        from lhotse import MultiCut, Recording, SupervisionSegment
        from lhotse.audio import AudioSource

        from asrlib.data.clip import Clip

    path = folder / row.path
    try:
        info = audio_info(path)
    except InputError as error:
        raise InputError(f"{folder / MANIFEST}: line {row.line}: {error}") from None
    seconds = info.frames / info.samplerate
    channels = list(range(info.channels))
    channel = 0 if info.channels == 1 else channels
    recording = Recording(
        id=row.path,
        sources=[AudioSource("file", channels, str(path))],
        sampling_rate=info.samplerate,
        num_samples=info.frames,
        duration=seconds,
    )
    supervision = SupervisionSegment(
        id=row.path,
        recording_id=row.path,
        start=0.0,
        duration=seconds,
        channel=channel,
        text=row.text,
        speaker=row.speaker,
        alignment=None if times is None else alignment_items(times),
    )
    kind = Clip if info.channels == 1 else MultiCut
    return kind(
        id=row.path,
        start=0.0,
        duration=seconds,
        channel=channel,
        supervisions=[supervision],
        recording=recording,
        custom={**row.more, "split": row.split},
    )


def _read_alignments(path: Path) -> dict:
    if not path.exists():
        return {}
    alignments = read_json(path)
    form = 'is not of the form {path: {"word": [[symbol, start, end], ...]}}'
    with damaged(path, form, "correct or remove it"):
        # check every entry here, where the error can name the file
        for entry in alignments.values():
            for items in entry.values():
                for symbol, start, end in items:
                    if not (isinstance(symbol, str) and 0 <= start <= end):
                        raise ValueError(f"{shown([symbol, start, end])} is not [symbol, start, end]")
    return alignments


def alignment_items(times: dict) -> dict:
    """Convert ``{kind: [(symbol, start, end), ...]}``, in seconds, to lists of lhotse ``AlignmentItem``."""
    with extra("train"):
        from lhotse.supervision import AlignmentItem

    return {
        kind: [AlignmentItem(symbol, start, round(end - start, 5)) for symbol, start, end in items]
        for kind, items in times.items()
    }


# -------------------------------------------------------------------------------- write


def save_corpus(folder: Path, utterances: Iterable, sample_rate: int) -> None:
    """Write a corpus folder from ``(path, speaker, split, text, samples, {kind: times})`` tuples.

    Samples are mono in [-1, 1] at ``sample_rate`` Hz; times are ``(symbol, start, end)`` in seconds. The
    folder appears complete or not at all: it is written under another name and then renamed. Raises
    ``InputError`` if the folder exists, or if the disk is full or not writable.
    """
    import soundfile

    folder = Path(folder)
    if folder.exists():
        raise InputError(f"{folder}: already exists; give a folder that does not")
    draft = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        _write_corpus(draft, utterances, sample_rate)
        draft.chmod(0o755)  # mkdtemp makes private folders
        try:
            draft.rename(folder)
        except OSError:
            # if there is a manifest, another process was faster, and its copy is as good
            if not (folder / MANIFEST).is_file():
                raise
    except (OSError, soundfile.SoundFileError) as error:
        raise InputError(
            f"{folder}: the corpus cannot be written ({first_line(error)}); "
            "free some space, or set ASRLIB_CACHE to a folder with some 300 MB"
        ) from error
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)


def _write_corpus(folder: Path, utterances: Iterable, sample_rate: int) -> None:
    import soundfile

    (folder / "audio").mkdir()
    lines, alignments = ["path\tspeaker\tseconds\tsplit\ttext"], {}
    for path, speaker, split, text, samples, times in utterances:
        for what, value in (("path", path), ("speaker", speaker), ("split", split), ("text", text)):
            check_field(value, what)
        soundfile.write(folder / path, np.round(samples * 32767).astype(np.int16), sample_rate)
        seconds = len(samples) / sample_rate
        lines.append(f"{path}\t{speaker}\t{seconds:.3f}\t{split}\t{text}")
        alignments[path] = {
            kind: [(symbol, round(start, 4), round(min(end, seconds), 4)) for symbol, start, end in items]
            for kind, items in times.items()
        }
    (folder / MANIFEST).write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / ALIGNMENTS).write_text(_one_entry_per_line(alignments), encoding="utf-8")


def _one_entry_per_line(entries: dict) -> str:
    body = ",\n".join(f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in entries.items())
    return "{\n" + body + "\n}\n"
