"""Isolation without namespaces: Python's audit hook. It stops the curious, not the determined."""

from __future__ import annotations

import os
import sys
import tempfile


def install_audit_hook(arguments: dict) -> None:
    """Install an audit hook that refuses access to hidden folders, the network and other processes."""
    os.setsid()
    scratch = os.path.realpath(tempfile.mkdtemp(dir=arguments["root"]))
    os.chdir(scratch)
    arguments["size"] = 16 << 30
    hidden = [os.path.realpath(path) for path in (*arguments["hidden"], *arguments["empty"])]
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
