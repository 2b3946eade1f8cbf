"""Run nbgrader with execution in the sandbox and with one-line errors."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import sys
import warnings
from collections.abc import Collection, Iterable
from pathlib import Path

import assignments
import make_exercises
import nbformat

from . import sandbox
from .errors import CannotGrade
from .execution import ADDED, ANSWER, RELEASED, Execution, Referee, error_output
from .submissions import Submission

GRADEBOOK = "gradebook.db"
REFUSED = "right or not, the answer hands the task to a function that is there already: no points"


def prepare(tasks: dict[str, list[assignments.Task]]) -> None:
    """Import what all processes need, so that they share it: nbgrader, checkers, and what set-ups import."""
    import nbgrader.converters  # noqa: F401
    import torch

    from asrlib.teaching import check

    torch.set_num_threads(1)
    check.tasks()
    for setup in dict.fromkeys(task.setup for found in tasks.values() for task in found[:1]):
        with contextlib.suppress(Exception):  # told when the assignment is graded
            assignments.run(setup, "<set-up>", {})


def new_gradebook(folder: Path) -> None:
    """Write an empty gradebook to ``folder``, for all processes to copy.

    nbgrader starts another Python for each new one, to ask for the version of its tables.
    """
    from nbgrader.api import Gradebook

    # nbgrader calls alembic, which is in the same folder as this Python
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    with Gradebook(f"sqlite:///{folder / GRADEBOOK}"):
        pass


class Course:
    """nbgrader's folders and gradebook of one process in ``folder``, for the sources in ``course``.

    Results are written there and then copied, because nbgrader interprets brackets and percent signs in a
    path as patterns. The gradebook is a copy of the empty one in ``course`` (see `new_gradebook`).
    """

    def __init__(
        self,
        course: Path,
        folder: Path,
        tasks: dict[str, list[assignments.Task]],
        server: sandbox.Sandbox | None = None,
    ):
        from nbgrader.preprocessors import ClearHiddenTests, GetGrades, LimitOutput, SaveAutoGrades

        self.log = NbgraderLog()
        logger = logging.getLogger("traitlets")
        logger.handlers, logger.propagate = [self.log], False
        warnings.filterwarnings("ignore", module="nbgrader|sqlalchemy")
        shutil.rmtree(folder, ignore_errors=True)  # left by a process that this one replaces
        folder.mkdir()
        (folder / "source").symlink_to(course / "source")
        shutil.copyfile(course / GRADEBOOK, folder / GRADEBOOK)
        self.folder, self.notebooks = folder, Notebooks(server, tasks)
        self.config = make_exercises.settings()
        directory = self.config.CourseDirectory
        directory.root, directory.source_directory = str(folder), "source"
        directory.db_url = f"sqlite:///{folder / GRADEBOOK}"
        execute = preprocessor(self.notebooks)
        self.config.Autograde.autograde_preprocessors = [execute, LimitOutput, SaveAutoGrades]
        self.config.GenerateFeedback.preprocessors = [GetGrades, ClearHiddenTests]
        # "" for a generated assignment, or the reason of the failure, which is not tried again
        self._prepared: dict[str, str] = {}

    def released(self, assignment: str) -> nbformat.NotebookNode:
        """Return the released notebook; raise ``CannotGrade`` if nbgrader cannot generate it."""
        from nbgrader.converters import GenerateAssignment

        if assignment not in self._prepared:
            try:
                self._convert(GenerateAssignment, assignment)
                self._prepared[assignment] = ""
            except (Exception, SystemExit) as error:
                self._prepared[assignment] = self.log.reason(error)
        if self._prepared[assignment]:
            raise CannotGrade(f"{assignment} itself cannot be generated ({self._prepared[assignment]})")
        path = self.folder / "exercises" / assignment / f"{assignment}.ipynb"
        return nbformat.read(path, as_version=4)

    def grade(
        self, student: str, assignment: str, notebook, out: Path, refused: Collection[str] = ()
    ) -> tuple[dict, list[str]]:
        """Grade a notebook; return (points, maximum) per task, and the notes of the execution.

        Feedback pages and notebooks are written to ``out``. The tasks in ``refused`` get no points. Raises
        ``CannotGrade``, ``SandboxError``, and whatever nbgrader raises.
        """
        from nbgrader.api import Gradebook
        from nbgrader.converters import Autograde, GenerateFeedback

        where = self.folder / "submitted" / student / assignment
        where.mkdir(parents=True)
        nbformat.write(notebook, where / f"{assignment}.ipynb")
        self.notebooks.notes, self.notebooks.fault, self.notebooks.refused = [], None, refused
        try:
            self._convert(Autograde, assignment, student)
            self._convert(GenerateFeedback, assignment, student)
        except (Exception, SystemExit):
            if self.notebooks.fault:
                raise self.notebooks.fault from None
            raise
        with Gradebook(self.config.CourseDirectory.db_url) as book:
            points = {
                _task(given.name): (given.score, given.max_score)
                for given in book.find_submission_notebook(assignment, assignment, student).grades
            }
        for kind in ("autograded", "feedback"):
            written = Path(kind, student, assignment)
            shutil.copytree(self.folder / written, out / written, dirs_exist_ok=True)
        return points, self.notebooks.notes

    def _convert(self, kind, assignment: str, student: str = ".") -> None:
        from nbgrader.coursedir import CourseDirectory

        self.log.text = ""
        directory = self.config.CourseDirectory
        directory.assignment_id, directory.student_id = assignment, student
        converter = kind(coursedir=CourseDirectory(config=self.config), config=self.config)
        converter.force = True
        converter.start()


def export(
    course: Path, tasks: dict[str, list[assignments.Task]], submissions: Iterable[Submission], out: Path
) -> None:
    """Write nbgrader's table and database of all graded submissions to ``out``."""
    from nbgrader.api import Gradebook
    from nbgrader.plugins import CsvExportPlugin

    graded = [submission for submission in submissions if submission.status == "graded"]
    whole = Course(course, course / "export", tasks)
    for assignment in sorted({submission.assignment for submission in graded}):
        whole.released(assignment)
    table = whole.folder / "grades.csv"
    with Gradebook(whole.config.CourseDirectory.db_url) as book:
        for submission in graded:
            book.update_or_create_student(submission.student)
            book.update_or_create_submission(submission.assignment, submission.student)
            notebook = book.find_submission_notebook(
                submission.assignment, submission.assignment, submission.student
            )
            for given in notebook.grades:
                given.auto_score = submission.tasks[_task(given.name)][0]
            book.db.commit()
        CsvExportPlugin(to=str(table)).export(book)
    for path in (table, whole.folder / GRADEBOOK):
        shutil.copyfile(path, out / path.name)


