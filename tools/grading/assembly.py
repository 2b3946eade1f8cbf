"""Build the notebook to grade: the released cells with the student's answers and added cells."""

from __future__ import annotations

import html

import assignments
import colab
from nbformat.v4 import new_code_cell, new_markdown_cell

from .execution import ADDED
from .matching import UNFINISHED, defined_functions, find_answer
from .submissions import Submission


def assemble(submission: Submission, theirs, released, tasks: list[assignments.Task]):
    """Return the released notebook with the student's answers and added code cells."""
    code = [cell for cell in theirs.cells if cell.cell_type == "code"]
    taken: dict[str, int] = {}
    for task in tasks:
        where, how = find_answer(task, code, set(taken.values()))
        if where is None:
            submission.note(f"{task.name}: no cell defines `{task.function}`; look at it by hand")
        else:
            taken[task.name] = where
            if how:
                submission.note(f"{task.name}: {how}")
    ours = [cell for cell in released.cells if cell.cell_type == "code"]
    known = {cell.source.strip() for cell in ours} | {""}
    checks = {task.name for task in tasks if not any(f'check("{task.name}"' in cell.source for cell in code)}
    if checks:
        submission.note(
            f"checks missing or changed, the original ones were used: {', '.join(sorted(checks))}"
        )
    extra_before = added_cells(code, taken, known, {task.function for task in tasks})
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


def added_cells(
    code: list, taken: dict[str, int], known: set[str], functions: set[str]
) -> dict[int | None, list]:
    """Return the student's other code cells, by the answer that follows them; None for those at the end.

    ``functions`` are the functions that the tasks ask for.
    """
    added: dict[int | None, list] = {}
    answers = sorted(taken.values())
    for i, cell in enumerate(code):
        if i in answers or cell.source.strip() in known:
            continue
        if cell.source == colab.first_cell(*colab.project()):
            continue
        # an unchanged stub of a task that another cell answers
        if UNFINISHED in cell.source and functions & set(defined_functions(cell.source)):
            continue
        before = next((answer for answer in answers if answer > i), None)
        added.setdefault(before, []).append(new_code_cell(cell.source, metadata={"tags": [ADDED]}))
    return added
