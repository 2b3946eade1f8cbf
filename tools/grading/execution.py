"""Execute a notebook: the student's cells in the sandbox, the tests here."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable

import assignments
from nbformat.v4 import new_output

from . import sandbox
from .errors import CannotGrade

RELEASED, ADDED, ANSWER = "released", "added", "answer"

# seconds charged for a new process, so that no notebook can ask for thousands
SESSION_SECONDS = 1


class Proxy:
    """An answer in the sandbox, as a function that checkers can call.

    ``fault`` is a failure of the sandbox itself. A checker blames the student for any exception of a call, so
    the caller of the checker must examine ``fault``.
    """

    def __init__(self, remote: sandbox.Remote):
        self.remote, self.ended = remote, ""
        self.used = 0.0  # seconds of computing, of all calls
        self.fault: sandbox.SandboxError | None = None

    @property
    def seconds(self) -> float:
        """Return the seconds that the last call computed in the sandbox."""
        return self.remote.session.seconds

    def __call__(self, *args, **kwargs):
        return self._call(self.remote, args, kwargs)

    def counted(self, *args, **kwargs):
        """Call the answer; return its value, and the work that its process counted."""
        return self._call(self.remote.counted, args, kwargs)

    def _call(self, remote: Callable, args: tuple, kwargs: dict):
        from asrlib.teaching.check import AnswerError

        try:
            return remote(*args, **kwargs)
        except sandbox.AnswerError as error:
            if error.unfinished:
                raise NotImplementedError from None
            raise AnswerError(str(error)) from None
        except sandbox.ProcessEnded as error:
            self.ended = self.ended or str(error)
            raise AnswerError(f"it {error}") from None
        except sandbox.SandboxError as error:
            self.fault = self.fault or error
            raise
        finally:
            self.used += self.remote.session.spent


def _missing(*_, **__):
    raise NotImplementedError


class Execution:
    """The execution of one notebook: the student's cells in the sandbox, the tests here.

    If a cell or a call ends its process, a new process executes all earlier cells except that one. ``notes``
    say what was stopped. ``confirm`` is called with the name of a function whose test has failed; it raises
    ``CannotGrade`` if the test is at fault and not the answer.
    """

    def __init__(
        self, server: sandbox.Sandbox, setup: str, confirm: Callable[[str], None] = lambda function: None
    ):
        self.server, self.confirm = server, confirm
        self.session: sandbox.Session | None = None
        self.history: list[tuple[str, str]] = []
        self.notes: list[str] = []
        self.only_released = True  # no cell of the student's has been executed yet
        # seconds of computing: of all that the notebook has done, and of its added cells
        self.used = self.added_used = 0.0
        self.names: dict = {}
        try:
            assignments.run(setup, "<set-up>", self.names)
        except Exception as error:
            raise CannotGrade(
                f"the set-up cell fails in the grader: {type(error).__name__}: {error}"
            ) from None

    def cell(self, source: str, label: str, kind: str = ANSWER) -> list:
        """Return the outputs of a cell; raise ``CannotGrade`` if a released cell fails before any other."""
        self.only_released = self.only_released and kind == RELEASED
        limits, left = self.server.limits, None
        if self.used > limits.notebook_seconds * self.pace:
            return [self._stopped(label, f"was not executed: the notebook has {self._computed(self.used)}")]
        if kind == ADDED:
            left = limits.added_seconds * self.pace - self.added_used
            if left <= 0:
                why = f"was not executed: the added cells have {self._computed(self.added_used)}"
                return [self._stopped(label, why)]
        before = self.used
        self._revive()
        try:
            printed = self.session.run(source, label, left)
        except sandbox.AnswerError as error:
            self._blame_released(label, error)
            # definitions before the error remain
            self.history.append((source, label))
            return [error_output("error", str(error))]
        except sandbox.ProcessEnded as error:
            self._blame_released(label, error)
            return [self._stopped(label, str(error))]
        finally:
            self.used += self.session.used
            self.added_used += self.used - before if kind == ADDED else 0
        self.history.append((source, label))
        return [new_output("stream", name="stdout", text=printed)] if printed else []

    def _computed(self, seconds: float) -> str:
        return f"computed for {seconds:.0f} s"

    def test(self, source: str, function: str) -> list:
        """Return the outputs of a test cell; they have no error if the answer is right."""
        if self.used > self.server.limits.notebook_seconds * self.pace:
            why = f"was not tested: the notebook has {self._computed(self.used)}"
            return [self._stopped(function, why)]
        out = io.StringIO()
        answer = self._answer(function)
        with contextlib.redirect_stdout(out):
            wrong = self._verdict(source, function, answer)
        if isinstance(answer, Proxy):
            self.used += answer.used
            if answer.fault:
                raise answer.fault
            if answer.ended:
                self.notes.append(f"{function} {answer.ended}")
        text = out.getvalue()
        outputs = [new_output("stream", name="stdout", text=text)] if text else []
        return outputs + ([error_output("not right", wrong)] if wrong else [])

    def _verdict(self, source: str, function: str, answer: Callable) -> str:
        """Return why a test rejects an answer, or an empty string if it is right."""
        from asrlib.teaching.check import Unfinished, describe_error

        try:
            exec(compile(source, f"<test of {function}>", "exec"), {**self.names, function: answer})
        except Unfinished as error:
            return str(error)
        except AssertionError as error:
            wrong = str(error) or "a hidden test fails"
        except Exception as error:
            wrong = f"a hidden test fails: {describe_error(error, __file__)}"
        else:
            return ""
        if not (isinstance(answer, Proxy) and answer.fault):
            self.confirm(function)
        return wrong

    def _answer(self, function: str) -> Callable:
        """Return a stand-in for a function of the student."""
        for _ in range(2):
            self._revive()
            self.session.budget = self.server.limits.task_seconds * self.pace
            try:
                remote = self.session.function(function)
            except sandbox.ProcessEnded as error:
                # ended by a thread that an executed cell has left running
                self.notes.append(f"{function} was asked for again, for the process {error}")
                continue
            return Proxy(remote) if remote else _missing
        return _missing

    @property
    def pace(self) -> float:
        """Return how many times slower this machine is than an ordinary one."""
        return self.server.pace

    def _revive(self) -> None:
        """Start a session that has executed all cells so far, if there is none."""
        while self.session is None or self.session.ended:
            self.session = self.server.session()
            self.used += SESSION_SECONDS * self.pace
            for source, label in list(self.history):
                try:
                    self.session.run(source, label)
                except sandbox.AnswerError:
                    continue
                except sandbox.ProcessEnded as error:
                    # it did not end its process the first time; the next session omits it
                    self.history.remove((source, label))
                    self._stopped(label, str(error))
                    break
                finally:
                    self.used += self.session.used

    def _blame_released(self, label: str, error: Exception) -> None:
        if self.only_released:
            first = str(error).split("\n")[0]
            raise CannotGrade(f"{label}, which was handed out so, fails in the sandbox: {first}") from None

    def _stopped(self, label: str, why: str):
        self.notes.append(f"{label} {why}")
        return error_output("stopped", f"this cell {why}")

    def close(self) -> None:
        if self.session:
            self.session.close()


class Referee:
    """Tries the official solutions, so that a test that cannot be passed here costs no points."""

    def __init__(self, server: sandbox.Sandbox, tasks: dict[str, list[assignments.Task]]):
        self.server, self.tasks = server, tasks
        self.found: dict[tuple[str, str], str] = {}

    def confirm(self, assignment: str, function: str) -> None:
        """Raise ``CannotGrade`` if the official solution of the task fails its test; it is tried once."""
        if (assignment, function) not in self.found:
            task = next(task for task in self.tasks[assignment] if task.function == function)
            self.found[assignment, function] = failure_of(self.server, task)
        if reason := self.found[assignment, function]:
            raise CannotGrade(f"the official solution of {function} fails its test, too: {reason}")


def failure_of(server: sandbox.Sandbox, task: assignments.Task, tests: Iterable[str] = ()) -> str:
    """Return why the official solution fails its test (or ``tests``) in the sandbox; empty if it passes."""
    run = Execution(server, task.setup)
    try:
        outputs = run.cell(task.setup, "the set-up cell", RELEASED)
        outputs += run.cell(task.solution, "the official solution", RELEASED)
        for test in tests or (task.test,):
            outputs += run.test(test, task.function)
    except (CannotGrade, sandbox.SandboxError) as error:
        return str(error)
    finally:
        run.close()
    text = " ".join(" ".join(o.evalue.split()) for o in outputs if o.output_type == "error")
    return text[:300]


def error_output(name: str, text: str):
    return new_output("error", ename=name, evalue=text, traceback=text.splitlines())
