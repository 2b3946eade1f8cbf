"""Isolation on Linux: namespaces without network or other processes, and with a separate file system."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

from .system_calls import refuse_system_calls

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
NOBODY = 65534
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}


def _must(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str = "") -> None:
    texts = (text.encode() if text is not None else None for text in (source, target, kind))
    source_b, target_b, kind_b = texts
    _must(_libc.mount(source_b, target_b, kind_b, ctypes.c_ulong(flags), options.encode() or None))


def enter_namespaces(arguments: dict) -> None:
    """Enter new namespaces with a new root and no privileges. Returns in a grandchild; raises OSError."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    arguments["size"] = pages * os.sysconf("SC_PAGE_SIZE")
    os.umask(0o022)
    _new_user()
    _die_with_parent()
    _must(_libc.unshare(NEW_MOUNTS | NEW_IPC | NEW_PIDS | NEW_NET))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid:
        # this process is the one that the caller can kill; the other ends with it
        for fd in range(3, 64):
            with contextlib.suppress(OSError):
                os.close(fd)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 255)
    # a signal to the process group would reach the grader, whatever the namespaces
    os.setsid()
    _new_root(arguments["root"], arguments["hidden"], arguments["empty"])
    _drop_privileges()
    _die_with_parent()
    refuse_system_calls()


def _new_user() -> None:
    """Enter a user namespace as NOBODY; if the caller is root, NOBODY is mapped to NOBODY outside too.

    As root outside, this process would own files like /proc/sys/kernel/core_pattern.
    """
    uid, gid = os.getuid(), os.getgid()
    if uid != 0:
        _must(_libc.unshare(NEW_USER))
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{NOBODY} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{NOBODY} {gid} 1")
        return
    # two users: root mounts what only root can read, and nobody computes; only a process outside of the
    # namespace may write such a map
    target, (theirs, ours) = os.getpid(), os.pipe()
    helper = os.fork()
    if helper == 0:
        try:
            os.close(ours)
            os.read(theirs, 1)
            for kind in ("uid", "gid"):
                Path(f"/proc/{target}/{kind}_map").write_text(f"0 0 1\n{NOBODY} {NOBODY} 1\n")
            os._exit(0)
        except BaseException:
            os._exit(1)
    os.close(theirs)
    _must(_libc.unshare(NEW_USER))
    os.write(ours, b"!")
    os.close(ours)
    with contextlib.suppress(ChildProcessError):  # children may be reaped automatically
        os.waitpid(helper, 0)
    if "65534" not in Path("/proc/self/uid_map").read_text():
        raise OSError("root's user namespace cannot have another user")
    os.setgroups([])


def _die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends; a change of user undoes this."""
    _must(_libc.prctl(1, signal.SIGKILL, 0, 0, 0))  # PR_SET_PDEATHSIG


def visible_paths(hidden: Iterable[str] = ()) -> list[str]:
    """Return what an answer may read: the system's libraries, Python, asrlib and the course's data.

    Folders on Python's path that overlap with one of ``hidden`` are left out.
    """
    import asrlib
    from asrlib.files import assets

    package = Path(asrlib.__file__).parent
    wanted = ["/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache"]
    wanted += [sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix]
    wanted += ["/dev/null", "/dev/zero", "/dev/urandom", "/dev/random", package, assets()]
    # the real path of the interpreter may differ from what Python reports
    installed = [str(Path(sys.executable).resolve().parent.parent), *filter(os.path.isabs, sys.path)]
    secrets = ["/", *map(os.path.realpath, hidden)]
    wanted += [path for path in installed if not any(_overlap(path, secret) for secret in secrets)]
    return [str(path) for path in wanted if os.path.exists(path)]


def _overlap(path: str, secret: str) -> bool:
    real = os.path.realpath(path)
    return real == secret or secret != "/" and os.path.commonpath([real, secret]) in (real, secret)


def follow(path: str) -> tuple[list[tuple[str, str]], str]:
    """Return (link, target) of each symbolic link on the way to ``path``, and the real path."""
    links: list[tuple[str, str]] = []
    real, rest, hops = "/", [part for part in path.split("/") if part], 0
    while rest:
        part = rest.pop(0)
        if part == "..":
            real = os.path.dirname(real)
            continue
        step = os.path.join(real, part)
        if part == "." or not os.path.islink(step):
            real = real if part == "." else step
            continue
        target = os.readlink(step)
        hops += 1
        if hops > 40:  # as many as Linux follows
            raise OSError(f"{path}: too many symbolic links")
        if (step, target) not in links:
            links.append((step, target))
        real = "/" if target.startswith("/") else real
        rest = [part for part in target.split("/") if part] + rest
    return links, real


def _new_root(root: str, hidden: Iterable[str], empty: Iterable[str]) -> None:
    found = [follow(path) for path in visible_paths(hidden)]
    _mount(None, "/", None, RECURSIVE | PRIVATE)
    _mount("tmpfs", root, "tmpfs", NO_SUID | NO_DEVICES, "size=256m,nr_inodes=20k,mode=755")
    # parents first; real paths are mounted, then the links to them are created
    for real in sorted({real for _, real in found}):
        _show(real, root + real)
    for folder in map(os.path.realpath, empty):
        if os.path.isdir(root + folder):
            _mount("tmpfs", root + folder, "tmpfs", NO_SUID | NO_DEVICES | READ_ONLY, "mode=755")
    for link, target in dict(link for links, _ in found for link in links).items():
        os.makedirs(os.path.dirname(root + link), exist_ok=True)
        if not os.path.lexists(root + link):
            os.symlink(target, root + link)
    for folder in ("tmp", "old", "proc"):
        os.makedirs(f"{root}/{folder}", exist_ok=True)
    os.chmod(f"{root}/tmp", 0o1777)
    with contextlib.suppress(OSError):  # a container that hides parts of /proc allows no other
        _mount("proc", f"{root}/proc", "proc", NO_SUID | NO_DEVICES | NO_EXEC)
        # /proc/sys and others belong to the whole machine
        _mount(None, f"{root}/proc", None, REMOUNT | BIND | READ_ONLY | NO_SUID | NO_DEVICES | NO_EXEC)
    os.chdir(root)
    number = PIVOT_ROOT[os.uname().machine]
    _must(_libc.syscall(number, root.encode(), f"{root}/old".encode()))
    os.chdir("/")
    _must(_libc.umount2(b"/old", 2))  # MNT_DETACH
    os.rmdir("/old")
    os.chdir("/tmp")


def _show(path: str, inside: str) -> None:
    """Mount the real ``path`` at ``inside``, read-only."""
    if os.path.isdir(path):
        os.makedirs(inside, exist_ok=True)
    elif not os.path.exists(inside):
        os.makedirs(os.path.dirname(inside), exist_ok=True)
        Path(inside).touch()
    _mount(path, inside, None, BIND)
    kept = os.statvfs(inside).f_flag & (NO_SUID | NO_DEVICES | NO_EXEC | 1024 | 2048 | (1 << 21))
    if os.statvfs(inside).f_flag & 4096:  # ST_RELATIME
        kept |= 1 << 21
    # a device can still be written to, but its mode and owner cannot be changed
    _mount(None, inside, None, REMOUNT | BIND | READ_ONLY | kept)


def _drop_privileges() -> None:
    _must(_libc.prctl(38, 1, 0, 0, 0))  # PR_SET_NO_NEW_PRIVS
    for capability in range(64):
        _libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
    if os.getuid() == 0:
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    header, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    _must(_libc.capset(header, nothing))
