"""Code of strangers, run in a process of its own that can reach nothing of ours.

    with Sandbox(Limits()) as sandbox, sandbox.session() as session:
        session.run("def double(x): return 2 * x")
        session.function("double")(torch.ones(3))

One server process imports torch and asrlib and forks a child a session, which first locks itself in:

- namespaces (Linux, where unprivileged ones are allowed): no network, no other process, and a file system
  that holds Python, asrlib and the course's data, read only, and an empty /tmp;
- elsewhere an audit hook that refuses files below the hidden folders, sockets, processes and ctypes; that
  stops the curious, not the determined, and the grader says so; it also lets nothing be written, moved or
  deleted outside of a scratch folder a session;
- limits on memory, CPU seconds and file sizes in both cases, and the clock of the caller.

Tests stay with the caller: only arguments and results cross the socket, as JSON with tensors' bytes, never
as pickles, and what comes back is checked before it is believed.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import dataclasses
import io
import json
import math
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LARGEST_MESSAGE = 256 << 20
CLOCK = time.thread_time


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


class Died(Exception):
    """The child is gone; the message says why, for the student."""


class Failed(Exception):
    """The code raised; ``unfinished`` for NotImplementedError. The message is for the student."""

    def __init__(self, message: str, unfinished: bool = False):
        super().__init__(message)
        self.unfinished = unfinished


# ---- the caller's side -------------------------------------------------------------------------------------


class Broken(Exception):
    """The server itself is not there, which is no student's fault; the message is for the instructor."""


class Sandbox:
    """The server; ``isolation`` is "namespaces" or "audit hook". Raises ``Broken`` if it does not start."""

    def __init__(self, limits: Limits = Limits()):
        self.limits = limits
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
            {**dataclasses.asdict(limits), "root": self.scratch.name, "fd": theirs.fileno()}
        )
        # a file, for nobody reads while the server speaks; students' code has it closed
        self.complaints = tempfile.TemporaryFile()
        self.server = subprocess.Popen(
            [sys.executable, "-I", "-B", __file__, arguments],
            pass_fds=[theirs.fileno()],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.complaints,
        )
        theirs.close()
        self.control = ours
        try:
            self.isolation = self._hear("start", 300)["isolation"]
        except Broken:
            self.__exit__()
            raise

    def session(self) -> Session:
        ours, theirs = socket.socketpair()
        with contextlib.suppress(OSError):  # a dead server is told of by what is not heard
            socket.send_fds(self.control, [b"+"], [theirs.fileno()])
        theirs.close()
        session = Session(ours, self._hear("open a session", 60)["pid"], self.limits)
        try:
            receive(ours, time.monotonic() + 60)  # it is locked in
        except (EOFError, OSError, ValueError, TimeoutError) as error:
            session.close()
            raise Broken(f"a session could not be locked in ({type(error).__name__}); grade again") from None
        return session

    def _hear(self, what: str, seconds: float) -> dict:
        try:
            return receive(self.control, time.monotonic() + seconds)
        except (EOFError, OSError, ValueError, TimeoutError) as error:
            self.server.kill()
            self.server.wait()
            self.complaints.seek(0)
            last = self.complaints.read().decode(errors="replace").strip().splitlines()[-1:]
            late = [f"not within {seconds} seconds"] if isinstance(error, TimeoutError) else []
            why = "; ".join(late + last) or type(error).__name__
            raise Broken(f"the sandbox does not {what}: {why}") from None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.control.close()
        try:
            self.server.wait(10)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()
        self.complaints.close()
        self.scratch.cleanup()


class Session:
    """One child with one namespace of names."""

    def __init__(self, channel: socket.socket, pid: int, limits: Limits):
        self.channel, self.pid, self.limits = channel, pid, limits
        self.ends = time.monotonic() + limits.session_seconds
        self.death: str | None = None
        self.seconds = 0.0  # of the last call, without its way here

    def run(self, source: str, label: str = "cell") -> str:
        """Execute a cell; what it printed. Raises ``Failed`` or ``Died``."""
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
            raise Failed("it returns something that cannot be read") from None

    def _ask(self, message: dict, seconds: float) -> dict:
        if self.death:
            raise Died(self.death)
        deadline = min(time.monotonic() + seconds, self.ends)
        try:
            send(self.channel, message)
            reply = receive(self.channel, deadline)
        except TimeoutError:
            self._bury(
                f"did not come to an end within {seconds:.0f} seconds and was stopped: an endless loop?"
            )
        except (OSError, ValueError, EOFError, RecursionError):
            self._bury("ended the whole Python process (too much memory, a crash, or os._exit)")
        try:
            if "error" in reply:
                raise Failed(str(reply["error"])[:4000], bool(reply.get("unfinished")))
            return {"printed": str(reply.get("printed", "")), **reply}
        except (TypeError, AttributeError):
            self._bury("sent the grader something else than a result")

    def _bury(self, why: str) -> None:
        self.close()
        self.death = why
        raise Died(why)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.channel.close()
        self.death = "has ended"

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


