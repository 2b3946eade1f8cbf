"""Find the assignment that a notebook answers, and the cell that answers a task."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

import assignments

from .submissions import Submission

UNFINISHED = "raise NotImplementedError"


def defined_functions(source: str) -> list[str]:
    """Return the functions that a cell defines at top level, even if its syntax is broken."""
    return re.findall(r"^(?:async\s+)?def\s+(\w+)\s*\(", source, flags=re.M)


def recognize(
    submission: Submission, notebook, tasks: dict[str, list[assignments.Task]], titles: dict[str, str]
) -> str | None:
    """Return the assignment that a notebook answers, by its name and its cells; None if there is none."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    ids = {cell.metadata.get("nbgrader", {}).get("grade_id") for cell in code}
    names = {name for cell in code for name in defined_functions(cell.source)}
    text = "\n".join(cell.source for cell in notebook.cells)

    def likeness(name):
        named = name in str(submission.path.name) or titles[name] in text
        same = sum(t.name.replace(".", "-", 1) in ids or t.function in names for t in tasks[name])
        checked = sum(f'"{t.name}"' in text for t in tasks[name])
        return (same + checked) / len(tasks[name]) + 0.5 * named

    best = max(tasks, key=likeness)
    if likeness(best) > 0.3:
        return best
    submission.status = "unknown"
    submission.note("this notebook belongs to none of the assignments: look at it by hand")
    return None


def find_answer(task: assignments.Task, code: list, taken: set[int]) -> tuple[int | None, str]:
    """Return the position of the cell that answers ``task``, and how it was found if not by its metadata."""
    grade_id = task.name.replace(".", "-", 1)
    marked = [
        i
        for i, cell in enumerate(code)
        if grade_id in (cell.metadata.get("nbgrader", {}).get("grade_id"), cell.get("id"))
    ]
    named = [i for i, cell in enumerate(code) if task.function in defined_functions(cell.source)]
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
    # a cell whose first line is broken may still resemble the released one
    start = task.solution.split("### BEGIN SOLUTION")[0]
    likeness = {
        i: SequenceMatcher(None, start, cell.source[: len(start)]).ratio()
        for i, cell in enumerate(code)
        if i not in taken and not defined_functions(cell.source)
    }
    best = max(likeness, key=likeness.get, default=None)
    if best is not None and likeness[best] > 0.7:
        return best, "matched by its text, for no cell defines the function; look at it by hand"
    return None, ""
