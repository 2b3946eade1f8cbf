"""One sandboxed process, as the grader talks to it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from typing import Any

from .channel import receive, send
from .clock import ComputingTime, TimeIsUp
from .limits import AnswerError, Limits, ProcessEnded, SandboxError
from .values import decode, encode_exactly


class Session:
    """One child with one namespace of names.

    ``pace`` is how many times longer than on an ordinary machine everything takes here. ``budget`` are the
    seconds left for the calls of the task at hand, ``used`` those that the last request took; both are
    seconds of computing on this machine.
    """

    def __init__(self, channel: socket.socket, outer_pid: int, limits: Limits, pace: float = 1):
        self.channel, self.outer_pid, self.limits, self.pace = channel, outer_pid, limits, pace
        # of the process itself; the outer one only waits for it
        self.pid = outer_pid
        self.ended: str | None = None
        self.seconds = 0.0  # of the last call, without its way here
        self.used = 0.0
        self.budget = limits.task_seconds * pace

    def run(self, source: str, label: str = "cell", seconds: float | None = None) -> str:
        """Execute a cell; what it printed. Raises ``AnswerError`` or ``ProcessEnded``.

        ``seconds`` of computing on this machine are allowed, by default those of one cell.
        """
        allowed = self.limits.cell_seconds * self.pace
        what = "one cell"
        if seconds is not None and seconds < allowed:
            allowed, what = seconds, "what is left to all added cells"
        reply = self._ask({"op": "run", "source": source, "label": label}, allowed, what)
        return str(reply.get("printed", ""))

    def function(self, name: str) -> Remote | None:
        """A stand-in for what is called ``name`` there, now; None if there is no such thing."""
        handle = self._ask({"op": "get", "name": name}, 10 * self.pace, "a name")["handle"]
        return None if handle is None else Remote(self, name, handle)

    def call(self, handle: int, name: str, args: tuple, kwargs: dict) -> Any:
        """Raises ``AnswerError``, ``ProcessEnded``, or ``SandboxError`` for what cannot cross."""
        try:
            sent = {"args": encode_exactly(list(args)), "kwargs": encode_exactly(kwargs)}
        except Exception as error:
            raise SandboxError(f"the arguments of {name} cannot be sent: {_in_short(error)}") from None
        allowed, what = self.limits.call_seconds * self.pace, "one call"
        if self.budget < allowed:
            allowed, what = self.budget, "what is left to all calls of this task"
        reply = self._ask({"op": "call", "handle": handle, **sent}, allowed, what)
        self.budget = max(0.0, self.budget - self.used)
        try:
            self.seconds = float(reply["seconds"])
            return decode(reply["value"])
        except Exception as error:
            self.close()
            raise SandboxError(f"the reply of {name} cannot be decoded: {_in_short(error)}") from None

    def _ask(self, message: dict, seconds: float, what: str) -> dict:
        if self.ended:
            raise ProcessEnded(self.ended)
        clock = ComputingTime(self.pid, seconds, what)
        try:
            send(self.channel, message, clock)
            reply = receive(self.channel, clock)
        except TimeIsUp as error:
            self._end(str(error))
        except (OSError, EOFError):
            self._end("ended the whole Python process (too much memory, a crash, or os._exit)")
        except (ValueError, RecursionError) as error:
            self.close()
            raise SandboxError(f"a message of the sandbox cannot be decoded: {_in_short(error)}") from None
        finally:
            with contextlib.suppress(TimeIsUp):
                clock()
            self.used = clock.used
        if "fault" in reply:
            raise SandboxError(f"the sandbox fails: {str(reply['fault'])[:300]}")
        if "error" in reply:
            raise AnswerError(str(reply["error"])[:4000], bool(reply.get("unfinished")))
        return reply

    def _end(self, why: str) -> None:
        self.close()
        self.ended = why
        raise ProcessEnded(why)

    def close(self) -> None:
        for pid in (self.pid, self.outer_pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.channel.close()
        self.ended = "has ended"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Remote:
    """A function over there."""

    def __init__(self, session: Session, name: str, handle: int):
        self.session, self.name, self.handle = session, name, handle

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.session.call(self.handle, self.name, args, kwargs)


def _in_short(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:200]
