"""The limits of an answer, and the exceptions of the sandbox."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Limits:
    """The limits of a notebook in the sandbox.

    Seconds of computing are limited for one call of an answer, for all calls of one task, for one cell, for
    all cells that a student added, and for the whole notebook. ``memory`` is in bytes beyond what the
    libraries use. No answer may read the ``hidden`` folders. Without ``namespaces``, the audit hook isolates
    answers even if namespaces are available.

    Seconds are CPU time on an ordinary machine: other programs do not count, and on a slower machine the
    sandbox allows proportionally more.
    """

    call_seconds: float = 20
    task_seconds: float = 100
    cell_seconds: float = 60
    added_seconds: float = 300
    notebook_seconds: float = 900
    memory: int = 2 << 30
    hidden: tuple[str, ...] = ()
    namespaces: bool = True


class ProcessEnded(Exception):
    """The answer's process has ended; the message tells the student why."""


class AnswerError(Exception):
    """The student's code raised an exception; the message is for the student.

    ``unfinished`` is true for ``NotImplementedError``.
    """

    def __init__(self, message: str, unfinished: bool = False):
        super().__init__(message)
        self.unfinished = unfinished


class SandboxError(Exception):
    """The sandbox itself failed, not a student's code; the message is for the instructor."""
