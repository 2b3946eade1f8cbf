"""Short recordings of people, fetched when asked for: they are not part of the kit. Lessons 00, 01, 06, 11.

The table ``human-clips.tsv`` of the shipped data names 18 openly licensed files: ten digits of the Free
Spoken Digit Dataset, four sentences of LibriSpeech and four words of Speech Commands. An address is pinned to
a commit, and a file is used only if its SHA-256 is the one of the table. The cache then holds the audio, a
manifest, and ``licenses.tsv`` with the license and the source of each file.
"""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from asrlib.data.cache import cache_folder, one_process_at_a_time
from asrlib.data.download import Remote, disk_errors, obtain
from asrlib.data.manifest import MANIFEST, load_folder
from asrlib.errors import InputError
from asrlib.extras import extra
from asrlib.files import assets, write_atomically
from asrlib.reading import read_text

if TYPE_CHECKING:  # importing lhotse takes seconds, so it happens inside the functions
    import lhotse

TABLE = "human-clips.tsv"


class HumanClip(NamedTuple):
    """A row of the table: ``size`` is in bytes, ``license`` names license and source."""

    url: str
    sha256: str
    size: int
    speaker: str
    text: str
    license: str

    @property
    def path(self) -> str:
        """The path in the cache, relative to its folder: the name of the file at its source."""
        return f"audio/{Path(urlsplit(self.url).path).name}"


def human_clips(download: bool = True) -> lhotse.CutSet:
    """Return the recordings of people, and fetch what is not in the cache yet. Lessons 00, 01, 06 and 11.

    The files are 0.5 MB in all. Every cut has ``text`` and ``speaker``, and the license in
    ``cut.custom["license"]``. The cache is verified in every call, and what it lacks is fetched again. With
    ``download=False``, nothing is fetched, and the result is empty unless all files are in the cache.

    Raises ``InputError``, in one line, if there is no network or a server refuses, and for a file with
    another hash.
    """
    with extra("train"):
        from lhotse import CutSet

    rows, folder = read_table(), clips_folder()
    if not _complete(rows, folder):
        if not download:
            return CutSet.from_cuts([]).to_eager()
        with one_process_at_a_time(folder):
            _fetch(rows, folder)
    license_of = {row.path: row.license for row in rows}
    cuts = load_folder(folder)
    for cut in cuts:
        cut.custom = {**(cut.custom or {}), "license": license_of[cut.id]}
    return cuts


def clips_folder() -> Path:
    """Return the folder in the cache that holds the clips; another table has another folder."""
    table = _table()
    stamp = hashlib.sha256(read_text(table, "is missing: install asrlib again").encode()).hexdigest()[:8]
    return cache_folder() / f"human-clips-{stamp}"


def read_table() -> list[HumanClip]:
    """Return the rows of the table that ships with asrlib.

    Raises ``InputError`` if it is missing, has no rows, or lacks a column.
    """
    lines = read_text(_table(), "is missing: install asrlib again").splitlines()
    columns = ("url", "sha256", "bytes", "speaker", "text", "licence")
    rows = []
    for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
        if not all(row.get(column) for column in columns):
            raise InputError(f"{_table()}: a row lacks one of {', '.join(columns)}: install asrlib again")
        url, sha256, size, *rest = (row[column] for column in columns)
        if not size.isdecimal():
            raise InputError(f"{_table()}: {size!r} is no number of bytes: install asrlib again")
        rows.append(HumanClip(url, sha256, int(size), *rest))
    if not rows:
        raise InputError(f"{_table()}: it has no rows: install asrlib again")
    return rows


def _table() -> Path:
    return assets() / TABLE


def _manifest(rows: list[HumanClip]) -> bytes:
    """Return the manifest of the cache's folder."""
    lines = ["path\tspeaker\ttext\tsplit", *(f"{row.path}\t{row.speaker}\t{row.text}\ttest" for row in rows)]
    return ("\n".join(lines) + "\n").encode()


def _complete(rows: list[HumanClip], folder: Path) -> bool:
    """Return whether the folder has the manifest, and each file as the table says."""
    try:
        return (folder / MANIFEST).read_bytes() == _manifest(rows) and all(
            hashlib.sha256((folder / row.path).read_bytes()).hexdigest() == row.sha256 for row in rows
        )
    except OSError:
        return False


def _fetch(rows: list[HumanClip], folder: Path) -> None:
    """Fetch and verify all files, then write the licenses and, last, the manifest."""
    remotes = [Remote(row.url, f"sha256:{row.sha256}", row.path, row.size) for row in rows]
    obtain(folder, remotes, by_hand=f"the {len(rows)} files that {_table()} lists into {folder / 'audio'}")
    licenses = ["path\tlicense\turl", *(f"{row.path}\t{row.license}\t{row.url}" for row in rows)]
    with disk_errors(f"writing {folder}"):
        write_atomically(folder / "licenses.tsv", ("\n".join(licenses) + "\n").encode())
        write_atomically(folder / MANIFEST, _manifest(rows))
