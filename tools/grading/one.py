"""Grade submissions one after another in a separate process."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import assignments

from . import sandbox
from .assembly import assemble
from .choices import Choices
from .converters import Course
from .course import title
from .delegation import delegated
from .errors import CannotGrade
from .matching import recognize
from .reports import write_page
from .submissions import Submission, read


@contextlib.contextmanager
def grading_work(
    folder: Path,
    tasks: dict[str, list[assignments.Task]],
    out: Path,
    choices: Choices,
    server: sandbox.Sandbox,
    number: int,
) -> Iterator[OneByOne]:
    """Yield the function that a worker applies to each submission, in a clone of the ``server``.

    Raises ``CannotGrade`` if the clone does not start.
    """
    try:
        own = server.clone()
    except (sandbox.SandboxError, OSError) as error:
        raise CannotGrade(str(error)) from None
    with own:
        yield OneByOne(folder, tasks, out, choices, own, number)


def release_memory() -> None:
    """Give back to the system what a large submission has taken, where the C library can (glibc)."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim:
        trim(0)


class OneByOne:
    """Reads and grades submissions; a failure becomes a status and a note of the submission."""

    def __init__(self, folder: Path, tasks: dict, out: Path, choices: Choices, server, number: int):
        self.tasks, self.out, self.choices = tasks, out, choices
        self.greeting = server.isolation
        self.titles = {name: title(folder / "source" / name / f"{name}.ipynb") for name in tasks}
        self.course = Course(folder, folder / f"job-{number}", tasks, server)

    def __call__(self, order: tuple[str, Submission]) -> Submission:
        what, submission = order
        try:
            getattr(self, f"_{what}")(submission)
        except (CannotGrade, sandbox.SandboxError) as error:
            submission.status = "failed"
            submission.note(f"the grader failed on it: {error}")
        except (Exception, SystemExit) as error:
            submission.status = "failed"
            submission.note(f"the grader failed on it: {self.course.log.reason(error)}")
            print(self.course.log.text or traceback.format_exc(), file=sys.stderr)
        try:
            if submission.status:
                write_page(submission, self.out)
        except OSError as error:
            submission.note(f"its page cannot be written: {error.strerror}")
        release_memory()
        return submission

    def _read(self, submission: Submission) -> None:
        if notebook := read(submission):
            submission.assignment = recognize(submission, notebook, self.tasks, self.titles) or ""

    def _grade(self, submission: Submission) -> None:
        tasks = self.tasks[submission.assignment]
        submission.most = sum(task.points for task in tasks)
        released = self.course.released(submission.assignment)
        notebook = assemble(submission, read(submission), released, tasks)
        lent = delegated(notebook, tasks)
        for name, what in lent.items():
            submission.note(f"{name}: {what}")
        refused = set(lent) if self.choices.refuse else set()
        points, stopped = self.course.grade(
            submission.student, submission.assignment, notebook, self.out, refused
        )
        submission.tasks = points
        submission.note(*stopped)
        submission.points = sum(points for points, _ in submission.tasks.values())
        submission.status = "graded"
