"""The state of a grading run: a copy of the sources, and a locked output folder."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import assignments
import nbformat

from .errors import CannotGrade


@contextlib.contextmanager
def alone(out: Path):
    """Lock ``out`` within the block; two runs in one folder would delete each other's gradebook."""
    import fcntl

    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / ".lock").open("w")
    except OSError as error:
        raise CannotGrade(f"--out {out} cannot be written: {error.strerror}; choose another folder") from None
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CannotGrade(f"another run is writing into {out}; wait for it, or choose --out") from None
        yield


def title(notebook: Path) -> str:
    """Return the first line of a notebook."""
    return nbformat.read(notebook, as_version=4).cells[0].source.splitlines()[0]


def snapshot(course: Path, only: str) -> dict[str, list[assignments.Task]]:
    """Copy the sources, so that edits do not affect the run; return the tasks of each assignment by name."""
    from asrlib.teaching import check

    found = {}
    try:
        checkers = check.tasks()
    except Exception as error:
        raise CannotGrade(f"the checkers cannot be loaded: {type(error).__name__}: {error}") from None
    for source in assignments.notebooks():
        if not source.stem.startswith(only):
            continue
        copy = course / "source" / source.stem / source.name
        copy.parent.mkdir(parents=True)
        shutil.copyfile(source, copy)
        try:
            found[source.stem] = assignments.tasks(copy)
        except Exception as error:
            reason = (str(error).splitlines() or [""])[0][:200]
            raise CannotGrade(f"{source} cannot be read: {type(error).__name__}: {reason}") from None
        for task in found[source.stem]:
            if task.name not in checkers:
                raise CannotGrade(f"{source}: there is no checker for {task.name} in asrlib/teaching/checks")
    if not found:
        raise CannotGrade(f"no assignment's name begins with {only!r}")
    return found
