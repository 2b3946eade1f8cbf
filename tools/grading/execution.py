"""Execute a notebook: the student's cells in the sandbox, the tests here."""

from __future__ import annotations

import contextlib
import io

import assignments
from nbformat.v4 import new_output

from . import sandbox


class Proxy:
    """An answer in the sandbox, as the checkers call it."""

    def __init__(self, remote: sandbox.Remote):
        self.remote, self.ended = remote, ""

    @property
    def seconds(self) -> float:
        """Of the last call, over there."""
        return self.remote.session.seconds

    def __call__(self, *args, **kwargs):
        from asrlib.check import Told

        try:
            return self.remote(*args, **kwargs)
        except sandbox.AnswerError as error:
            if error.unfinished:
                raise NotImplementedError from None
            raise Told(str(error)) from None
        except sandbox.ProcessEnded as error:
            self.ended = str(error)
            raise Told(f"it {error}") from None


class Execution:
    """One notebook: the student's cells in the sandbox, the tests here.

    Where a cell or a call takes its process along, a new one gets all earlier cells but that one.
    """

    def __init__(self, server: sandbox.Sandbox, setup: str):
        self.server, self.session, self.history = server, None, []
        self.names: dict = {}
        assignments.run(setup, "<set-up>", self.names)

    def cell(self, source: str, label: str) -> list:
        """Outputs of a student's cell."""
        try:
            self._revive()
            printed = self.session.run(source, label)
        except sandbox.AnswerError as error:
            # what stood before the error stays defined
            self.history.append(source)
            return [error_output("error", str(error))]
        except sandbox.ProcessEnded as error:
            return [error_output("stopped", f"this cell {error}")]
        self.history.append(source)
        return [new_output("stream", name="stdout", text=printed)] if printed else []

    def test(self, source: str, function: str) -> list:
        """Outputs of a test cell: none that is an error if the answer is right."""
        out = io.StringIO()
        outputs = []
        try:
            with contextlib.redirect_stdout(out):
                names = {**self.names, function: self._answer(function)}
                exec(compile(source, f"<test of {function}>", "exec"), names)
        except sandbox.ProcessEnded as error:
            outputs = [error_output("stopped", f"the notebook {error}")]
        except AssertionError as error:
            outputs = [error_output("not right", str(error) or "a test of the grader's fails")]
        except Exception as error:
            from asrlib.check import where

            outputs = [error_output("not right", f"a test of the grader's fails: {where(error, __file__)}")]
        text = out.getvalue()
        return ([new_output("stream", name="stdout", text=text)] if text else []) + outputs

    def _answer(self, function: str):
        self._revive()
        remote = self.session.function(function)
        if remote is None:

            def missing(*_, **__):
                raise NotImplementedError

            return missing
        return Proxy(remote)

    def _revive(self) -> None:
        if self.session is None or self.session.ended:
            spent = 0.0 if self.session is None else self.session.limits.session_seconds
            left = None if self.session is None else self.session.ends
            self.session = self.server.session()
            if spent:
                self.session.ends = left
            for source in self.history:
                with contextlib.suppress(sandbox.AnswerError):
                    self.session.run(source, "cell")

    def close(self) -> None:
        if self.session:
            self.session.close()


def error_output(name: str, text: str):
    return new_output("error", ename=name, evalue=text, traceback=text.splitlines())
