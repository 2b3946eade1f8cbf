"""House rules for lessons, so that nbval has something to compare and GitHub something to show."""

import re
from pathlib import Path

import nbformat
import pytest

LESSONS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
SKIPPED = "nbval-ignore-output"


@pytest.fixture(params=LESSONS, ids=lambda path: path.stem)
def lesson(request):
    return request.param, nbformat.read(request.param, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def test_there_are_lessons():
    assert LESSONS


def test_every_cell_was_executed_in_order(lesson):
    _, notebook = lesson
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


def test_no_cell_failed(lesson):
    _, notebook = lesson
    assert not [o for cell in code_cells(notebook) for o in cell.outputs if o.output_type == "error"]


def test_header_says_goals_needs_and_minutes(lesson):
    path, notebook = lesson
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith(f"# {path.stem[:2]} · ")
    for part in ("**Goals.**", "**Needs.**", "**Minutes.**"):
        assert part in first.source


def test_enough_outputs_are_compared(lesson):
    _, notebook = lesson
    compared = [c for c in code_cells(notebook) if c.outputs and SKIPPED not in c.metadata.get("tags", [])]
    assert len(compared) >= 10


def test_github_can_show_it(lesson):
    path, notebook = lesson
    assert "widgets" not in notebook.metadata
    assert path.stat().st_size < 600_000
    mimes = {mime for cell in code_cells(notebook) for o in cell.outputs for mime in o.get("data", {})}
    assert "image/svg+xml" not in mimes
    assert "image/png" in mimes


def test_a_figure_stands_before_every_widget(lesson):
    _, notebook = lesson
    drawn = False
    for cell in code_cells(notebook):
        mimes = {mime for o in cell.outputs for mime in o.get("data", {})}
        if "application/vnd.jupyter.widget-view+json" in mimes:
            assert drawn, f"no static figure in the cell before: {cell.source}"
        drawn = "image/png" in mimes


def test_cells_are_short(lesson):
    _, notebook = lesson
    assert not [cell.source for cell in code_cells(notebook) if len(cell.source.splitlines()) > 22]


def test_links_to_other_lessons_exist():
    readme = (LESSONS[0].parent.parent / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", readme):
        assert (LESSONS[0].parent.parent / target).exists(), target
