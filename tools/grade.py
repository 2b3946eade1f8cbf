"""Points and feedback for a folder of submitted notebooks.

    python tools/grade.py SUBMITTED --out graded

SUBMITTED holds a folder a student (any depth inside) or notebooks called after their students. Each notebook
is put together anew from the released one and the student's answers, so that edited or deleted checks do not
matter, and then goes through nbgrader: autograde, feedback, export. Only execution is ours: the answers run
in a sandbox, the tests outside of it, where no answer can read them.

In ``--out``: ``points.csv`` (a row a notebook: points, each task's, and what the grader wants to say),
``feedback/STUDENT/ASSIGNMENT/*.html``, ``grades.csv`` as nbgrader exports it, and its ``gradebook.db``.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import dataclasses
import html
import io
import logging
import os
import re
import shutil
import sys
import tempfile
import traceback
import warnings
from difflib import SequenceMatcher
from pathlib import Path

import assignments
import colab
import make_exercises
import nbformat
import sandbox
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

LARGEST_NOTEBOOK = 20 << 20
UNFINISHED = "raise NotImplementedError"


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


# ---- matching what came with what was handed out -----------------------------------------------------------


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


def defines(source: str) -> list[str]:
    """The functions a cell defines at its top, also where its syntax is broken."""
    return re.findall(r"^(?:async\s+)?def\s+(\w+)\s*\(", source, flags=re.M)


def recognise(
    submission: Submission, notebook, tasks: dict[str, list[assignments.Task]], titles: dict[str, str]
) -> str | None:
    """The assignment this notebook is an answer to: by its name, else by its cells."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    ids = {cell.metadata.get("nbgrader", {}).get("grade_id") for cell in code}
    names = {name for cell in code for name in defines(cell.source)}
    text = "\n".join(cell.source for cell in notebook.cells)

    def likeness(name):
        named = name in str(submission.path) or titles[name] in text
        same = sum(t.name.replace(".", "-", 1) in ids or t.function in names for t in tasks[name])
        checked = sum(f'"{t.name}"' in text for t in tasks[name])
        return (same + checked) / len(tasks[name]) + 0.5 * named

    best = max(tasks, key=likeness)
    if likeness(best) > 0.3:
        return best
    submission.status = "unknown"
    submission.notes.append("this notebook belongs to none of the assignments: look at it by hand")
    return None


def assemble(submission: Submission, theirs, released, tasks: list[assignments.Task]):
    """The released notebook with this student's answers, and with the code cells they added."""
    code = [cell for cell in theirs.cells if cell.cell_type == "code"]
    taken: dict[str, int] = {}
    for task in tasks:
        where, how = find_answer(task, code, set(taken.values()))
        if where is None:
            submission.notes.append(f"{task.name}: no cell defines `{task.function}`; look at it by hand")
        else:
            taken[task.name] = where
            if how:
                submission.notes.append(f"{task.name}: {how}")
    ours = [cell for cell in released.cells if cell.cell_type == "code"]
    known = {cell.source.strip() for cell in ours} | {""}
    checks = {task.name for task in tasks if not any(f'check("{task.name}"' in cell.source for cell in code)}
    if checks:
        submission.notes.append(
            f"checks missing or changed, the original ones were used: {', '.join(sorted(checks))}"
        )
    extra_before = added_cells(code, taken, known)
    cells = []
    for cell in released.cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        name = grade_id.replace("-", ".", 1)
        if name in taken:
            cells += extra_before.get(taken[name], [])
            cell = cell.copy()
            cell.source = code[taken[name]].source
        cells.append(cell)
    released = released.copy()
    said = "\n".join(f"- {html.escape(note)}" for note in submission.notes)
    note = [new_markdown_cell(f"**From the grader**\n\n{said}")] if said else []
    released.cells = [*note, *cells, *extra_before.get(None, [])]
    for number, cell in enumerate(released.cells):
        cell["id"] = f"cell-{number}"
    return released


