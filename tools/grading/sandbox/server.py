"""The server process: imports the libraries once, then forks and locks in a child per session."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import sys
from pathlib import Path

from .audit_hook import install_audit_hook
from .channel import send
from .child import answer
from .namespaces import enter_namespaces


def serve(arguments: dict) -> None:
    control = socket.socket(fileno=arguments["fd"])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    import matplotlib.pyplot  # noqa: F401 (before the fork, so that no child waits for it)
    import torch

    import asrlib.check
    import asrlib.viz  # noqa: F401

    asrlib.check.tasks()
    del sys.path[: len(arguments["path"])]
    torch.set_num_threads(1)
    isolation = "audit hook"
    if arguments["namespaces"] and _works(enter_namespaces, arguments):
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
                (enter_namespaces if isolation == "namespaces" else install_audit_hook)(arguments)
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
