"""The grader's side: start the server, open sessions, run cells and call functions in them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asrlib

from .channel import receive, send
from .limits import AnswerError, Limits, ProcessEnded, SandboxError
from .values import decode, encode

TOOLS = Path(__file__).resolve().parents[2]
# isolated from the environment, the server must be told where this package and the grader's own asrlib lie
START = """
import json, sys
arguments = json.loads(sys.argv[1])
sys.path[:0] = arguments["path"]
from grading.sandbox.server import serve
serve(arguments)
"""


class Sandbox:
    """The server; ``isolation`` is "namespaces" or "audit hook". SandboxError if it does not start."""

    def __init__(self, limits: Limits | None = None):
        self.limits = limits = limits or Limits()
        self.scratch = tempfile.TemporaryDirectory(prefix="sandbox-")
        ours, theirs = socket.socketpair()
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": "/tmp",
            "USER": "student",
            "MPLBACKEND": "Agg",
            "MPLCONFIGDIR": "/tmp/matplotlib",
            "PYTHONHASHSEED": "0",
            **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")},
        }
        arguments = json.dumps(
            {
                **dataclasses.asdict(limits),
                "root": self.scratch.name,
                "fd": theirs.fileno(),
                "path": [str(TOOLS), str(Path(asrlib.__file__).resolve().parent.parent)],
            }
        )
        # a file, for nobody reads while the server speaks; students' code has it closed
        self.stderr_file = tempfile.TemporaryFile()
        self.server = subprocess.Popen(
            [sys.executable, "-I", "-B", "-c", START, arguments],
            pass_fds=[theirs.fileno()],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.stderr_file,
        )
        theirs.close()
        self.control = ours
        try:
            self.isolation = self._control_reply("start", 300)["isolation"]
        except SandboxError:
            self.__exit__()
            raise

    def session(self) -> Session:
        ours, theirs = socket.socketpair()
        with contextlib.suppress(OSError):  # a dead server is told of by what is not heard
            socket.send_fds(self.control, [b"+"], [theirs.fileno()])
        theirs.close()
        session = Session(ours, self._control_reply("open a session", 60)["pid"], self.limits)
        try:
            receive(ours, time.monotonic() + 60)  # it is locked in
        except (EOFError, OSError, ValueError, TimeoutError) as error:
            session.close()
            raise SandboxError(
                f"a session could not be locked in ({type(error).__name__}); grade again"
            ) from None
        return session

    def _control_reply(self, what: str, seconds: float) -> dict:
        try:
            return receive(self.control, time.monotonic() + seconds)
        except (EOFError, OSError, ValueError, TimeoutError) as error:
            self.server.kill()
            self.server.wait()
            self.stderr_file.seek(0)
            last = self.stderr_file.read().decode(errors="replace").strip().splitlines()[-1:]
            late = [f"not within {seconds} seconds"] if isinstance(error, TimeoutError) else []
            why = "; ".join(late + last) or type(error).__name__
            raise SandboxError(f"the sandbox does not {what}: {why}") from None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.control.close()
        try:
            self.server.wait(10)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()
        self.stderr_file.close()
        self.scratch.cleanup()


class Session:
    """One child with one namespace of names."""

    def __init__(self, channel: socket.socket, pid: int, limits: Limits):
        self.channel, self.pid, self.limits = channel, pid, limits
        self.ends = time.monotonic() + limits.session_seconds
        self.ended: str | None = None
        self.seconds = 0.0  # of the last call, without its way here

    def run(self, source: str, label: str = "cell") -> str:
        """Execute a cell; what it printed. Raises ``AnswerError`` or ``ProcessEnded``."""
        return self._ask({"op": "run", "source": source, "label": label}, self.limits.cell_seconds)["printed"]

    def function(self, name: str) -> Remote | None:
        """A stand-in for what is called ``name`` there, now; None if there is no such thing."""
        handle = self._ask({"op": "get", "name": name}, 10)["handle"]
        return None if handle is None else Remote(self, name, handle)

    def call(self, handle: int, args: tuple, kwargs: dict) -> Any:
        message = {"op": "call", "handle": handle, "args": encode(list(args)), "kwargs": encode(kwargs)}
        reply = self._ask(message, self.limits.call_seconds)
        try:
            self.seconds = float(reply["seconds"])
            return decode(reply["value"])
        except Exception:
            raise AnswerError("it returns something that cannot be read") from None

    def _ask(self, message: dict, seconds: float) -> dict:
        if self.ended:
            raise ProcessEnded(self.ended)
        deadline = min(time.monotonic() + seconds, self.ends)
        try:
            send(self.channel, message)
            reply = receive(self.channel, deadline)
        except TimeoutError:
            self._end(
                f"did not come to an end within {seconds:.0f} seconds and was stopped: an endless loop?"
            )
        except (OSError, ValueError, EOFError, RecursionError):
            self._end("ended the whole Python process (too much memory, a crash, or os._exit)")
        try:
            if "error" in reply:
                raise AnswerError(str(reply["error"])[:4000], bool(reply.get("unfinished")))
            return {"printed": str(reply.get("printed", "")), **reply}
        except (TypeError, AttributeError):
            self._end("sent the grader something else than a result")

    def _end(self, why: str) -> None:
        self.close()
        self.ended = why
        raise ProcessEnded(why)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
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
        return self.session.call(self.handle, args, kwargs)


def hidden_folders() -> Iterator[str]:
    """What of the repository must stay hidden."""
    for name in ("solutions", "tests", "tools", ".git"):
        yield str(TOOLS.parent / name)