def find_answer(task: assignments.Task, code: list, taken: set[int]) -> tuple[int | None, str]:
    """(position, how if not by its metadata) of the cell that answers ``task``."""
    grade_id = task.name.replace(".", "-", 1)
    marked = [
        i
        for i, cell in enumerate(code)
        if grade_id in (cell.metadata.get("nbgrader", {}).get("grade_id"), cell.get("id"))
    ]
    named = [i for i, cell in enumerate(code) if task.function in defines(cell.source)]
    done = [i for i in named if UNFINISHED not in code[i].source]
    if marked and marked[0] in (done or named or marked):
        return marked[0], ""
    if done or named:
        choice = (done or named)[-1]
        many = f"; {len(done)} cells define it, the last one counts" if len(done) > 1 else ""
        moved = "in a cell of its own" if marked else "the cell's metadata is lost"
        return choice, f"{moved}: matched by the name `{task.function}`{many}"
    if marked:
        return marked[0], ""
    # a cell whose first line is broken may still look like the one handed out
    start = task.solution.split("### BEGIN SOLUTION")[0]
    likeness = {
        i: SequenceMatcher(None, start, cell.source[: len(start)]).ratio()
        for i, cell in enumerate(code)
        if i not in taken and not defines(cell.source)
    }
    best = max(likeness, key=likeness.get, default=None)
    if best is not None and likeness[best] > 0.7:
        return best, "matched by its text, for no cell defines the function; look at it by hand"
    return None, ""


def added_cells(code: list, taken: dict[str, int], known: set[str]) -> dict[int | None, list]:
    """What the student wrote beside the answers, by the answer it stands before; None: behind the last."""
    added: dict[int | None, list] = {}
    answers = sorted(taken.values())
    for i, cell in enumerate(code):
        if i in answers or cell.source.strip() in known or cell.source.lstrip().startswith('check("'):
            continue
        if cell.source == colab.first_cell(*colab.project()):
            continue
        if UNFINISHED in cell.source and defines(cell.source):
            continue
        before = next((answer for answer in answers if answer > i), None)
        added.setdefault(before, []).append(new_code_cell(cell.source))
    return added


# ---- execution, in place of nbgrader's ---------------------------------------------------------------------


class Proxy:
    """An answer in the sandbox, as the checkers call it."""

    def __init__(self, remote: sandbox.Remote):
        self.remote, self.death = remote, ""

    @property
    def seconds(self) -> float:
        """Of the last call, over there."""
        return self.remote.session.seconds

    def __call__(self, *args, **kwargs):
        from asrlib.teaching.check import AnswerError

        try:
            return self.remote(*args, **kwargs)
        except sandbox.Failed as error:
            if error.unfinished:
                raise NotImplementedError from None
            raise AnswerError(str(error)) from None
        except sandbox.Died as error:
            self.death = str(error)
            raise AnswerError(f"it {error}") from None


class Execution:
    """One notebook: the student's cells in the sandbox, the tests here.

    Where a cell or a call takes its process along, a new one gets all earlier cells but that one.
    """

    def __init__(self, server: sandbox.Sandbox, setup: str):
        self.server, self.session, self.history = server, None, []
        self.names: dict = {}
        assignments.run(setup, "<set-up>", self.names)

    def cell(self, source: str, label: str) -> list:
        """Outputs of a student's cell."""
        try:
            self._revive()
            printed = self.session.run(source, label)
        except sandbox.Failed as error:
            # what stood before the error stays defined
            self.history.append(source)
            return [failure("error", str(error))]
        except sandbox.Died as error:
            return [failure("stopped", f"this cell {error}")]
        self.history.append(source)
        return [new_output("stream", name="stdout", text=printed)] if printed else []

    def test(self, source: str, function: str) -> list:
        """Outputs of a test cell: none that is an error if the answer is right."""
        out = io.StringIO()
        outputs = []
        try:
            with contextlib.redirect_stdout(out):
                names = {**self.names, function: self._answer(function)}
                exec(compile(source, f"<test of {function}>", "exec"), names)
        except sandbox.Died as error:
            outputs = [failure("stopped", f"the notebook {error}")]
        except AssertionError as error:
            outputs = [failure("not right", str(error) or "a test of the grader's fails")]
        except Exception as error:
            from asrlib.teaching.check import describe_error

            what = describe_error(error, __file__)
            outputs = [failure("not right", f"a test of the grader's fails: {what}")]
        text = out.getvalue()
        return ([new_output("stream", name="stdout", text=text)] if text else []) + outputs

    def _answer(self, function: str):
        self._revive()
        remote = self.session.function(function)
        if remote is None:

            def missing(*_, **__):
                raise NotImplementedError

            return missing
        return Proxy(remote)

    def _revive(self) -> None:
        if self.session is None or self.session.death:
            spent = 0.0 if self.session is None else self.session.limits.session_seconds
            left = None if self.session is None else self.session.ends
            self.session = self.server.session()
            if spent:
                self.session.ends = left
            for source in self.history:
                with contextlib.suppress(sandbox.Failed):
                    self.session.run(source, "cell")

    def close(self) -> None:
        if self.session:
            self.session.close()


