"""Grading, against everything that may be handed in; answers are strangers' code."""

import csv
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
import torch

sys.path.append(str(Path(__file__).parent.parent / "tools"))

import assignments  # noqa: E402 (after the path)
import sandbox  # noqa: E402

ROOT = assignments.ROOT
NAME = "05_tokens"
TASKS = assignments.tasks(assignments.SOLUTIONS / NAME / f"{NAME}.ipynb")
ALL = sum(task.points for task in TASKS)
FIRST = TASKS[0]
REST = ALL - FIRST.points


# ---- twelve submissions ------------------------------------------------------------------------------------


def exercise(*answered):
    """The exercise, with the right answers to the tasks named, or to all."""
    notebook = nbformat.read(assignments.EXERCISES / NAME / f"{NAME}.ipynb", as_version=4)
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


HALF = [task.name for task in TASKS[: len(TASKS) // 2]]
PEEK = f"""import glob, os
    found = glob.glob({str(ROOT)!r} + '/solutions/*/*') + glob.glob({str(ROOT)!r} + '/tests/*')
    raise RuntimeError('found ' + (open(found[0]).read() if found else 'nothing'))"""
SUBMISSIONS = {
    "perfect": (exercise, ALL),
    "empty": (lambda: exercise("none"), 0),
    "half": (lambda: exercise(*HALF), sum(task.points for task in TASKS[: len(TASKS) // 2])),
    "loop": (lambda: first_answer("while True: pass"), REST),
    "exits": (lambda: first_answer("import sys; sys.exit(0)"), REST),
    "bomb": (lambda: first_answer("hoard = bytearray(1 << 40)"), REST),
    "peeks": (lambda: first_answer(PEEK), REST),
    "no-checks": (without_checks, ALL),
    "stripped": (stripped, ALL),
    "reordered": (reordered, ALL),
    "syntax": (lambda: first_answer("return [1 for"), REST),
}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The rows of points.csv by student, and the folder."""
    folder = tmp_path_factory.mktemp("grading")
    for student, (make, _) in SUBMISSIONS.items():
        (folder / "submitted" / student).mkdir(parents=True)
        nbformat.write(make(), folder / "submitted" / student / f"{NAME}.ipynb")
    (folder / "submitted" / "no-notebook").mkdir()
    (folder / "submitted" / "no-notebook" / f"{NAME}.ipynb").write_text("Dear teacher, my dog ate it.")
    (folder / "submitted" / "twice").mkdir()
    nbformat.write(exercise(), folder / "submitted" / "twice" / "answers.ipynb")
    nbformat.write(exercise("none"), folder / "submitted" / "twice" / "before.ipynb")
    rows = grade(folder)
    return {row["student"]: row for row in reversed(rows)}, folder / "graded", rows


def grade(folder, *options):
    """The rows of points.csv."""
    command = [sys.executable, ROOT / "tools" / "grade.py", folder / "submitted", "--out", folder / "graded"]
    limits = ["--call-seconds", "6", "--cell-seconds", "20", *options]
    done = subprocess.run([*command, *limits], capture_output=True, text=True, timeout=600, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stdout, done.stderr
    assert ("refused by Python only" in done.stdout) == ("locked in by: audit hook" in done.stdout)
    with (folder / "graded" / "points.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def page(folder, student):
    (path,) = (folder / "feedback" / student).rglob("*.html")
    return re.sub(r"<style.*?</style>|<script.*?</script>", "", path.read_text(), flags=re.S)


@pytest.mark.parametrize("student", SUBMISSIONS)
def test_points_are_what_was_earned(graded, student):
    row = graded[0][student]
    assert row["status"] == "graded"
    assert (float(row["points"]), float(row["of"])) == (SUBMISSIONS[student][1], ALL)


def test_what_is_no_notebook_gets_no_silent_zero(graded):
    row = graded[0]["no-notebook"]
    assert (row["points"], row["status"]) == ("", "unreadable") and "not a notebook" in row["notes"]
    assert "not a notebook" in page(graded[1], "no-notebook")


def test_of_two_files_the_first_counts_and_the_second_is_listed(graded):
    first, second = [row for row in graded[2] if row["student"] == "twice"]
    assert (first["file"], float(first["points"]), first["status"]) == ("answers.ipynb", ALL, "graded")
    assert (second["file"], second["points"], second["status"]) == ("before.ipynb", "", "second file")
    assert f"twice handed in {NAME} before" in second["notes"]
    assert "second file" in (graded[1] / "feedback" / "twice" / "before.ipynb.html").read_text()


def test_nothing_is_lost(graded):
    assert set(graded[0]) == {*SUBMISSIONS, "no-notebook", "twice"}
    assert len(graded[2]) == len(SUBMISSIONS) + 3
    export = (graded[1] / "grades.csv").read_text()
    assert all(f",{student}," in export for student in SUBMISSIONS)


@pytest.mark.parametrize(
    "student, says",
    [
        ("loop", "endless loop"),
        ("exits", "it calls exit"),
        ("bomb", "more memory than there is"),
        ("peeks", "found nothing"),
        ("syntax", "SyntaxError"),
        ("empty", "not done yet"),
        ("stripped", "metadata is lost"),
        ("no-checks", "the original ones were used"),
    ],
)
def test_the_feedback_says_why(graded, student, says):
    assert says in page(graded[1], student)


def test_lost_metadata_and_lost_checks_are_noted(graded):
    assert "matched by the name" in graded[0]["stripped"]["notes"]
    assert FIRST.name in graded[0]["no-checks"]["notes"]
    assert graded[0]["perfect"]["notes"] == graded[0]["half"]["notes"] == ""


def test_hidden_tests_stay_hidden(graded):
    for student in SUBMISSIONS:
        text = re.sub("<[^>]+>", "", page(graded[1], student))
        assert "HIDDEN TESTS" not in text and "strict" not in text, student


# ---- where there are no namespaces -------------------------------------------------------------------------

SECRET = ROOT / "solutions" / NAME / f"{NAME}.ipynb"
DELETED = ROOT / "exercises" / NAME / f"{NAME}.ipynb"
HOOKED = {
    "perfect": (exercise, ALL, ""),
    "loop": (lambda: first_answer("while True: pass"), REST, "endless loop"),
    "bomb": (lambda: first_answer("hoard = [bytearray(1 << 28) for _ in range(99)]"), REST, "memory"),
    "peeks": (lambda: first_answer(f"open({str(SECRET)!r}).read()"), REST, "not for answers"),
    "network": (
        lambda: first_answer("import socket; socket.create_connection(('192.0.2.1', 80), 2)"),
        REST,
        "not allowed in an answer",
    ),
    "runs": (lambda: first_answer("import os; os.system('true')"), REST, "not allowed in an answer"),
    "deletes": (lambda: first_answer(f"import os; os.remove({str(DELETED)!r})"), REST, "scratch folder"),
    "writes": (lambda: first_answer(f"open({str(DELETED)!r}, 'a')"), REST, "scratch folder"),
}


@pytest.fixture(scope="module")
def hooked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hooked")
    for student, (make, *_) in HOOKED.items():
        (folder / "submitted" / student).mkdir(parents=True)
        nbformat.write(make(), folder / "submitted" / student / f"{NAME}.ipynb")
    return {row["student"]: row for row in grade(folder, "--without-namespaces")}, folder / "graded"


@pytest.mark.parametrize("student", HOOKED)
def test_the_fallback_grades_and_refuses(hooked, student):
    _, points, says = HOOKED[student]
    row = hooked[0][student]
    assert (row["status"], float(row["points"]), float(row["of"])) == ("graded", points, ALL)
    assert says in page(hooked[1], student)
    assert DELETED.exists()


# ---- when the grader itself is in trouble ------------------------------------------------------------------


def in_process(folder, monkeypatch, capsys, *options):
    """(exit code, rows, what was said) of a run whose parts the test has changed."""
    import grade as grader

    (folder / "submitted" / "anna").mkdir(parents=True, exist_ok=True)
    nbformat.write(exercise(), folder / "submitted" / "anna" / f"{NAME}.ipynb")
    (folder / "submitted" / "ben").mkdir(exist_ok=True)
    nbformat.write(exercise(), folder / "submitted" / "ben" / f"{NAME}.ipynb")
    arguments = ["grade.py", folder / "submitted", "--out", folder / "graded", "--only", NAME, *options]
    monkeypatch.setattr(sys, "argv", [str(argument) for argument in arguments])
    code = grader.main()
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
        raise sandbox.Broken("a session could not be locked in (EOFError); grade again")

    monkeypatch.setattr(sandbox.Sandbox, "session", breaks)
    code, rows, _ = in_process(tmp_path, monkeypatch, capsys)
    assert code == 1 and [(row["status"], row["points"]) for row in rows] == [("failed", "")] * 2
    assert all("could not be locked in" in row["notes"] for row in rows)


@pytest.mark.filterwarnings("ignore")
def test_two_runs_do_not_write_into_one_folder(tmp_path, sources, monkeypatch, capsys):
    import grade as grader

    with grader.alone(tmp_path / "graded"):
        code, rows, said = in_process(tmp_path, monkeypatch, capsys)
    assert (code, rows) == (2, None) and "another run is writing into" in said


def test_sending_leaves_no_time_limit_behind():
    ours, theirs = sandbox.socket.socketpair()
    with ours, theirs:
        sandbox.send(ours, {"isolation": "none"})
        assert ours.gettimeout() is None
        assert sandbox.receive(theirs, time.monotonic() + 5) == {"isolation": "none"}


def test_a_server_that_does_not_start_is_told_in_one_line(monkeypatch):
    monkeypatch.setattr(sandbox, "__file__", str(ROOT / "tools" / "no-such-file.py"))
    with pytest.raises(sandbox.Broken, match="does not start: .*No such file"):
        sandbox.Sandbox()


def test_grading_leaves_no_process(graded):
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert "sandbox-" not in listed or str(ROOT) not in listed


# ---- the sandbox -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def locked():
    limits = sandbox.Limits(call_seconds=5, cell_seconds=5, hidden=tuple(sandbox.folders()))
    with sandbox.Sandbox(limits) as server:
        yield server


@pytest.fixture
def session(locked):
    with locked.session() as session:
        yield session


def namespaces(locked):
    if locked.isolation != "namespaces":
        pytest.skip("no namespaces on this system")


@pytest.mark.parametrize(
    "value",
    [
        None, True, 3, 2.5, "text", [1, [2]], (1, "a"), {"a": (1, 2)}, {1, 2}, {(1, 2): None},
        torch.randn(2, 3), torch.tensor(3), torch.zeros(0, 2), torch.tensor([True]),
        torch.randn(2, dtype=torch.complex64), torch.randn(3).bfloat16(), torch.randn(3, 2).T,
    ],
)  # fmt: skip
def test_values_cross_unchanged(session, value):
    session.run("def same(x): return x")
    came = session.function("same")(value)
    if isinstance(value, torch.Tensor):
        assert came.dtype == value.dtype and torch.equal(came, value)
    else:
        assert came == value and type(came) is type(value)


def test_infinite_and_not_a_number_cross(session):
    session.run("def same(x): return x")
    assert session.function("same")(float("-inf")) == float("-inf")
    assert session.function("same")(torch.tensor([torch.nan])).isnan().all()


@pytest.mark.parametrize(
    "forged",
    [
        {"tensor": ["float32", [10**9, 10**9], ""]},
        {"tensor": ["float32", [2], "AAAA"]},
        {"tensor": ["__class__", [0], ""]},
        {"tensor": ["float32", [-1], ""]},
        {"list": 3},
        [1],
        {},
    ],
)  # fmt: skip
def test_a_forged_value_is_refused(forged):
    with pytest.raises((ValueError, TypeError)):
        sandbox.decode(forged)


def test_what_cannot_cross_is_named(session):
    session.run("def f(): return f")
    assert repr(session.function("f")()) == "a function"
    assert session.function("nothing") is None


def test_errors_come_with_their_line(session):
    session.run("def f(x):\n    return x[7]")
    with pytest.raises(sandbox.Failed, match=r"IndexError(.|\n)*return x\[7\]"):
        session.function("f")([1])


def test_not_implemented_is_told_apart(session):
    session.run("def f():\n    raise NotImplementedError")
    with pytest.raises(sandbox.Failed) as raised:
        session.function("f")()
    assert raised.value.unfinished


def test_an_argument_that_is_written_into_is_seen(session):
    session.run("def f(x):\n    x.zero_()\n    return x")
    with pytest.raises(sandbox.Failed, match="writes into what it was given"):
        session.function("f")(torch.ones(2))


@pytest.mark.parametrize("source", ["while True: pass", "import time; time.sleep(60)"])
def test_time_is_limited(locked, source):
    started = time.monotonic()
    with locked.session() as session:
        with pytest.raises(sandbox.Died, match="within 5 seconds"):
            session.run(source)
        with pytest.raises(sandbox.Died):
            session.run("1")
    assert time.monotonic() - started < 15


@pytest.mark.parametrize("source", ["import os; os._exit(0)", "import ctypes; ctypes.string_at(0)"])
def test_a_crash_is_a_message(session, source):
    with pytest.raises((sandbox.Died, sandbox.Failed), match="whole Python process|not allowed"):
        session.run(source)


def test_memory_is_limited(session):
    with pytest.raises((sandbox.Died, sandbox.Failed), match="memory"):
        session.run("import torch\nhoard = [torch.empty(1 << 26) for _ in range(100)]")


def test_the_next_session_knows_nothing_of_the_last(locked):
    with locked.session() as first:
        first.run("import builtins, asrlib; asrlib.mine = 3; open('/tmp/note', 'w').write('hi')")
    with locked.session() as second:
        printed = second.run("import asrlib, os; print(hasattr(asrlib, 'mine'), os.path.exists('/tmp/note'))")
    assert printed == "False False\n" or locked.isolation != "namespaces"


def test_there_is_no_network(session):
    with pytest.raises(sandbox.Failed, match="nreachable|not allowed"):
        session.run("import socket; socket.create_connection(('192.0.2.1', 80), 2)")


@pytest.mark.parametrize("folder", ["solutions", "tests", "tools"])
def test_folders_are_out_of_sight(session, folder):
    with pytest.raises(sandbox.Failed, match="No such file|not for answers"):
        session.run(f"import os; os.listdir({str(ROOT / folder)!r})")


def test_the_course_is_read_only(locked, session):
    namespaces(locked)
    with pytest.raises(sandbox.Failed, match="Read-only"):
        session.run(f"open({str(ROOT / 'asrlib' / 'new.py')!r}, 'w')")


def test_other_processes_are_out_of_sight(locked, session):
    namespaces(locked)
    printed = session.run("import os; print(os.getpid(), [p for p in os.listdir('/proc') if p.isdigit()])")
    assert printed == "1 ['1']\n"


def test_privileges_are_gone(locked, session):
    namespaces(locked)
    status = session.run("print(open('/proc/self/status').read()[-3000:])")
    assert re.search(r"CapEff:\s+0000000000000000", status)


def test_the_fallback_refuses_too(tmp_path):
    """The audit hook in a process of its own, for it cannot be taken off again."""
    secret = str(ROOT / "solutions" / "x")
    sources = [
        f"open({secret!r})",
        "import socket; socket.socket().connect(('192.0.2.1', 80))",
        "import os; os.fork()",
        "import subprocess; subprocess.run(['ls'])",
        "import ctypes; ctypes.CDLL(None)",
    ]
    script = f"""
import sys; sys.path.insert(0, {str(ROOT / "tools")!r})
import sandbox
sandbox.hook_in({{"root": {str(tmp_path)!r}, "hidden": [{str(ROOT / "solutions")!r}]}})
for source in {sources!r}:
    try:
        exec(source)
        print("done", source)
    except PermissionError as error:
        print("refused")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["refused"] * 5, done.stdout + done.stderr


def test_magics_of_colab_do_nothing(session):
    assert session.run("!pip install asrlib\n%matplotlib inline\nprint('on')") == "on\n"
