"""The grader in trouble: a row with its reason or one line, and never a zero."""

import csv
import re
import signal
import socket
import struct
import subprocess
import sys
import types

import assignments
import nbformat
import pytest
from grading import command, course, sandbox
from grading.sandbox import caller, session
from handed_in import NAME, ROOT, exercise

SECRET = ROOT / "solutions" / NAME / f"{NAME}.ipynb"


def in_process(folder, monkeypatch, capsys, *options):
    """(exit code, rows, what was said) of a run whose parts the test has changed."""
    (folder / "submitted" / "anna").mkdir(parents=True, exist_ok=True)
    nbformat.write(exercise(), folder / "submitted" / "anna" / f"{NAME}.ipynb")
    (folder / "submitted" / "ben").mkdir(exist_ok=True)
    nbformat.write(exercise(), folder / "submitted" / "ben" / f"{NAME}.ipynb")
    arguments = ["grade.py", folder / "submitted", "--out", folder / "graded", "--only", NAME, "--trust"]
    arguments += ["--jobs", "1", *options]
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

    monkeypatch.setattr(sandbox.Sandbox, "_probe", lambda self: None)
    monkeypatch.setattr(sandbox.Sandbox, "session", breaks)
    code, rows, _ = in_process(tmp_path, monkeypatch, capsys)
    assert code == 1 and [(row["status"], row["points"]) for row in rows] == [("failed", "")] * 2
    assert all("could not be locked in" in row["notes"] for row in rows)


def failed_with(reason, code, rows, said):
    assert code == 1 and "failed on 2 (anna, ben)" in said
    assert [(row["student"], row["status"], row["points"]) for row in rows] == [
        ("anna", "failed", ""),
        ("ben", "failed", ""),
    ]
    assert all(re.search(reason, row["notes"]) for row in rows), rows


@pytest.mark.filterwarnings("ignore")
def test_an_import_cell_that_fails_in_the_sandbox_costs_no_points(tmp_path, sources, monkeypatch, capsys):
    """The grader has a module that the sandbox does not."""
    module = types.ModuleType("only_here")
    monkeypatch.setitem(sys.modules, "only_here", module)
    notebook = nbformat.read(sources, as_version=4)
    setup = next(cell for cell in notebook.cells if cell.cell_type == "code" and "check" in cell.source)
    setup.source += "\nimport only_here"
    nbformat.write(notebook, sources)
    came = in_process(tmp_path, monkeypatch, capsys)
    failed_with("handed out so, fails in the sandbox: ModuleNotFoundError.*only_here", *came)


@pytest.mark.filterwarnings("ignore")
def test_an_import_cell_that_fails_in_the_grader_costs_no_points(tmp_path, sources, monkeypatch, capsys):
    notebook = nbformat.read(sources, as_version=4)
    setup = next(cell for cell in notebook.cells if cell.cell_type == "code" and "check" in cell.source)
    setup.source += "\nimport nowhere_at_all"
    nbformat.write(notebook, sources)
    came = in_process(tmp_path, monkeypatch, capsys)
    failed_with("set-up cell fails in the grader: ModuleNotFoundError.*nowhere_at_all", *came)


@pytest.mark.filterwarnings("ignore")
def test_a_sandbox_that_cannot_execute_a_cell_ends_in_one_line(tmp_path, sources, monkeypatch, capsys):
    monkeypatch.setattr(caller, "PROBE", "import IPython.no_such_module")
    code, rows, said = in_process(tmp_path, monkeypatch, capsys)
    assert (code, rows) == (2, None)
    assert re.fullmatch(
        r"nothing was graded: the sandbox cannot execute a notebook: ModuleNotFoundError.*\n", said
    )


@pytest.mark.filterwarnings("ignore")
def test_a_reply_that_cannot_be_decoded_costs_no_points(tmp_path, sources, monkeypatch, capsys):
    def decode(value):
        raise ValueError("not a tensor")

    monkeypatch.setattr(sandbox.Sandbox, "_probe", lambda self: None)
    monkeypatch.setattr(session, "decode", decode)
    came = in_process(tmp_path, monkeypatch, capsys)
    failed_with("the official solution of encode fails its test, too: .*ValueError: not a tensor", *came)


@pytest.mark.filterwarnings("ignore")
def test_arguments_that_cannot_be_sent_cost_no_points(tmp_path, sources, monkeypatch, capsys):
    def encode_exactly(value):
        raise RuntimeError("self.stride(-1) must be 1")

    monkeypatch.setattr(sandbox.Sandbox, "_probe", lambda self: None)
    monkeypatch.setattr(session, "encode_exactly", encode_exactly)
    came = in_process(tmp_path, monkeypatch, capsys)
    failed_with("the arguments of encode cannot be sent: RuntimeError", *came)


@pytest.mark.filterwarnings("ignore")
def test_a_test_that_the_official_solution_fails_costs_no_points(tmp_path, sources, monkeypatch, capsys):
    notebook = nbformat.read(sources, as_version=4)
    cell = next(
        c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == "05-encode-check"
    )
    cell.source = cell.source.replace("### END", "assert False, 'the author slipped'\n### END")
    nbformat.write(notebook, sources)
    came = in_process(tmp_path, monkeypatch, capsys)
    failed_with("the official solution of encode fails its test, too: the author slipped", *came)


def test_a_message_that_is_none_ends_its_process_and_says_to_look():
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(["sleep", "60"])
    with theirs, session.Session(ours, process.pid, sandbox.Limits()) as opened:
        theirs.sendall(struct.pack("!Q", 3) + b"{a}")
        with pytest.raises(sandbox.ProcessEnded, match="no reply .JSONDecodeError.*look at it by hand"):
            opened.run("1")
    assert process.wait(10) == -signal.SIGKILL


@pytest.mark.filterwarnings("ignore")
def test_two_runs_do_not_write_into_one_folder(tmp_path, sources, monkeypatch, capsys):
    with course.alone(tmp_path / "graded"):
        code, rows, said = in_process(tmp_path, monkeypatch, capsys)
    assert (code, rows) == (2, None) and "another run is writing into" in said


def test_a_server_that_does_not_start_is_told_in_one_line(monkeypatch):
    monkeypatch.setattr(caller, "START", "import no_such_module")
    with pytest.raises(sandbox.SandboxError, match="does not start: .*No module named"):
        sandbox.Sandbox()