# ---- what crosses the socket -------------------------------------------------------------------------------


def send(channel: socket.socket, message: dict) -> None:
    data = json.dumps(message).encode()
    before = channel.gettimeout()
    channel.settimeout(30)
    try:
        channel.sendall(struct.pack("!Q", len(data)) + data)
    finally:
        # the server then waits for the next session, and that may take as long as a notebook does
        channel.settimeout(before)


def receive(channel: socket.socket, deadline: float) -> dict:
    """Raises TimeoutError, EOFError, or ValueError for what is no message."""
    (length,) = struct.unpack("!Q", _read(channel, 8, deadline))
    if length > LARGEST_MESSAGE:
        raise ValueError("a message too long")
    message = json.loads(_read(channel, length, deadline))
    if not isinstance(message, dict):
        raise ValueError("not a message")
    return message


def _read(channel: socket.socket, length: int, deadline: float) -> bytes:
    data = bytearray()
    while len(data) < length:
        if (left := deadline - time.monotonic()) <= 0:
            raise TimeoutError
        channel.settimeout(left)
        piece = channel.recv(min(length - len(data), 1 << 20))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)


def encode(value: Any) -> Any:
    """JSON for numbers, text, tensors, arrays and collections of them; the type's name for anything else."""
    import numpy as np
    import torch

    if value is None or isinstance(value, bool | int | float | str):
        return value if not isinstance(value, int) or abs(value) < 1 << 200 else {"other": "a huge int"}
    if isinstance(value, np.generic):
        return encode(value.item())
    if isinstance(value, np.ndarray):
        return {"array": encode(torch.from_numpy(np.ascontiguousarray(value)))}
    if isinstance(value, torch.Tensor):
        plain = value.detach().cpu().contiguous().resolve_conj().resolve_neg()
        data = plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b""
        return {
            "tensor": [
                str(plain.dtype).removeprefix("torch."),
                list(plain.shape),
                base64.b64encode(data).decode(),
            ]
        }
    for name, kind in (("list", list), ("tuple", tuple), ("set", (set, frozenset))):
        if isinstance(value, kind):
            return {name: [encode(item) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(item)] for key, item in value.items()]}
    return {"other": f"a {type(value).__name__}"}


class Other:
    """Something that cannot cross: only what it is called."""

    def __init__(self, name: str):
        self.name = name

    def __repr__(self):
        return self.name


DTYPES = "float32 float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64 complex128".split()


def decode(value: Any, depth: int = 0) -> Any:
    """The value; ValueError for what ``encode`` does not write."""
    import torch

    if depth > 20:
        raise ValueError("nested too deep")
    if not isinstance(value, dict):
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise ValueError("not a value")
    ((kind, inside),) = value.items()
    if kind == "tensor":
        dtype, shape, data = inside
        if dtype not in DTYPES or not all(isinstance(n, int) and 0 <= n < 1 << 32 for n in shape):
            raise ValueError("not a tensor")
        dtype, data = getattr(torch, dtype), bytearray(base64.b64decode(data, validate=True))
        if len(data) != math.prod(shape) * dtype.itemsize:
            raise ValueError("not the tensor's size")
        return (torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)).reshape(shape)
    if kind == "array":
        return decode(inside, depth + 1).numpy()
    if kind in ("list", "tuple", "set"):
        items = [decode(item, depth + 1) for item in inside]
        return items if kind == "list" else tuple(items) if kind == "tuple" else set(items)
    if kind == "dict":
        return {decode(key, depth + 1): decode(item, depth + 1) for key, item in inside}
    return Other(str(inside)[:100])


# ---- the server and its children ---------------------------------------------------------------------------


def serve(arguments: dict) -> None:
    control = socket.socket(fileno=arguments["fd"])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    import matplotlib.pyplot  # noqa: F401 (before the fork, so that no child waits for it)
    import torch

    import asrlib.teaching.check
    import asrlib.teaching.viz  # noqa: F401

    asrlib.teaching.check.tasks()
    torch.set_num_threads(1)
    isolation = "audit hook"
    if arguments["namespaces"] and _works(lock_in, arguments):
        isolation = "namespaces"
    send(control, {"isolation": isolation})
    while True:
        message, fds, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        pid = os.fork()
        if pid == 0:
            control.close()
            channel = socket.socket(fileno=fds[0])
            try:
                (lock_in if isolation == "namespaces" else hook_in)(arguments)
                limit(arguments)
                send(channel, {"ready": True})
                answer(channel)
            finally:
                os._exit(0)
        os.close(fds[0])
        send(control, {"pid": pid})


