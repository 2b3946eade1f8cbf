"""Grade a folder of submitted notebooks: points and feedback."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from . import sandbox
from .choices import Choices
from .converters import GRADEBOOK, export, new_gradebook, prepare
from .course import alone, snapshot
from .errors import CannotGrade
from .one import grading_work
from .reports import write_page, write_points
from .submissions import Submission, choose_among_copies, collect
from .workers import Failure, Workers

NO_NAMESPACES = (
    "this system does not lock answers in, so they could read and write what you can; grade in a container"
    " or on Linux with user namespaces (docs/instructors.md says how), or, if you trust everybody who"
    " handed in, say --trust"
)


def grade(submitted: Path, out: Path, choices: Choices | None = None) -> list[Submission]:
    """Grade every file in ``submitted``; no submission can stop the others."""
    choices = choices or Choices()
    with contextlib.ExitStack() as stack:
        stack.enter_context(alone(out))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="grading-")))
        for part in ("course", "scratch"):
            (folder / part).mkdir()
        tasks = snapshot(folder / "course", choices.only)
        _move_old(out)
        hidden = (
            *sandbox.hidden_folders(),
            *(str(path.resolve()) for path in (submitted, out, folder / "course")),
        )
        limits = dataclasses.replace(choices.limits, hidden=hidden)
        choices = dataclasses.replace(choices, limits=limits)
        prepare(tasks)
        new_gradebook(folder / "course")
        submissions: list[Submission] = []
        with _sandbox(choices, folder / "scratch") as server:
            _say_isolation(server.isolation, choices)
            work = functools.partial(grading_work, folder / "course", tasks, out, choices, server)
            with Workers(work, choices.jobs) as workers:
                _empty(out)
                try:
                    submissions += collect(submitted)
                    _run(workers, submissions, "read", choices.reading_seconds)
                    choose_among_copies(submissions)
                    for submission in submissions:
                        if submission.status == "second file":
                            write_page(submission, out)
                    _run(workers, submissions, "grade", choices.submission_seconds)
                finally:
                    # also if the instructor stops the run: a row for each file
                    write_points(submissions, out / "points.csv")
        if any(submission.status == "graded" for submission in submissions):
            export(folder / "course", tasks, submissions, out)
    return submissions


def _sandbox(choices: Choices, scratch: Path) -> sandbox.Sandbox:
    try:
        server = sandbox.Sandbox(choices.limits, scratch)
    except sandbox.SandboxError as error:
        raise CannotGrade(str(error)) from None
    if server.isolation != "namespaces" and not choices.trust:
        server.__exit__()
        raise CannotGrade(NO_NAMESPACES)
    return server


def _run(workers: Workers, submissions: list[Submission], what: str, seconds: float) -> None:
    """Read or grade (``what``) all submissions without a status, and replace them by the results."""
    places = [place for place, submission in enumerate(submissions) if not submission.status]
    for number, done in workers.map([(what, submissions[place]) for place in places], seconds):
        submission = submissions[places[number]]
        if isinstance(done, Failure):
            submission.status = "failed"
            submission.note(f"{done.why}: look at it by hand")
        else:
            submissions[places[number]] = submission = done
        if what == "grade":
            points = f" {submission.points:g} of {submission.most:g}" if submission.status == "graded" else ""
            print(f"{submission.student}: {submission.assignment} {submission.status}{points}", flush=True)


def _say_isolation(isolation: str, choices: Choices) -> None:
    print(f"answers are locked in by: {isolation}", flush=True)
    if isolation != "namespaces":
        why = "this system allows no namespaces" if choices.limits.namespaces else "as asked"
        print(f"{why}: network and files are refused by Python only", flush=True)


def _move_old(out: Path) -> None:
    """Rename the old table, which would otherwise look like the new one if nothing can be graded."""
    with contextlib.suppress(FileNotFoundError):
        (out / "points.csv").replace(out / "points-before.csv")


def _empty(out: Path) -> None:
    for old in ("autograded", "feedback"):
        shutil.rmtree(out / old, ignore_errors=True)
    for old in ("grades.csv", GRADEBOOK):
        (out / old).unlink(missing_ok=True)


def _options() -> argparse.Namespace:
    usual = sandbox.Limits()
    parser = argparse.ArgumentParser(prog="grade.py", description=__doc__)
    parser.add_argument("submitted", type=Path, help="folder of notebooks")
    parser.add_argument("--out", type=Path, default=Path("graded"))
    parser.add_argument("--only", default="", help="assignments whose names begin so")
    parser.add_argument(
        "--jobs", type=_positive, default=min(4, os.cpu_count() or 1), help="at the same time"
    )
    parser.add_argument(
        "--own-functions",
        choices=("note", "refuse"),
        default="note",
        help="an answer that hands its task to asrlib's own function is noted, or gets no points",
    )
    for name, what in (
        ("call", "for one call of an answer"),
        ("task", "for all calls of one task"),
        ("cell", "for one cell"),
        ("added", "for all cells together that the student added"),
        ("notebook", "for all that one notebook does"),
    ):
        default = getattr(usual, f"{name}_seconds")
        parser.add_argument(f"--{name}-seconds", type=float, default=default, help=f"{what} ({default})")
    parser.add_argument(
        "--trust",
        action="store_true",
        help="grade also where nothing but Python keeps answers from this machine's files: for notebooks"
        " of people whom you would lend your account",
    )
    parser.add_argument(
        "--without-namespaces", action="store_true", help="with --trust: lock in by the audit hook only"
    )
    return parser.parse_args()


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def main() -> int:
    """Run the command; return 0, 1 if the grader failed on a submission, or 2 if nothing was graded."""
    options = _options()
    if not options.submitted.is_dir():
        print(f"{options.submitted} is not a folder: make grade SUBMITTED=folder", file=sys.stderr)
        return 2
    limits = sandbox.Limits(
        options.call_seconds,
        options.task_seconds,
        options.cell_seconds,
        options.added_seconds,
        options.notebook_seconds,
        namespaces=not options.without_namespaces,
    )
    choices = Choices(limits, options.only, options.jobs, options.own_functions == "refuse", options.trust)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        submissions = grade(options.submitted, options.out, choices)
    except CannotGrade as error:
        print(f"nothing was graded: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"stopped; {options.out / 'points.csv'} says how far it came: grade again", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGTERM, before)
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
