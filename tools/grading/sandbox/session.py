"""One sandboxed process, as the grader talks to it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from typing import Any, NoReturn

from asrlib.teaching.check.conditions import Work

from .channel import receive_counted, send
from .clock import ComputingTime, TimeIsUp
from .limits import AnswerError, Limits, ProcessEnded, SandboxError
from .values import decode, encode_exactly

# a value of the course's tasks has some hundred kilobytes at most
LARGEST_REPLY = 16 << 20
MOST_PRINTED = 5000
# seconds of an ordinary machine that encoding and decoding may take, for a call and for each byte
CROSSING, CROSSING_BYTE = 0.004, 1e-7
LOOK = "if the answer does nothing unusual, look at it by hand"


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
        self.spent = 0.0  # of all steps of the last call
        self.budget = limits.task_seconds * pace
        self.crossed = 0  # bytes, in both directions
        self._computed: float | None = None
        self._owed = 0.0  # seconds computed between two calls, which the next one is charged with

    def run(self, source: str, label: str = "cell", seconds: float | None = None) -> str:
        """Execute a cell; what it printed. Raises ``AnswerError`` or ``ProcessEnded``.

        ``seconds`` of computing on this machine are allowed, by default those of one cell.
        """
        allowed = self.limits.cell_seconds * self.pace
        what = "one cell"
        if seconds is not None and seconds < allowed:
            allowed, what = seconds, "what is left to all added cells"
        reply = self._ask({"op": "run", "source": source, "label": label}, allowed, what)
        return clean(reply.get("printed", ""), MOST_PRINTED)

    def function(self, name: str) -> Remote | None:
        """A stand-in for what is called ``name`` there, now; None if there is no such thing."""
        handle = self._ask({"op": "get", "name": name}, 10 * self.pace, "a name").get("handle")
        self._owed += self.used  # a thread may have computed since the last call
        return None if not isinstance(handle, int) else Remote(self, name, handle)

    def call(
        self, handle: int, name: str, args: tuple, kwargs: dict, autograd: bool = True, count: bool = False
    ) -> Any:
        """The value; with ``count``, the pair of it and the ``Work`` that the process counted.

        Raises ``AnswerError``, ``ProcessEnded``, or ``SandboxError`` for what cannot cross.

        In three steps, so that the time of the answer is taken here and holds nothing else: the arguments
        cross, the function is called, the value comes back.
        """
        try:
            sent = {"args": encode_exactly(list(args)), "kwargs": encode_exactly(kwargs)}
        except Exception as error:
            raise SandboxError(f"the arguments of {name} cannot be sent: {_in_short(error)}") from None
        allowed, what = self.limits.call_seconds * self.pace, "one call"
        if self.budget < allowed:
            allowed, what = self.budget, "what is left to all calls of this task"
        self.spent, self.crossed = 0.0, 0
        begun = self._computed
        hidden, self._owed = self._owed, 0.0
        hidden += self._step({"op": "arguments", **sent}, allowed, what, begun)[1]
        request = {"op": "call", "handle": handle, "autograd": autograd, "count": count}
        done, seconds = self._step(request, allowed, what, begun)
        reply, more = self._step({"op": "value"}, allowed, what, begun)
        hidden += more
        # what crossing takes is not the answer's, but nobody computes in secret meanwhile
        free = self.pace * (CROSSING + CROSSING_BYTE * self.crossed)
        self.seconds = seconds + max(0.0, hidden - free)
        try:
            value = decode(reply["value"])
            return (value, Work(*map(int, done["work"]))) if count else value
        except Exception as error:
            self._end(f"replied what is no value ({_in_short(error)}); {LOOK}")

    def _step(self, message: dict, seconds: float, what: str, begun: float | None) -> tuple[dict, float]:
        """The reply to one step of a call, and the seconds it took, which the budget pays.

        ``seconds`` are allowed for all steps together, which have begun when the process had computed for
        ``begun``.
        """
        try:
            return self._ask(message, seconds, what, begun), self.used
        finally:
            self.spent += self.used
            self.budget = max(0.0, self.budget - self.used)

    def _ask(self, message: dict, seconds: float, what: str, begun: float | None = None) -> dict:
        if self.ended:
            raise ProcessEnded(self.ended)
        before = self._computed
        clock = ComputingTime(self.pid, seconds, what, before if begun is None else begun)
        try:
            self.crossed += send(self.channel, message, clock)
            reply, size = receive_counted(self.channel, LARGEST_REPLY, clock)
            self.crossed += size
        except TimeIsUp as error:
            self._end(str(error))
        except (OSError, EOFError):
            self._end("ended the whole Python process (too much memory, a crash, or os._exit)")
        except (ValueError, RecursionError, MemoryError) as error:
            self._end(f"sent what is no reply ({_in_short(error)}); {LOOK}")
        finally:
            with contextlib.suppress(TimeIsUp):
                clock()
            known = clock.latest is not None and before is not None
            self.used = clock.latest - before if known else clock.used
            self._computed = clock.latest
        if "fault" in reply:
            self._end(f"could not be called ({clean(reply['fault'], 300)}); {LOOK}")
        if "error" in reply:
            raise AnswerError(clean(reply["error"], 4000), bool(reply.get("unfinished")))
        return reply

    def _end(self, why: str) -> NoReturn:
        self.close()
        self.ended = why
        raise ProcessEnded(why)

    def close(self) -> None:
        """End the process; once, for its number may be another's afterwards."""
        if self.ended:
            return
        for pid in (self.pid, self.outer_pid):
            with contextlib.suppress(OSError):
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
        import torch

        return self.session.call(self.handle, self.name, args, kwargs, torch.is_grad_enabled())

    def counted(self, *args: Any, **kwargs: Any) -> tuple[Any, Work]:
        """Call the function, and count the work; the process counts itself, so its time stays limited."""
        import torch

        return self.session.call(self.handle, self.name, args, kwargs, torch.is_grad_enabled(), count=True)


def clean(text: Any, longest: int) -> str:
    """Text from a stranger, of bounded length, which every file can hold."""
    return str(text)[:longest].encode("utf-8", "backslashreplace").decode()


def _in_short(error: BaseException) -> str:
    return clean(f"{type(error).__name__}: {error}", 200)
