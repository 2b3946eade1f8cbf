"""What was handed in: find the files, read the notebooks, choose among copies."""

from __future__ import annotations

import dataclasses
import json
import re
import unicodedata
import warnings
from collections.abc import Iterable
from pathlib import Path

import nbformat

LARGEST_NOTEBOOK = 20 << 20
# what browsers, JupyterLab and file managers put behind the name of a copy; of a student's own name, only
# what cannot belong to it
COPY = re.compile(r"(-Copy\d*|\s*\(\d+\)|[\s_-]+copy(\s*\d+)?|-\d+)$", flags=re.I)
COPY_OF_STUDENT = re.compile(r"(-Copy\d*|\s*\(\d+\))$")


@dataclasses.dataclass
class Submission:
    """A file somebody handed in, and what became of it. ``notes`` are for the instructor and the student."""

    student: str
    path: Path
    assignment: str = ""
    status: str = ""
    points: float = 0.0
    most: float = 0.0
    tasks: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)


def collect(folder: Path) -> list[Submission]:
    """One per file. A student is the first folder, or, for a file right there, what it is called."""
    found: list[tuple[str, Path]] = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_dir() or any(part.startswith(".") or part == "__pycache__" for part in parts):
            continue
        student = parts[0] if len(parts) > 1 else COPY_OF_STUDENT.sub("", path.stem)
        # some systems write an umlaut as two characters
        found.append((unicodedata.normalize("NFC", student), path))
    ids = student_ids(student for student, _ in found)
    return [Submission(ids[student], path) for student, path in found]


def student_ids(names: Iterable[str]) -> dict[str, str]:
    """For each name one that nbgrader and a spreadsheet take as it is; different names stay different."""
    ids: dict[str, str] = {}
    for name in sorted(set(names)):
        plain = found = re.sub(r"[^\w.@+-]", "_", name).lstrip("=+-@.") or "nobody"
        number = 1
        while found in ids.values():
            number += 1
            found = f"{plain}-{number}"
        ids[name] = found
    return ids


def read(submission: Submission) -> nbformat.NotebookNode | None:
    """The notebook; None and a note if it is none."""
    path = submission.path
    try:
        if path.is_symlink():
            raise ValueError("a link, not a file")
        if not path.is_file():
            raise ValueError("not a file")
        if path.stat().st_size > LARGEST_NOTEBOOK:
            raise ValueError(f"{path.stat().st_size >> 20} MB; a notebook of this course has less than one")
        content = path.read_bytes()
        # editors of some systems put a byte order mark in front, or write UTF-16
        text = content.decode(json.detect_encoding(content))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            notebook = nbformat.reads(text, as_version=4)
        for cell in notebook.cells:
            cell.source, cell.cell_type, cell.metadata  # noqa: B018 (every cell must have them)
        return notebook
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
        submission.status = "unreadable"
        submission.notes.append(f"{path.name} is not a notebook: {reason}")
        return None


def choose_among_copies(submissions: list[Submission]) -> None:
    """Of one student's files for one assignment, mark all but the one that counts; the notes say which.

    The one whose name has no copy's suffix counts, among several the newest, then the first by name.
    """
    groups: dict[tuple[str, str], list[Submission]] = {}
    for submission in submissions:
        if submission.assignment:
            groups.setdefault((submission.student, submission.assignment), []).append(submission)
    for (student, assignment), group in groups.items():
        if len(group) == 1:
            continue
        names = {s.path.stem for s in group} | {assignment, student}
        originals = [s for s in group if COPY.sub("", s.path.stem) not in names - {s.path.stem}]
        candidates = originals or group
        best = min(candidates, key=lambda s: (-s.path.stat().st_mtime, str(s.path)))
        times = [s.path.stat().st_mtime for s in candidates]
        why = "the newest" if times.count(max(times)) == 1 else "the first by name of the newest"
        why = "the only one without a copy's suffix" if len(originals) == 1 else why
        others = ", ".join(_place(s) for s in group if s is not best)
        best.notes.append(f"of {len(group)} files for {assignment}, this one counts, {why}; not: {others}")
        for submission in group:
            if submission is not best:
                submission.status = "second file"
                submission.notes.append(
                    f"{student} handed in {len(group)} files for {assignment}: not this one but"
                    f" {_place(best)} counts, {why}"
                )


def _place(submission: Submission) -> str:
    """The file's name with its folder, as two copies may be called the same."""
    return f"{submission.path.parent.name}/{submission.path.name}"