def _task(grade_id: str) -> str:
    return grade_id.removesuffix("-check").replace("-", ".", 1)


class Notebooks:
    """Executes notebooks; keeps ``notes`` and ``fault`` of the last one, which nbgrader does not return."""

    def __init__(self, server: sandbox.Sandbox | None, tasks: dict[str, list[assignments.Task]]):
        self.server, self.tasks, self.referee = server, tasks, Referee(server, tasks)
        self.notes: list[str] = []
        self.fault: Exception | None = None
        self.refused: Collection[str] = ()

    def execute(self, notebook, assignment: str) -> None:
        """Fill in the outputs; raise ``CannotGrade`` or ``SandboxError`` if the grader is at fault."""
        try:
            self._execute(notebook, assignment)
        except (CannotGrade, sandbox.SandboxError) as error:
            self.fault = error
            raise

    def _execute(self, notebook, assignment: str) -> None:
        from nbgrader import utils

        setup = self.tasks[assignment][0].setup
        run = Execution(self.server, setup, lambda function: self.referee.confirm(assignment, function))
        self.notes = run.notes
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        try:
            for number, cell in enumerate(code, start=1):
                cell.execution_count = number
                if utils.is_grade(cell):
                    function = cell.metadata.nbgrader.grade_id.removesuffix("-check").split("-", 1)[1]
                    cell.outputs = run.test(cell.source, function)
                    if _task(cell.metadata.nbgrader.grade_id) in self.refused:
                        cell.outputs.append(error_output("refused", REFUSED))
                    continue
                kind = ANSWER if utils.is_solution(cell) else RELEASED
                kind = ADDED if ADDED in cell.metadata.get("tags", []) else kind
                cell.outputs = run.cell(cell.source, f"cell {number}", kind)
        finally:
            run.close()


def preprocessor(notebooks: Notebooks):
    """Return the class that replaces nbgrader's ``Execute``."""
    from nbgrader.preprocessors import NbGraderPreprocessor

    class Sandboxed(NbGraderPreprocessor):
        def preprocess(self, nb, resources):
            notebooks.execute(nb, resources["nbgrader"]["assignment"])
            return nb, resources

    return Sandboxed


class NbgraderLog(logging.Handler):
    """Keeps nbgrader's error messages, as its exceptions only refer to them."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.text = ""

    def emit(self, record):
        self.text += self.format(record) + "\n"

    def reason(self, error: BaseException) -> str:
        """Return the cause of ``error`` in one line: the last of nbgrader's tracebacks, if there is one."""
        raised = re.findall(r"^([\w.]+): (.+)$", self.text, flags=re.M)
        name, text = raised[-1] if raised else (type(error).__name__, " ".join(str(error).split()))
        return f"{name.rsplit('.', 1)[-1]}: {text}"[:300]
