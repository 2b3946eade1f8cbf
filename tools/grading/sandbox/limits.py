"""What an answer may use, and the ways in which it ends."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Limits:
    """Seconds of computing for one call of an answer, for all calls of one task, for one cell, for all cells
    together that a student added, and for all that a notebook does; bytes of memory on top of what the
    libraries take; ``hidden`` folders that no answer may read. Without ``namespaces`` the audit hook locks in
    even where there are some.

    The seconds are CPU time as an ordinary machine needs it: other programs cost none of it, and on a slower
    machine the sandbox allows as many times more.
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
    """The answer's process is gone; the message says why, for the student."""


class AnswerError(Exception):
    """The code raised; ``unfinished`` for NotImplementedError. The message is for the student."""

    def __init__(self, message: str, unfinished: bool = False):
        super().__init__(message)
        self.unfinished = unfinished


class SandboxError(Exception):
    """The sandbox itself fails, which is no student's fault; the message is for the instructor."""
