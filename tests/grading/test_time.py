"""Time: a slow machine costs no points, and a slow answer costs those of its own task alone."""

import os
import signal
import threading
import time

import assignments
import pytest
from grading import sandbox
from grading.execution import ADDED, Execution

from asrlib.teaching import check
from asrlib.teaching.check.pace import pace

LIMITS = sandbox.Limits(call_seconds=2, task_seconds=3, cell_seconds=2, added_seconds=3)


@pytest.fixture(scope="module")
def server():
    with sandbox.Sandbox(LIMITS) as server:
        yield server


@pytest.fixture
def run(server):
    run = Execution(server, "import time")
    run.cell("import time", "cell 0", "released")
    yield run
    run.close()


def slow_down(pid, stop, run=0.01, pause=0.1):
    """Let a process have a tenth of the time, as on a machine where much else is going on."""
    while not stop.wait(run):
        try:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(pause)
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            return


WORK = "def f(seconds):\n    ends = time.thread_time() + seconds\n    while time.thread_time() < ends: pass"


def errors(outputs):
    return " ".join(output.evalue for output in outputs if output.output_type == "error")


def test_a_busy_machine_costs_no_points(run):
    """Computing takes ten times as long by the clock on the wall, and longer than the limit."""
    run.cell(WORK, "cell 1")
    stop = threading.Event()
    thread = threading.Thread(target=slow_down, args=(run.session.pid, stop))
    thread.start()
    started = time.monotonic()
    try:
        assert errors(run.test("f(0.5)", "f")) == ""
    finally:
        stop.set()
        thread.join()
    assert time.monotonic() - started > 2 * LIMITS.call_seconds / 2


def test_what_a_call_has_used_is_told(run):
    run.cell("def f():\n    while True: pass", "cell 1")
    said = errors(run.test("try:\n    f()\nexcept Exception as error:\n    assert False, str(error)", "f"))
    assert "it had computed for 2." in said and "2 s are allowed for one call" in said
    assert "loop" not in said
    assert run.notes == [f"f {said.removeprefix('it ')}"]


def test_sleeping_is_told_apart_from_computing(run):
    run.cell("def f():\n    time.sleep(100)", "cell 1")
    assert "without computing anything" in errors(run.test("f()", "f"))


def test_a_slow_answer_costs_its_own_task_alone(run):
    """All calls of one task share a budget; the next task has its own."""
    run.cell(WORK, "cell 1")
    assert "what is left to all calls of this task" in errors(run.test("for _ in range(9): f(1.2)", "f"))
    for _ in range(3):
        assert errors(run.test("f(1.2)", "f")) == ""


def test_a_flood_of_prints_costs_its_own_task_alone(run):
    run.cell("def loud():\n    while True: print('x' * 1000)", "cell 1")
    run.cell(WORK, "cell 2")
    assert "had computed for" in errors(run.test("loud()", "loud"))
    assert errors(run.test("f(1.2)", "f")) == ""


def test_slow_added_cells_leave_the_answers_their_time(run):
    for number in range(1, 4):
        said = errors(run.cell("sum(range(10**12))", f"cell {number}", ADDED))
        assert "computed for" in said
    assert "was not executed" in said
    run.cell(WORK, "cell 4")
    assert errors(run.test("f(1.2)", "f")) == ""
    assert [note.split(" had")[0].split(" was")[0] for note in run.notes] == ["cell 1", "cell 2", "cell 3"]


def test_a_slow_processor_gets_as_much_more_time(monkeypatch):
    monkeypatch.setattr("grading.sandbox.caller.pace", lambda: 4.0)
    with sandbox.Sandbox(LIMITS) as server:
        run = Execution(server, "import time")
        run.cell("import time\n" + WORK, "cell 1")
        assert errors(run.test("f(3)", "f")) == ""
        run.close()


@pytest.mark.parametrize("name", ["04.largest_alpha", "05.split", "09.plan"])
def test_a_slow_processor_passes_the_timed_checks(monkeypatch, name):
    """A processor 300 times slower: every clock of a thread runs so much faster."""
    real = time.thread_time
    monkeypatch.setattr(time, "thread_time", lambda: 300 * real())
    task = assignments.every_task()[name]
    assert check.judge(name, task.namespace()[task.function]) is None


def test_a_slow_answer_is_still_told():
    name = "05.split"
    right = assignments.every_task()[name].namespace()["split"]

    def slow(text, log_p):
        ends = time.thread_time() + (0.6 if len(text) > 100 else 0) * pace()
        while time.thread_time() < ends:
            pass
        return right(text, log_p)

    assert "half a second will do" in str(check.judge(name, slow))
