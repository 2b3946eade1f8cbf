"""The grader in trouble: a row with its reason or one line, and never a zero."""

import csv
import re
import sys

import assignments
import nbformat
import pytest
from grading import command, course, sandbox
from grading.sandbox import caller
from handed_in import NAME, ROOT, exercise

SECRET = ROOT / "solutions" / NAME / f"{NAME}.ipynb"


def in_process(folder, monkeypatch, capsys, *options):
    """(exit code, rows, what was said) of a run whose parts the test has changed."""
    (folder / "submitted" / "anna").mkdir(parents=True, exist_ok=True)
    nbformat.write(exercise(), folder / "submitted" / "anna" / f"{NAME}.ipynb")
    (folder / "submitted" / "ben").mkdir(exist_ok=True)
    nbformat.write(exercise(), folder / "submitted" / "ben" / f"{NAME}.ipynb")
    arguments = ["grade.py", folder / "submitted", "--out", folder / "graded", "--only", NAME, *options]
    monkeypatch.setattr(sys, "argv", [str(argument) for argument in arguments])
    code = command.main()
    table = folder / "graded" / "points.csv"
    rows = list(csv.DictReader(table.open(encoding="utf-8"))) if table.exists() else None
    return code, rows, "".join(capsys.readouterr())


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A copy of the source, where a test may break it."""
    (tmp_path / "solutions" / NAME).mkdir(parents=True)
    path = tmp_path / "solutions" / NAME / f"{NAME}.ipynb"
    path.write_text(SECRET.read_text())
    monkeypatch.setattr(assignments.notebooks, "__defaults__", (tmp_path / "solutions",))
    return path


@pytest.mark.filterwarnings("ignore")
def test_a_source_that_is_being_written_ends_in_one_line(tmp_path, sources, monkeypatch, capsys):
    sources.write_text(sources.read_text()[:3000])
    code, rows, said = in_process(tmp_path, monkeypatch, capsys)
    assert (code, rows) == (2, None)
    assert re.fullmatch(rf"nothing was graded: .*{NAME}.ipynb cannot be read: .*\n", said)


@pytest.mark.filterwarnings("ignore")
def test_an_assignment_that_nbgrader_refuses_leaves_a_row_for_everyone(
    tmp_path, sources, monkeypatch, capsys
):
    broken = nbformat.read(sources, as_version=4)
    broken.cells.append(broken.cells[3].copy())  # the same grade_id twice
    nbformat.write(broken, sources)
    code, rows, said = in_process(tmp_path, monkeypatch, capsys)
    assert code == 1 and [row["student"] for row in rows] == ["anna", "ben"]
    for row in rows:
        assert (row["status"], row["points"]) == ("failed", "")
        assert f"{NAME} itself cannot be generated" in row["notes"] and "ValidationError" in row["notes"]
    assert "failed on 2 (anna, ben)" in said


@pytest.mark.filterwarnings("ignore")
def test_a_sandbox_that_breaks_blames_no_student(tmp_path, sources, monkeypatch, capsys):
    def breaks(self):
        raise sandbox.SandboxError("a session could not be locked in (EOFError); grade again")

    monkeypatch.setattr(sandbox.Sandbox, "session", breaks)
    code, rows, _ = in_process(tmp_path, monkeypatch, capsys)
    assert code == 1 and [(row["status"], row["points"]) for row in rows] == [("failed", "")] * 2
    assert all("could not be locked in" in row["notes"] for row in rows)


@pytest.mark.filterwarnings("ignore")
def test_two_runs_do_not_write_into_one_folder(tmp_path, sources, monkeypatch, capsys):
    with course.alone(tmp_path / "graded"):
        code, rows, said = in_process(tmp_path, monkeypatch, capsys)
    assert (code, rows) == (2, None) and "another run is writing into" in said


def test_a_server_that_does_not_start_is_told_in_one_line(monkeypatch):
    monkeypatch.setattr(caller, "START", "import no_such_module")
    with pytest.raises(sandbox.SandboxError, match="does not start: .*No module named"):
        sandbox.Sandbox()
