"""A session: its errors, its limits, and what it cannot reach."""

import re
import time

import pytest
import torch
from grading import sandbox
from handed_in import ROOT


@pytest.fixture(scope="module")
def locked():
    limits = sandbox.Limits(call_seconds=5, cell_seconds=5, hidden=tuple(sandbox.hidden_folders()))
    with sandbox.Sandbox(limits) as server:
        yield server


@pytest.fixture
def session(locked):
    with locked.session() as session:
        yield session


def namespaces(locked):
    if locked.isolation != "namespaces":
        pytest.skip("no namespaces on this system")


def test_errors_come_with_their_line(session):
    session.run("def f(x):\n    return x[7]")
    with pytest.raises(sandbox.AnswerError, match=r"IndexError(.|\n)*return x\[7\]"):
        session.function("f")([1])


def test_not_implemented_is_told_apart(session):
    session.run("def f():\n    raise NotImplementedError")
    with pytest.raises(sandbox.AnswerError) as raised:
        session.function("f")()
    assert raised.value.unfinished


def test_an_argument_that_is_written_into_is_seen(session):
    session.run("def f(x):\n    x.zero_()\n    return x")
    with pytest.raises(sandbox.AnswerError, match="writes into what it was given"):
        session.function("f")(torch.ones(2))


@pytest.mark.parametrize(
    "source, says",
    [
        ("while True: pass", r"had computed for 5\.\d s when it was stopped; 5 s are allowed for one cell"),
        ("import time; time.sleep(60)", r"waited 5\.\d s without computing anything; 5 s are allowed"),
    ],
)
def test_time_is_limited(locked, source, says):
    started = time.monotonic()
    with locked.session() as session:
        with pytest.raises(sandbox.ProcessEnded, match=says):
            session.run(source)
        with pytest.raises(sandbox.ProcessEnded):
            session.run("1")
    assert time.monotonic() - started < 120  # wall clock, on a machine that may be busy


@pytest.mark.parametrize("source", ["import os; os._exit(0)", "import ctypes; ctypes.string_at(0)"])
def test_a_crash_is_a_message(session, source):
    with pytest.raises((sandbox.ProcessEnded, sandbox.AnswerError), match="whole Python process|not allowed"):
        session.run(source)


def test_memory_is_limited(session):
    with pytest.raises((sandbox.ProcessEnded, sandbox.AnswerError), match="memory"):
        session.run("import torch\nhoard = [torch.empty(1 << 26) for _ in range(100)]")


def test_the_next_session_knows_nothing_of_the_last(locked):
    with locked.session() as first:
        first.run("import builtins, asrlib; asrlib.mine = 3; open('/tmp/note', 'w').write('hi')")
    with locked.session() as second:
        printed = second.run("import asrlib, os; print(hasattr(asrlib, 'mine'), os.path.exists('/tmp/note'))")
    assert printed == "False False\n" or locked.isolation != "namespaces"


def test_there_is_no_network(session):
    with pytest.raises(sandbox.AnswerError, match="nreachable|not allowed"):
        session.run("import socket; socket.create_connection(('192.0.2.1', 80), 2)")


@pytest.mark.parametrize("folder", ["solutions", "tests", "tools"])
def test_folders_are_out_of_sight(session, folder):
    with pytest.raises(sandbox.AnswerError, match="No such file|not for answers"):
        session.run(f"import os; os.listdir({str(ROOT / folder)!r})")


def test_the_course_is_read_only(locked, session):
    namespaces(locked)
    with pytest.raises(sandbox.AnswerError, match="Read-only"):
        session.run(f"open({str(ROOT / 'asrlib' / 'new.py')!r}, 'w')")


def test_other_processes_are_out_of_sight(locked, session):
    namespaces(locked)
    printed = session.run("import os; print(os.getpid(), [p for p in os.listdir('/proc') if p.isdigit()])")
    assert printed == "1 ['1']\n"


def test_privileges_are_gone(locked, session):
    namespaces(locked)
    status = session.run("print(open('/proc/self/status').read()[-3000:])")
    assert re.search(r"CapEff:\s+0000000000000000", status)


def test_magics_of_colab_do_nothing(session):
    assert session.run("!pip install asrlib\n%matplotlib inline\nprint('on')") == "on\n"
