"""Notebooks as students hand them in, and the grader's command, for the tests of grading."""

import csv
import random
import re
import subprocess
import sys

import assignments
import nbformat

ROOT = assignments.ROOT
NAME = "05_tokens"
TASKS = assignments.tasks(assignments.SOLUTIONS / NAME / f"{NAME}.ipynb")
ALL = sum(task.points for task in TASKS)
FIRST = TASKS[0]
REST = ALL - FIRST.points


def exercise(*answered):
    """The exercise, with the right answers to the tasks named, or to all."""
    notebook = nbformat.read(assignments.exercise(NAME), as_version=4)
    for task in TASKS:
        if not answered or task.name in answered:
            set_answer(notebook, task, task.solution)
    return notebook


def set_answer(notebook, task, source):
    cell_of(notebook, task).source = source
    return notebook


def cell_of(notebook, task):
    return next(c for c in notebook.cells if c.get("id") == task.name.replace(".", "-", 1))


def first_answer(body):
    """All right but the first task, whose answer is ``body``."""
    arguments = re.search(r"def \w+\(.*\):", FIRST.solution).group(0)
    return set_answer(exercise(), FIRST, f"{arguments}\n    {body}")


def stripped():
    """What comes back through a tool that keeps no metadata."""
    notebook = exercise()
    for number, cell in enumerate(notebook.cells):
        cell.metadata, cell["id"] = nbformat.NotebookNode(), f"x{number}"
    return notebook


def reordered():
    """Every answer and check in another order, behind the set-up."""
    notebook = exercise()
    head, tail = notebook.cells[:3], notebook.cells[3:]
    random.Random(1).shuffle(tail)
    notebook.cells = head + tail
    return notebook


def without_checks():
    notebook = exercise()
    notebook.cells = [c for c in notebook.cells if not c.source.startswith("check(")]
    notebook.cells.append(nbformat.v4.new_code_cell("def check(*args, **kwargs):\n    print('right')"))
    return notebook


def grade(folder, *options):
    """The rows of points.csv."""
    command = [sys.executable, ROOT / "tools" / "grade.py", folder / "submitted", "--out", folder / "graded"]
    limits = ["--call-seconds", "6", "--cell-seconds", "20", "--trust", *options]
    done = subprocess.run([*command, *limits], capture_output=True, text=True, timeout=600, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stdout, done.stderr
    assert ("refused by Python only" in done.stdout) == ("locked in by: audit hook" in done.stdout)
    with (folder / "graded" / "points.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def page(folder, student):
    (path,) = (folder / "feedback" / student).rglob("*.html")
    return re.sub(r"<style.*?</style>|<script.*?</script>", "", path.read_text(), flags=re.S)
