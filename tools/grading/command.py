"""Points and feedback for a folder of submitted notebooks."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import logging
import os
import shutil
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

import make_exercises
import nbformat

from . import sandbox
from .assembly import assemble
from .converters import NbgraderLog, preprocessor
from .course import CannotGrade, alone, snapshot, title
from .matching import recognize
from .reports import write_page, write_points
from .submissions import Submission, collect, read


def grade(
    submitted: Path, out: Path, limits: sandbox.Limits | None = None, only: str = ""
) -> list[Submission]:
    """Grade every file in ``submitted``; nothing that is handed in stops the rest."""
    from nbgrader.api import Gradebook
    from nbgrader.converters import Autograde, GenerateAssignment, GenerateFeedback
    from nbgrader.coursedir import CourseDirectory
    from nbgrader.plugins import CsvExportPlugin
    from nbgrader.preprocessors import ClearHiddenTests, GetGrades, LimitOutput, SaveAutoGrades

    # nbgrader calls alembic, which lies beside this Python
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    log = NbgraderLog()
    nbgraders = logging.getLogger("traitlets")
    nbgraders.handlers, nbgraders.propagate = [log], False
    warnings.filterwarnings("ignore", module="nbgrader|sqlalchemy")
    with contextlib.ExitStack() as stack:
        stack.enter_context(alone(out))
        course = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sources = snapshot(course, only)
        titles = {name: title(course / "source" / name / f"{name}.ipynb") for name in sources}
        submissions = collect(submitted)
        hidden = (*sandbox.hidden_folders(), str(submitted.resolve()), str(out.resolve()), str(course))
        limits = dataclasses.replace(limits or sandbox.Limits(), hidden=hidden)
        try:
            server = stack.enter_context(sandbox.Sandbox(limits))
        except sandbox.SandboxError as error:
            raise CannotGrade(str(error)) from None
        for old in ("autograded", "feedback"):
            shutil.rmtree(out / old, ignore_errors=True)
        print(f"answers are locked in by: {server.isolation}", flush=True)
        if server.isolation != "namespaces":
            why = "this system allows no namespaces" if limits.namespaces else "as asked"
            print(f"{why}: network and files are refused by Python only", flush=True)
        setups = {name: tasks[0].setup for name, tasks in sources.items()}
        config = make_exercises.settings()
        directory = config.CourseDirectory
        directory.root, directory.source_directory = str(course), "source"
        directory.db_url = f"sqlite:///{out.resolve() / 'gradebook.db'}"
        directory.autograded_directory = str(out.resolve() / "autograded")
        directory.feedback_directory = str(out.resolve() / "feedback")
        (out / "gradebook.db").unlink(missing_ok=True)
        config.Autograde.autograde_preprocessors = [preprocessor(server, setups), LimitOutput, SaveAutoGrades]
        config.GenerateFeedback.preprocessors = [GetGrades, ClearHiddenTests]
        # assignments that were generated: "", or why that failed, which is said once and not tried again
        prepared: dict[str, str] = {}

        def convert(kind, assignment, student="."):
            directory.assignment_id, directory.student_id = assignment, student
            converter = kind(coursedir=CourseDirectory(config=config), config=config)
            converter.force = True
            converter.start()

        def prepare(name):
            if name not in prepared:
                log.text = ""
                try:
                    convert(GenerateAssignment, name)
                    prepared[name] = ""
                except (Exception, SystemExit) as error:
                    prepared[name] = log.reason(error)
            if prepared[name]:
                raise CannotGrade(f"{name} itself cannot be generated ({prepared[name]})")

        def grade_one(submission):
            notebook = read(submission)
            name = notebook and recognize(submission, notebook, sources, titles)
            if not name:
                return
            submission.assignment = name
            submission.most = sum(task.points for task in sources[name])
            prepare(name)
            where = course / "submitted" / submission.student / name
            if where.exists():
                submission.status = "second file"
                submission.notes.append(
                    f"{submission.student} handed in {name} before: this one is not graded"
                )
                return
            where.mkdir(parents=True)
            released = nbformat.read(course / "exercises" / name / f"{name}.ipynb", as_version=4)
            nbformat.write(assemble(submission, notebook, released, sources[name]), where / f"{name}.ipynb")
            log.text = ""
            convert(Autograde, name, submission.student)
            convert(GenerateFeedback, name, submission.student)
            with Gradebook(directory.db_url) as book:
                for given in book.find_submission_notebook(name, name, submission.student).grades:
                    task = given.name.removesuffix("-check").replace("-", ".", 1)
                    submission.tasks[task] = given.score, given.max_score
            submission.points = sum(points for points, _ in submission.tasks.values())
            submission.status = "graded"

        try:
            for submission in submissions:
                submission.status = "failed"  # until something else is known
                try:
                    grade_one(submission)
                except (Exception, SystemExit) as error:
                    reason = str(error) if isinstance(error, CannotGrade) else log.reason(error)
                    submission.notes.append(f"the grader failed on it: {reason}")
                    if not isinstance(error, CannotGrade):
                        print(log.text or traceback.format_exc(), file=sys.stderr)
                write_page(submission, out)
                print(
                    f"{submission.student}: {submission.status} {submission.points:g} of {submission.most:g}",
                    flush=True,
                )
            if any(submission.status == "graded" for submission in submissions):
                with Gradebook(directory.db_url) as book:
                    CsvExportPlugin(to=str(out / "grades.csv")).export(book)
        finally:
            # also where the instructor stopped it: a row a file, whatever became of it
            write_points(submissions, out / "points.csv")
    return submissions


def main() -> int:
    parser = argparse.ArgumentParser(prog="grade.py", description=__doc__)
    parser.add_argument("submitted", type=Path, help="folder of notebooks")
    parser.add_argument("--out", type=Path, default=Path("graded"))
    parser.add_argument("--only", default="", help="assignments whose names begin so")
    parser.add_argument("--call-seconds", type=float, default=20, help="for one call of an answer")
    parser.add_argument("--cell-seconds", type=float, default=60, help="for one cell")
    parser.add_argument("--session-seconds", type=float, default=300, help="for one notebook")
    parser.add_argument("--without-namespaces", action="store_true", help="lock in by the audit hook only")
    options = parser.parse_args()
    if not options.submitted.is_dir():
        print(f"{options.submitted} is not a folder: make grade SUBMITTED=folder", file=sys.stderr)
        return 2
    limits = sandbox.Limits(
        options.call_seconds,
        options.cell_seconds,
        options.session_seconds,
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
