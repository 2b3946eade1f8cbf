"""The grader's side of the sandbox: start the server and open sessions."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asrlib
from asrlib.teaching.check.pace import pace

from .channel import ANOTHER_SERVER, receive
from .clock import TimeIsUp, WallClock
from .limits import AnswerError, Limits, ProcessEnded, SandboxError
from .session import Session

TOOLS = Path(__file__).resolve().parents[2]
# the server ignores the environment, so it is told where this package and the grader's own asrlib are
START = """
import json, sys
arguments = json.loads(sys.argv[1])
sys.path[:0] = arguments["path"]
from grading.sandbox.server import serve
serve(arguments)
"""
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "USER": "student",
    "MPLBACKEND": "Agg",
    "MPLCONFIGDIR": "/tmp/matplotlib",
    "PYTHONHASHSEED": "0",
    **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")},
}
# what every notebook needs, including libraries that the server has not imported before isolating a child
PROBE = """
import IPython.core.magics
import asrlib
%matplotlib inline
clips = list(asrlib.clips())

def probe(x):
    return x + len(clips) / len(clips)
"""


class Sandbox:
    """The sandbox server; its files are in ``scratch``.

    ``isolation`` is "namespaces" or "audit hook". Raises ``SandboxError`` if the server does not start, or if
    the first steps of a notebook fail in it.
    """

    def __init__(self, limits: Limits | None = None, scratch: Path | None = None):
        self.limits = limits or Limits()
        self.pace = pace()
        self._scratch = tempfile.TemporaryDirectory(prefix="sandbox-", dir=scratch)
        # a file, as nothing reads while the server writes; it is closed in students' code
        self._stderr = tempfile.TemporaryFile()
        self._control, theirs = socket.socketpair()
        self.server = self._start(theirs)
        try:
            self.isolation = self._control_reply("start", 600)["isolation"]
            self._probe()
        except BaseException:
            self.__exit__()
            raise

    def clone(self) -> Sandbox:
        """A sandbox for another process, whose server is forked from this one's and shares its memory."""
        twin = copy.copy(self)
        twin.server, twin._scratch = None, None
        twin._control, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._control, [ANOTHER_SERVER], [theirs.fileno()])
        twin._control_reply("start", 600)
        return twin

    def _start(self, theirs: socket.socket) -> subprocess.Popen:
        arguments = {
            **dataclasses.asdict(self.limits),
            "cpu_seconds": int(3600 * self.pace),  # ends processes that survive the caller
            "root": self._scratch.name,
            "empty": list(_checkers()),
            "fd": theirs.fileno(),
            "path": [str(TOOLS), str(Path(asrlib.__file__).resolve().parent.parent)],
        }
        with theirs:
            return subprocess.Popen(
                [sys.executable, "-I", "-B", "-c", START, json.dumps(arguments)],
                pass_fds=[theirs.fileno()],
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
            )

    def _probe(self) -> None:
        """Execute a cell and call a function, so that no student pays for a broken sandbox."""
        import torch

        try:
            with self.session() as session:
                session.run(PROBE)
                answer = session.function("probe")(torch.zeros(2, 4)[:1, 0])
            if not torch.equal(answer, torch.ones(1)):
                raise SandboxError(f"one is {answer} there")
        except (AnswerError, ProcessEnded, SandboxError) as error:
            first = " ".join(str(error).split("\n")[0].split())
            raise SandboxError(f"the sandbox cannot execute a notebook: {first}") from None

    def session(self) -> Session:
        """Return a new session; raise ``SandboxError`` if its process cannot be isolated."""
        ours, theirs = socket.socketpair()
        if hasattr(socket, "SO_PASSCRED"):
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        with contextlib.suppress(OSError):  # of a dead server the missing reply tells
            socket.send_fds(self._control, [b"+"], [theirs.fileno()])
        theirs.close()
        outer = self._control_reply("open a session", 600)["pid"]
        session = Session(ours, outer, self.limits, self.pace)
        try:
            session.pid = _pid_of_sender(ours) or outer
        except (EOFError, OSError) as error:
            session.close()
            why = self._last_words() or type(error).__name__
            raise SandboxError(f"a session could not be locked in ({why}); grade again") from None
        return session

    def _control_reply(self, what: str, seconds: float) -> dict:
        try:
            return receive(self._control, WallClock(seconds))
        except (EOFError, OSError, ValueError, TimeIsUp) as error:
            if self.server:
                self.server.kill()
                self.server.wait()
            late = str(error) if isinstance(error, TimeIsUp) else ""
            why = "; ".join(filter(None, (late, self._last_words()))) or type(error).__name__
            raise SandboxError(f"the sandbox does not {what}: {why}") from None

    def _last_words(self) -> str:
        """Return the last line that the server or a child wrote to standard error."""
        self._stderr.seek(0)
        return "".join(self._stderr.read().decode(errors="replace").strip().splitlines()[-1:])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._control.close()
        if not self.server:  # a clone's ends by itself
            return
        try:
            self.server.wait(10)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()
        self._stderr.close()
        self._scratch.cleanup()


def _pid_of_sender(channel: socket.socket) -> int | None:
    """Receive the byte of an isolated child; return its process id as seen from this side."""
    channel.settimeout(600)
    if not hasattr(socket, "SO_PASSCRED"):
        if not channel.recv(1):
            raise EOFError
        return None
    data, received, _, _ = channel.recvmsg(1, socket.CMSG_SPACE(12))
    if not data:
        raise EOFError
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
    for level, kind, content in received:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            return struct.unpack("3i", content[:12])[0] or None
    return None


def _checkers() -> Iterator[str]:
    """Yield the folders of checkers and their references in every asrlib on Python's path."""
    for path in {str(Path(asrlib.__file__).parent.parent), *sys.path}:
        folder = Path(path, "asrlib", "teaching", "checks")
        if folder.is_dir():
            yield str(folder)


def hidden_folders() -> Iterator[str]:
    """Yield the folders of the repository that must stay hidden."""
    for name in ("solutions", "tests", "tools", ".git"):
        yield str(TOOLS.parent / name)
