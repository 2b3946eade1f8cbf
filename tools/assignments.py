"""Read the assignments in ``solutions/``, for tools and tests.

An assignment is a folder with one notebook. Its first code cell is the set-up (not counting the one tagged
"colab", which installs the library there). A task is a cell with a solution region, which defines the
function that the task is named after, and the cell that checks it. A task needs only the set-up and itself.
"""

from __future__ import annotations

import linecache
from dataclasses import dataclass
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
SOLUTIONS, EXERCISES = ROOT / "solutions", ROOT / "exercises"


@dataclass(frozen=True)
class Task:
    """One task of an assignment.

    ``name`` is "assignment.function". ``solution`` and ``test`` are the sources of its two cells, and
    ``setup`` that of the set-up cell.
    """

    name: str
    solution: str
    test: str
    points: float
    setup: str

    @property
    def function(self) -> str:
        """Return the name of the function that the task asks for."""
        return self.name.split(".", 1)[1]

    def namespace(self, solution: str | None = None) -> dict:
        """Return the names defined by the set-up and ``solution`` (default: the official solution)."""
        names: dict = {}
        for part, source in (("set-up", self.setup), ("answer", solution or self.solution)):
            run(source, f"<{part} of {self.name}>", names)
        return names


def run(source: str, filename: str, names: dict) -> None:
    """Execute ``source`` in ``names``; tracebacks show its lines."""
    linecache.cache[filename] = len(source), None, source.splitlines(keepends=True), filename
    exec(compile(source, filename, "exec"), names)


def notebooks(folder: Path = SOLUTIONS) -> list[Path]:
    """Return the notebooks of all assignments in ``folder``, sorted."""
    return sorted(folder.glob("*/*.ipynb"))


def exercise(name: str, folder: Path = EXERCISES) -> Path:
    """Return the path of the student version of an assignment; its name differs from the lesson's."""
    return folder / name / f"exercise_{name}.ipynb"


def tasks(path: Path) -> list[Task]:
    """Return the tasks of one source notebook in order."""
    notebook = nbformat.read(path, as_version=4)
    code = [c for c in notebook.cells if c.cell_type == "code" and "colab" not in c.metadata.get("tags", [])]
    marked = {cell.metadata.nbgrader.grade_id: cell for cell in code if "nbgrader" in cell.metadata}
    found = []
    for grade_id, cell in marked.items():
        if cell.metadata.nbgrader.solution:
            test = marked[f"{grade_id}-check"]
            name = grade_id.replace("-", ".", 1)
            found.append(Task(name, cell.source, test.source, test.metadata.nbgrader.points, code[0].source))
    return found


def every_task() -> dict[str, Task]:
    """Return the tasks of all assignments by name."""
    return {task.name: task for path in notebooks() for task in tasks(path)}
