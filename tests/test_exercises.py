"""exercises/ is what solutions/ gives, and an untouched exercise runs from top to bottom."""

import contextlib
import io
import subprocess
import sys

import matplotlib
import nbformat
import pytest

matplotlib.use("Agg")

import assignments  # noqa: E402 (after the path)

SOURCES = assignments.notebooks()
RELEASED = assignments.notebooks(assignments.EXERCISES)


def name(path):
    return path.parent.name


def source_of(path):
    return assignments.SOLUTIONS / name(path) / f"{name(path)}.ipynb"


def code_cells(path):
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exercises")
    tool = assignments.ROOT / "tools" / "make_exercises.py"
    # a process of its own: nbgrader's imports raise warnings, which are errors here
    subprocess.run([sys.executable, tool, folder], check=True, capture_output=True)
    return folder


def test_they_are_generated_and_not_edited(made):
    assert [name(p) for p in assignments.notebooks(made)] == [name(p) for p in RELEASED]
    for path in RELEASED:
        fresh = made / path.parent.name / path.name
        assert fresh.read_text() == path.read_text(), f"{path.name} is not what `make exercises` gives"


def test_there_is_one_for_every_source():
    assert [name(p) for p in SOURCES] == [name(p) for p in RELEASED] and SOURCES


@pytest.mark.parametrize("path", RELEASED, ids=name)
def test_no_solution_is_handed_out(path):
    text = path.read_text()
    for secret in ("BEGIN SOLUTION", "HIDDEN TESTS", "strict=True", "seed="):
        assert secret not in text, secret
    tasks = assignments.tasks(source_of(path))
    assert text.count("raise NotImplementedError") >= len(tasks)


@pytest.mark.parametrize("path", RELEASED, ids=name)
def test_an_untouched_exercise_runs_and_says_not_done_yet(path):
    names, out = {}, io.StringIO()
    with contextlib.redirect_stdout(out):
        for cell in code_cells(path):
            if "colab" not in cell.metadata.get("tags", []):  # its %pip is IPython's, and for Colab alone
                assignments.run(cell.source, f"<{cell.id}>", names)
    tasks = assignments.tasks(source_of(path))
    assert out.getvalue().count("not done yet") == len(tasks)
    assert "not right" not in out.getvalue() and ": right" not in out.getvalue()


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_source_is_built_as_the_tools_expect(path):
    cells = nbformat.read(path, as_version=4).cells
    tasks = assignments.tasks(path)
    assert 4 <= len(tasks) <= 8 or path.stem == "find_the_bug" and len(tasks) >= 8
    assert path.parent.name == path.stem
    assert cells[0].source.startswith("# ")
    total = sum(task.points for task in tasks)
    assert f"{total:.0f}" in cells[0].source.split("**Points.**")[1].split()[0], "the points do not add up"
    for task in tasks:
        assert f"def {task.function}(" in task.solution
        assert task.test.startswith(f'check("{task.name}", {task.function})')
        assert task.test.count("HIDDEN TESTS") == 2 and "strict=True" in task.test
        assert task.solution.count("### BEGIN SOLUTION") == 1 == task.solution.count("### END SOLUTION")
    assert not any(cell.get("outputs") for cell in cells), "stored without outputs"
