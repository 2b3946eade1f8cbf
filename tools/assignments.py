"""What an assignment is made of, for the tools and tests that read ``solutions/``.

An assignment is a folder with one notebook. Its first code cell (but for one tagged "colab", which installs
the library there) is the set-up; a task is a cell with a
solution region that defines the function the task is named after, and the cell that checks it. A task needs
nothing but the set-up and itself.
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
    """``name`` is "assignment.function"; ``solution`` and ``test`` are the two cells' sources."""

    name: str
    solution: str
    test: str
    points: float
    setup: str

    @property
    def function(self) -> str:
        return self.name.split(".", 1)[1]

    def namespace(self, solution: str | None = None) -> dict:
        """What the notebook knows after the set-up and this ``solution`` (default: the right one)."""
        names: dict = {}
        for part, source in (("set-up", self.setup), ("answer", solution or self.solution)):
            run(source, f"<{part} of {self.name}>", names)
        return names


def run(source: str, filename: str, names: dict) -> None:
    """Execute in ``names``; tracebacks find the lines."""
    linecache.cache[filename] = len(source), None, source.splitlines(keepends=True), filename
    exec(compile(source, filename, "exec"), names)


def notebooks(folder: Path = SOLUTIONS) -> list[Path]:
    return sorted(folder.glob("*/*.ipynb"))


def exercise(name: str, folder: Path = EXERCISES) -> Path:
    """Where the student version of an assignment lies; a tab's title tells it from the lesson's."""
    return folder / name / f"exercise_{name}.ipynb"


def tasks(path: Path) -> list[Task]:
    """The tasks of one source notebook, in its order."""
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
    return {task.name: task for path in notebooks() for task in tasks(path)}
