"""Points and feedback for a folder of submitted notebooks."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

from . import sandbox
from .assembly import assemble
from .converters import GRADEBOOK, Course
from .course import alone, snapshot, title
from .errors import CannotGrade
from .matching import recognize
from .reports import write_page, write_points
from .submissions import Submission, choose_among_copies, collect, read


def grade(
    submitted: Path, out: Path, limits: sandbox.Limits | None = None, only: str = ""
) -> list[Submission]:
    """Grade every file in ``submitted``; nothing that is handed in stops the rest."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(alone(out))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        tasks = snapshot(folder, only)
        hidden = (*sandbox.hidden_folders(), str(submitted.resolve()), str(out.resolve()), str(folder))
        limits = dataclasses.replace(limits or sandbox.Limits(), hidden=hidden)
        try:
            server = stack.enter_context(sandbox.Sandbox(limits))
        except sandbox.SandboxError as error:
            raise CannotGrade(str(error)) from None
        _empty(out)
        print(f"answers are locked in by: {server.isolation}", flush=True)
        if server.isolation != "namespaces":
            why = "this system allows no namespaces" if limits.namespaces else "as asked"
            print(f"{why}: network and files are refused by Python only", flush=True)
        course = Course(folder, tasks, server)
        submissions = collect(submitted)
        try:
            titles = {name: title(folder / "source" / name / f"{name}.ipynb") for name in tasks}
            for submission in submissions:
                if notebook := read(submission):
                    submission.assignment = recognize(submission, notebook, tasks, titles) or ""
            choose_among_copies(submissions)
            for submission in submissions:
                _grade_guarded(submission, course, tasks, out)
            if any(submission.status == "graded" for submission in submissions):
                course.export(out)
        finally:
            # also where the instructor stopped it: a row per file, whatever became of it
            write_points(submissions, out / "points.csv")
    return submissions


def _empty(out: Path) -> None:
    for old in ("autograded", "feedback"):
        shutil.rmtree(out / old, ignore_errors=True)
    for old in ("points.csv", "grades.csv", GRADEBOOK):
        (out / old).unlink(missing_ok=True)


def _grade_guarded(submission: Submission, course: Course, tasks: dict, out: Path) -> None:
    """Grade one file; what goes wrong is its status and a note."""
    if not submission.status:
        submission.status = "failed"  # until something else is known
        try:
            _grade_one(submission, course, tasks[submission.assignment], out)
        except (CannotGrade, sandbox.SandboxError) as error:
            submission.notes.append(f"the grader failed on it: {error}")
        except (Exception, SystemExit) as error:
            submission.notes.append(f"the grader failed on it: {course.log.reason(error)}")
            print(course.log.text or traceback.format_exc(), file=sys.stderr)
    write_page(submission, out)
    points = f" {submission.points:g} of {submission.most:g}" if submission.status == "graded" else ""
    print(f"{submission.student}: {submission.assignment} {submission.status}{points}", flush=True)


def _grade_one(submission: Submission, course: Course, tasks: list, out: Path) -> None:
    submission.most = sum(task.points for task in tasks)
    released = course.released(submission.assignment)
    notebook = assemble(submission, read(submission), released, tasks)
    submission.tasks, stopped = course.grade(submission.student, submission.assignment, notebook, out)
    submission.notes += stopped
    submission.points = sum(points for points, _ in submission.tasks.values())
    submission.status = "graded"


def _options() -> argparse.Namespace:
    usual = sandbox.Limits()
    parser = argparse.ArgumentParser(prog="grade.py", description=__doc__)
    parser.add_argument("submitted", type=Path, help="folder of notebooks")
    parser.add_argument("--out", type=Path, default=Path("graded"))
    parser.add_argument("--only", default="", help="assignments whose names begin so")
    for name, what in (
        ("call", "for one call of an answer"),
        ("task", "for all calls of one task"),
        ("cell", "for one cell"),
        ("added", "for all cells together that the student added"),
    ):
        default = getattr(usual, f"{name}_seconds")
        parser.add_argument(f"--{name}-seconds", type=float, default=default, help=f"{what} ({default})")
    parser.add_argument("--without-namespaces", action="store_true", help="lock in by the audit hook only")
    return parser.parse_args()


def main() -> int:
    """The exit code: 0, 1 where the grader failed on a submission, 2 where nothing was graded."""
    options = _options()
    if not options.submitted.is_dir():
        print(f"{options.submitted} is not a folder: make grade SUBMITTED=folder", file=sys.stderr)
        return 2
    limits = sandbox.Limits(
        options.call_seconds,
        options.task_seconds,
        options.cell_seconds,
        options.added_seconds,
        namespaces=not options.without_namespaces,
    )
    try:
        submissions = grade(options.submitted, options.out, limits, options.only)
    except CannotGrade as error:
        print(f"nothing was graded: {error}", file=sys.stderr)
        return 2
    done = sum(s.status == "graded" for s in submissions)
    print(f"{done} of {len(submissions)} graded: {options.out / 'points.csv'}, {options.out / 'feedback'}")
    failed = [s for s in submissions if s.status == "failed"]
    if failed:
        who = ", ".join(sorted({s.student for s in failed}))
        print(
            f"the grader failed on {len(failed)} ({who}); points.csv says why: grade again", file=sys.stderr
        )
        return 1
    return 0
