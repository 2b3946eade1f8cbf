"""Find submitted files, read the notebooks, and choose among copies."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import stat
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

LARGEST_NOTEBOOK = 20 << 20
# a notebook of this course has some 60 cells; a submitted one may have more
MOST_PARTS, MOST_CELLS, LONGEST_CELL = 500_000, 2000, 200_000
DEEPEST_FOLDER, LONGEST_NAME, MOST_NOTES, LONGEST_NOTE = 12, 80, 40, 500
# folders and files that programs create
JUNK = {"__pycache__", "__MACOSX", ".ipynb_checkpoints", ".git", ".DS_Store", "Thumbs.db", "desktop.ini"}
OTHER_THAN_FILES = {
    errno.ELOOP: "a link, not a file",
    errno.EISDIR: f"a folder below {DEEPEST_FOLDER} others",
    errno.ENXIO: "not a file",
}
MARKS = r"(BEGIN|END) (HIDDEN TESTS|SOLUTION|MARK SCHEME)"
# suffixes that browsers, JupyterLab and file managers add to copies; from the name of a student, only
# suffixes that cannot be part of it are removed
COPY = re.compile(r"(-Copy\d*|\s*\(\d+\)|[\s_-]+copy(\s*\d+)?|-\d+)$", flags=re.I)
COPY_OF_STUDENT = re.compile(r"(-Copy\d*|\s*\(\d+\))$")


@dataclasses.dataclass
class Submission:
    """A submitted file and its results; ``notes`` are for the instructor and the student."""

    student: str
    path: Path
    assignment: str = ""
    status: str = ""
    points: float = 0.0
    most: float = 0.0
    tasks: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)

    def note(self, *texts: str) -> None:
        """Add notes, each in one line of bounded length."""
        for text in texts:
            if len(self.notes) < MOST_NOTES:
                self.notes.append(" ".join(printable(text).split())[:LONGEST_NOTE])


def collect(folder: Path) -> list[Submission]:
    """Return a submission per file; the student is the first folder, or the file's name if there is none."""
    found: list[tuple[str, Path]] = []
    for path in _files(folder):
        parts = path.relative_to(folder).parts
        student = parts[0] if len(parts) > 1 else COPY_OF_STUDENT.sub("", path.stem)
        # some systems store an umlaut as two characters
        found.append((unicodedata.normalize("NFC", student), path))
    ids = student_ids(student for student, _ in found)
    return [Submission(ids[student], path) for student, path in found]


def _files(folder: Path, depth: int = 0) -> Iterator[Path]:
    """Everything below ``folder`` that is no folder; a folder that lies too deep counts as a file."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        yield folder  # reading it fails too, and reports why
        return
    for entry in entries:
        if entry.name in JUNK:
            continue
        if entry.is_dir(follow_symlinks=False) and depth < DEEPEST_FOLDER:
            yield from _files(folder / entry.name, depth + 1)
        else:
            yield folder / entry.name


def student_ids(names: Iterable[str]) -> dict[str, str]:
    """Map names to distinct ids that nbgrader and spreadsheets accept unchanged."""
    ids: dict[str, str] = {}
    taken: set[str] = set()
    for name in sorted(set(names)):
        plain = found = re.sub(r"[^\w.@+-]", "_", name).lstrip("=+-@.")[:LONGEST_NAME] or "nobody"
        number = 1
        while found.lower() in taken:  # some file systems ignore case
            number += 1
            found = f"{plain}-{number}"
        taken.add(found.lower())
        ids[name] = found
    return ids


def read(submission: Submission) -> nbformat.NotebookNode | None:
    """Return the notebook with only texts and nbgrader's ids; None, with a note, if it is not a notebook."""
    try:
        return _cells(parse(_content(submission.path)))
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if isinstance(error, OSError):
            reason = OTHER_THAN_FILES.get(error.errno or 0) or error.strerror or reason
        submission.status = "unreadable"
        submission.note(f"{printable(submission.path.name)} is not a notebook: {printable(reason)[:120]}")
        return None


