"""What was handed in: find the files, read the notebooks."""

from __future__ import annotations

import dataclasses
import re
import warnings
from pathlib import Path

import nbformat

LARGEST_NOTEBOOK = 20 << 20


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
    """One a file. A student is the first folder, or, for a file right there, what it is called."""
    found = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_dir() or any(part.startswith(".") or part == "__pycache__" for part in parts):
            continue
        student = parts[0] if len(parts) > 1 else path.stem
        found.append(Submission(re.sub(r"[^\w.@+-]", "_", student).lstrip("=+-@.") or "nobody", path))
    return found


def read(submission: Submission) -> nbformat.NotebookNode | None:
    """The notebook; None and a note if it is none."""
    path = submission.path
    try:
        if path.is_symlink():
            raise ValueError("a link, not a file")
        if path.stat().st_size > LARGEST_NOTEBOOK:
            raise ValueError(f"{path.stat().st_size >> 20} MB; a notebook of this course has less than one")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            cell.source, cell.cell_type, cell.metadata  # noqa: B018 (every cell must have them)
        return notebook
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
        submission.status = "unreadable"
        submission.notes.append(f"{path.name} is not a notebook: {reason}")
        return None
