"""The server process: imports the libraries once, then forks and isolates a child per session."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pkgutil
import platform
import re
import resource
import signal
import socket
import sys
from pathlib import Path

from .audit_hook import install_audit_hook
from .channel import ANOTHER_SERVER, send
from .child import answer
from .namespaces import NOBODY, enter_namespaces

PRELOADED = ("signal", "text", "data", "models", "losses", "decoding")
MOST_THREADS = 64


def serve(arguments: dict) -> None:
    """Fork an isolated child for each socket received through ``arguments["fd"]``; does not return."""
    control = socket.socket(fileno=arguments["fd"])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _import_libraries()
    del sys.path[: len(arguments["path"])]
    isolation = "audit hook"
    if arguments["namespaces"] and _works(enter_namespaces, arguments):
        isolation = "namespaces"
    send(control, {"isolation": isolation})
    lock = enter_namespaces if isolation == "namespaces" else install_audit_hook
    gc.freeze()  # what has been imported stays shared with the children
    while True:
        message, fds, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            # an interpreter that ends in order writes to every page, and so makes copies of all shared ones
            os._exit(0)
        if message == ANOTHER_SERVER:
            if os.fork() == 0:
                control.close()
                control = socket.socket(fileno=fds[0])
                send(control, {"isolation": isolation})
            else:
                os.close(fds[0])
            continue
        pid = os.fork()
        if pid == 0:
            control.close()
            _run_child(socket.socket(fileno=fds[0]), lock, arguments)
        os.close(fds[0])
        send(control, {"pid": pid})


def _import_libraries() -> None:
    """Import the libraries before the fork, so that no child waits for them; import no checkers."""
    import IPython.core.inputtransformer2  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    import torch

    import asrlib
    import asrlib.teaching.check
    import asrlib.teaching.viz  # noqa: F401

    for package in PRELOADED:
        for module in pkgutil.iter_modules([str(Path(asrlib.__path__[0], package))], f"asrlib.{package}."):
            with contextlib.suppress(Exception):  # an optional library is missing
                importlib.import_module(module.name)
    torch.set_num_threads(1)


def _run_child(channel: socket.socket, lock, arguments: dict) -> None:
    """Isolate this process and serve one session; does not return."""
    try:
        lock(arguments)
        limit(arguments)
        # with this byte, the kernel sends the id of this process to the caller
        channel.send(b"!")
        answer(channel)
    except BaseException as error:
        # this reaches the caller until the child is isolated
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(0)


def _works(lock, arguments: dict) -> bool:
    """Return whether a child can isolate itself."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        try:
            lock(arguments)
            seen = any(Path(path).exists() for path in arguments["hidden"])
            seen = seen or any(list(Path(path).glob("*")) for path in arguments["empty"])
            os._exit(1 if seen else 0)
        except BaseException:
            os._exit(1)
    status = os.waitpid(pid, 0)[1]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    return os.waitstatus_to_exitcode(status) == 0


def limit(arguments: dict) -> None:
    """Limit memory, CPU time, files and threads of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    size = pages * os.sysconf("SC_PAGE_SIZE") or arguments["size"]
    most = {
        resource.RLIMIT_AS: size + arguments["memory"],
        resource.RLIMIT_CPU: arguments["cpu_seconds"],
        resource.RLIMIT_FSIZE: 64 << 20,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 256,
        resource.RLIMIT_MEMLOCK: 0,
    }
    if _counts_by_namespace():
        most[resource.RLIMIT_NPROC] = MOST_THREADS
    for what, value in most.items():
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (value, value))


def _counts_by_namespace() -> bool:
    """Return whether the kernel limits processes and threads per user namespace and not per user."""
    found = re.match(r"(\d+)\.(\d+)", platform.release())
    namespaces = sys.platform == "linux" and os.getuid() == NOBODY
    return bool(namespaces and found and (int(found[1]), int(found[2])) >= (5, 14))