def _works(lock, arguments: dict) -> bool:
    """Whether a child can lock itself in."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        try:
            lock(arguments)
            hidden = any(Path(path).exists() for path in arguments["hidden"])
            os._exit(1 if hidden else 0)
        except BaseException:
            os._exit(1)
    status = os.waitpid(pid, 0)[1]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    return os.waitstatus_to_exitcode(status) == 0


def limit(arguments: dict) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    size = pages * os.sysconf("SC_PAGE_SIZE") or arguments["size"]
    seconds = int(arguments["session_seconds"]) + 5
    most = {
        resource.RLIMIT_AS: size + arguments["memory"],
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_FSIZE: 64 << 20,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 256,
    }
    for what, value in most.items():
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (value, value))


def answer(channel: socket.socket) -> None:
    """Serve one session until the caller hangs up."""
    import types

    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    names, handles = module.__dict__, []
    names.update(get_ipython=lambda: _Magics(), display=lambda *things, **_: print(*things))
    while True:
        try:
            message = receive(channel, time.monotonic() + 3600)
        except (EOFError, OSError, ValueError):
            return
        try:
            reply = _serve_one(message, names, handles)
        except BaseException as error:
            reply = _describe(error)
        try:
            send(channel, reply)
        except (ValueError, MemoryError, RecursionError) as error:
            send(channel, _describe(error))


def _serve_one(message: dict, names: dict, handles: list) -> dict:
    if message["op"] == "get":
        if message["name"] not in names:
            return {"handle": None}
        handles.append(names[message["name"]])
        return {"handle": len(handles) - 1}
    printed = _Capped()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        if message["op"] == "run":
            _execute(message["source"], f"<{message['label']}>", names)
            return {"printed": printed.getvalue()}
        args, kwargs = decode(message["args"]), decode(message["kwargs"])
        function = handles[message["handle"]]
        if not callable(function):
            raise TypeError(f"it is not a function but a {type(function).__name__}")
        started = CLOCK()
        came = function(*args, **kwargs)
        seconds = CLOCK() - started
        value = encode(came)
    if [encode(args), encode(kwargs)] != [message["args"], message["kwargs"]]:
        nan = "NaN" in json.dumps(message["args"])
        if not nan:
            raise ValueError("the function writes into what it was given; work on a copy (clone) there")
    return {"value": value, "seconds": seconds}


def _execute(source: str, filename: str, names: dict) -> None:
    import linecache

    from IPython.core.inputtransformer2 import TransformerManager

    source = TransformerManager().transform_cell(source)
    linecache.cache[filename] = len(source), None, source.splitlines(keepends=True), filename
    exec(compile(source, filename, "exec"), names)


def _describe(error: BaseException) -> dict:
    from asrlib.teaching.check import describe_error

    if isinstance(error, SystemExit):
        return {"error": "SystemExit: it calls exit(), which ends the notebook"}
    if isinstance(error, MemoryError) or "not enough memory" in str(error):
        return {"error": f"{type(error).__name__}: it asks for more memory than there is"}
    unfinished = isinstance(error, NotImplementedError)
    return {"error": describe_error(error, beside=__file__), "unfinished": unfinished}


class _Capped(io.StringIO):
    """Keeps the first 5,000 characters."""

    def write(self, text: str) -> int:
        return super().write(text[: max(0, 5000 - self.tell())]) and len(text)


class _Magics:
    """Stands in for IPython: magics and shell commands do nothing."""

    def __getattr__(self, name):
        return lambda *args, **kwargs: None


# ---- locks -------------------------------------------------------------------------------------------------

_libc = ctypes.CDLL(None, use_errno=True)
NEW_MOUNTS, NEW_IPC, NEW_USER, NEW_PIDS, NEW_NET = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
READ_ONLY, NO_SUID, NO_DEVICES, NO_EXEC, REMOUNT, BIND, RECURSIVE, PRIVATE = (
    1,
    2,
    4,
    8,
    32,
    4096,
    16384,
    1 << 18,
)
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}


def _must(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str = "") -> None:
    texts = (text.encode() if text is not None else None for text in (source, target, kind))
    source_b, target_b, kind_b = texts
    _must(_libc.mount(source_b, target_b, kind_b, ctypes.c_ulong(flags), options.encode() or None))


def lock_in(arguments: dict) -> None:
    """New namespaces, a root of its own, no privileges. Returns in a grandchild; raises OSError."""
    uid, gid = os.getuid(), os.getgid()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    arguments["size"] = pages * os.sysconf("SC_PAGE_SIZE")
    _must(_libc.unshare(NEW_USER | NEW_MOUNTS | NEW_IPC | NEW_PIDS | NEW_NET))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid:
        # the process that the caller can kill; the other dies with it
        for fd in range(3, 64):
            with contextlib.suppress(OSError):
                os.close(fd)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 255)
    _new_root(arguments["root"])
    _drop_privileges()
    _libc.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


def visible() -> list[str]:
    """What an answer may read: the system's libraries, Python, asrlib and the course's data."""
    import asrlib

    package = Path(asrlib.__file__).resolve().parent
    wanted = ["/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", sys.prefix, sys.base_prefix]
    wanted += ["/dev/null", "/dev/zero", "/dev/urandom", "/dev/random", package, package.parent / "data"]
    return [str(path) for path in wanted if Path(path).exists()]


def _new_root(root: str) -> None:
    shown = visible()
    _mount(None, "/", None, RECURSIVE | PRIVATE)
    _mount("tmpfs", root, "tmpfs", NO_SUID | NO_DEVICES, "size=256m,mode=755")
    for path in shown:
        inside = root + path
        if os.path.islink(path):
            os.makedirs(os.path.dirname(inside), exist_ok=True)
            if not os.path.lexists(inside):
                os.symlink(os.readlink(path), inside)
            continue
        if os.path.isdir(path):
            os.makedirs(inside, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(inside), exist_ok=True)
            Path(inside).touch()
        _mount(path, inside, None, BIND)
        kept = os.statvfs(inside).f_flag & (NO_SUID | NO_DEVICES | NO_EXEC | 1024 | 2048 | (1 << 21))
        if os.statvfs(inside).f_flag & 4096:  # ST_RELATIME
            kept |= 1 << 21
        if not path.startswith("/dev/"):
            _mount(None, inside, None, REMOUNT | BIND | READ_ONLY | kept)
    for folder in ("tmp", "old", "proc"):
        os.makedirs(f"{root}/{folder}", exist_ok=True)
    with contextlib.suppress(OSError):
        _mount("proc", f"{root}/proc", "proc", NO_SUID | NO_DEVICES | NO_EXEC)
    os.chdir(root)
    number = PIVOT_ROOT[os.uname().machine]
    _must(_libc.syscall(number, root.encode(), f"{root}/old".encode()))
    os.chdir("/")
    _must(_libc.umount2(b"/old", 2))  # MNT_DETACH
    os.rmdir("/old")
    os.chdir("/tmp")


def _drop_privileges() -> None:
    _must(_libc.prctl(38, 1, 0, 0, 0))  # PR_SET_NO_NEW_PRIVS
    for capability in range(64):
        _libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
    header, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    _must(_libc.capset(header, nothing))


def hook_in(arguments: dict) -> None:
    """The fallback: Python itself refuses."""
    os.setsid()
    scratch = os.path.realpath(tempfile.mkdtemp(dir=arguments["root"]))
    os.chdir(scratch)
    arguments["size"] = 16 << 30
    hidden = [os.path.realpath(path) for path in arguments["hidden"]]
    refused = ("socket.connect", "socket.bind", "subprocess.Popen", "os.exec", "os.fork", "os.forkpty")
    refused += ("os.posix_spawn", "os.system", "os.kill", "ctypes.dlopen", "ctypes.dlsym")
    changes = ("os.remove", "os.rmdir", "os.rename", "os.link", "os.symlink", "os.truncate", "os.mkdir")
    changes += ("os.chmod", "os.chown", "os.utime", "shutil.rmtree", "shutil.move")
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    writable = (scratch, "/tmp/matplotlib", os.devnull)

    def below(path, folder):
        return path == folder or path.startswith(folder + os.sep)

    def refuse(event, args):
        if event in refused:
            raise PermissionError(f"{event} is not allowed in an answer")
        if (
            event in ("open", "os.listdir", "os.scandir", "os.chdir")
            and args
            and isinstance(args[0], str | bytes)
        ):
            path = os.path.realpath(os.fsdecode(args[0]))
            if any(below(path, folder) for folder in hidden):
                raise PermissionError("this folder is not for answers")
        if event in changes or event == "open" and len(args) > 2 and (args[2] or 0) & writing:
            for path in args[:2] if event in ("os.rename", "os.link", "os.symlink") else args[:1]:
                named = isinstance(path, str | bytes)
                if named and not any(below(os.path.realpath(os.fsdecode(path)), w) for w in writable):
                    raise PermissionError(f"{event} outside of its scratch folder is not for answers")

    sys.addaudithook(refuse)


def folders() -> Iterator[str]:
    """What of the repository must stay hidden."""
    root = Path(__file__).resolve().parent.parent
    for name in ("solutions", "tests", "tools", ".git"):
        yield str(root / name)


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