def _content(path: Path) -> bytes:
    # open without blocking, as a pipe would wait for a writer
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with open(number, "rb") as file:
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a file")
        if status.st_size > LARGEST_NOTEBOOK:
            raise ValueError(f"{status.st_size >> 20} MB; a notebook of this course has less than one")
        return file.read(LARGEST_NOTEBOOK)


def parse(content: bytes) -> nbformat.NotebookNode:
    """Parse a notebook; raise ``ValueError`` and other exceptions if it is not valid."""
    # some editors write a byte order mark or UTF-16
    text = content.decode(json.detect_encoding(content))
    if sum(text.count(sign) for sign in "[{,") > MOST_PARTS:
        raise ValueError(f"more than {MOST_PARTS:,} numbers, texts and lists")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nbformat.reads(text, as_version=4)


def _cells(notebook) -> nbformat.NotebookNode:
    """Return a notebook with the same texts and ids, and nothing else of the submitted one."""
    if len(notebook.cells) > MOST_CELLS:
        raise ValueError(f"{len(notebook.cells):,} cells; at most {MOST_CELLS:,} are read")
    cells = []
    for cell in notebook.cells:
        source = "".join(cell.source) if isinstance(cell.source, list) else cell.source
        if not isinstance(source, str) or not isinstance(cell.cell_type, str):
            raise ValueError("a cell that has no text")
        if len(source) > LONGEST_CELL:
            raise ValueError(f"a cell of {len(source):,} characters; at most {LONGEST_CELL:,} are read")
        plain = new_code_cell if cell.cell_type == "code" else new_markdown_cell
        marked = cell.get("metadata")
        marked = marked.get("nbgrader") if isinstance(marked, dict) else None
        marked = marked.get("grade_id") if isinstance(marked, dict) else None
        kept = {"nbgrader": {"grade_id": marked}} if isinstance(marked, str) else {}
        cells.append(plain(_harmless(source), metadata=kept))
        cells[-1]["id"] = str(cell.get("id", ""))
    return new_notebook(cells=cells)


def _harmless(source: str) -> str:
    """Return the text of a cell without nbgrader's own marks, in a form that files can store."""
    return re.sub(MARKS, r"\1-\2", printable(source), flags=re.I)


def printable(text: str) -> str:
    """Return text that any file and terminal can store; invalid characters are written as numbers."""
    return text.encode("utf-8", "backslashreplace").decode()


def choose_among_copies(submissions: list[Submission]) -> None:
    """Mark all of a student's files for an assignment except the one that counts; notes say which it is.

    A file without the suffix of a copy counts; among several, the newest, and then the first by name.
    """
    groups: dict[tuple[str, str], list[Submission]] = {}
    for submission in submissions:
        if submission.assignment:
            groups.setdefault((submission.student, submission.assignment), []).append(submission)
    for (student, assignment), group in groups.items():
        if len(group) == 1:
            continue
        names = {s.path.stem for s in group} | {assignment, f"exercise_{assignment}", student}
        originals = [s for s in group if COPY.sub("", s.path.stem) not in names - {s.path.stem}]
        candidates = originals or group
        best = min(candidates, key=lambda s: (-_time(s.path), str(s.path)))
        times = [_time(s.path) for s in candidates]
        why = "the newest" if times.count(max(times)) == 1 else "the first by name of the newest"
        why = "the only one without a copy's suffix" if len(originals) == 1 else why
        others = ", ".join(_place(s) for s in group if s is not best)[:300]
        best.note(f"of {len(group)} files for {assignment}, this one counts, {why}; not: {others}")
        for submission in group:
            if submission is not best:
                submission.status = "second file"
                submission.note(
                    f"{student} handed in {len(group)} files for {assignment}: not this one but"
                    f" {_place(best)} counts, {why}"
                )


def _place(submission: Submission) -> str:
    """Return the file's name with its folder, as two copies may have the same name."""
    return printable(f"{submission.path.parent.name}/{submission.path.name}")


def _time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # deleted meanwhile
        return 0.0