def failure(name: str, text: str):
    return new_output("error", ename=name, evalue=text, traceback=text.splitlines())


def preprocessor(server: sandbox.Sandbox, setups: dict[str, str]):
    """The class that takes the place of nbgrader's Execute."""
    from nbgrader import utils
    from nbgrader.preprocessors import NbGraderPreprocessor

    class Sandboxed(NbGraderPreprocessor):
        def preprocess(self, nb, resources):
            run = Execution(server, setups[resources["nbgrader"]["assignment"]])
            number = 0
            try:
                for cell in nb.cells:
                    if cell.cell_type != "code":
                        continue
                    number += 1
                    cell.execution_count = number
                    if utils.is_grade(cell):
                        function = cell.metadata.nbgrader.grade_id.removesuffix("-check").split("-", 1)[1]
                        cell.outputs = run.test(cell.source, function)
                    else:
                        cell.outputs = run.cell(cell.source, f"cell {number}")
            finally:
                run.close()
            return nb, resources

    return Sandboxed


class Log(logging.Handler):
    """Keeps what nbgrader says of errors: its exceptions only point to it."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.text = ""

    def emit(self, record):
        self.text += self.format(record) + "\n"

    def reason(self, error: BaseException) -> str:
        """The exception behind ``error``, in one line: the last of nbgrader's tracebacks, if it wrote any."""
        raised = re.findall(r"^([\w.]+): (.+)$", self.text, flags=re.M)
        name, text = raised[-1] if raised else (type(error).__name__, " ".join(str(error).split()))
        return f"{name.rsplit('.', 1)[-1]}: {text}"[:300]


class CannotGrade(Exception):
    """Nothing can be graded; the message, one line, is for the instructor."""


@contextlib.contextmanager
def alone(out: Path):
    """Holds ``out``: two runs into one folder would delete each other's gradebook."""
    import fcntl

    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CannotGrade(f"another run is writing into {out}; wait for it, or choose --out") from None
        yield


def title(notebook: Path) -> str:
    return nbformat.read(notebook, as_version=4).cells[0].source.splitlines()[0]


def snapshot(course: Path, only: str) -> dict[str, list[assignments.Task]]:
    """Copies the sources, so that nobody edits them while they grade; each assignment's tasks by its name."""
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


# ---- the whole way -----------------------------------------------------------------------------------------


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
    log = Log()
    nbgraders = logging.getLogger("traitlets")
    nbgraders.handlers, nbgraders.propagate = [log], False
    warnings.filterwarnings("ignore", module="nbgrader|sqlalchemy")
    with contextlib.ExitStack() as stack:
        stack.enter_context(alone(out))
        course = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sources = snapshot(course, only)
        titles = {name: title(course / "source" / name / f"{name}.ipynb") for name in sources}
        submissions = collect(submitted)
        hidden = (*sandbox.folders(), str(submitted.resolve()), str(out.resolve()), str(course))
        limits = dataclasses.replace(limits or sandbox.Limits(), hidden=hidden)
        try:
            server = stack.enter_context(sandbox.Sandbox(limits))
        except sandbox.Broken as error:
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
            name = notebook and recognise(submission, notebook, sources, titles)
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


def write_points(submissions: list[Submission], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["student", "assignment", "points", "of", "status", "tasks", "notes", "file"])
        for s in submissions:
            tasks = "; ".join(f"{name} {points:g}/{most:g}" for name, (points, most) in s.tasks.items())
            # no points where nothing could be graded: a zero would look like a verdict
            points = f"{s.points:g}" if s.status == "graded" else ""
            row = [
                s.student,
                s.assignment,
                points,
                f"{s.most:g}",
                s.status or "not reached",
                tasks,
                "; ".join(s.notes),
                s.path.name,
            ]
            table.writerow(["'" + cell if cell[:1] in "=+-@" and cell else cell for cell in row])


def write_page(submission: Submission, out: Path) -> None:
    """A page for a submission that has none from nbgrader."""
    if submission.status == "graded":
        return
    folder = out / "feedback" / submission.student
    folder.mkdir(parents=True, exist_ok=True)
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in submission.notes)
    name = re.sub(r"[^\w.-]", "_", submission.path.name)
    (folder / f"{name}.html").write_text(
        f'<!doctype html><meta charset="utf-8"><title>{name}</title>'
        f"<h1>{html.escape(submission.path.name)}</h1>"
        f"<p>Not graded: {submission.status}.</p><ul>{notes}</ul>",
        encoding="utf-8",
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
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


if __name__ == "__main__":
    sys.exit(main())
