"""What an answer may use, and how its end is reported."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Limits:
    """Seconds of wall clock for one call and one cell and for a whole session; bytes of memory on top of what
    the libraries take; ``hidden`` folders that no answer may read. Without ``namespaces`` the audit hook
    locks in even where there are some.
    """

    call_seconds: float = 20
    cell_seconds: float = 60
    session_seconds: float = 300
    memory: int = 2 << 30
    hidden: tuple[str, ...] = ()
    namespaces: bool = True


class ProcessEnded(Exception):
    """The child is gone; the message says why, for the student."""


class AnswerError(Exception):
    """The code raised; ``unfinished`` for NotImplementedError. The message is for the student."""

    def __init__(self, message: str, unfinished: bool = False):
        super().__init__(message)
        self.unfinished = unfinished


class SandboxError(Exception):
    """The server itself is not there, which is no student's fault; the message is for the instructor."""
