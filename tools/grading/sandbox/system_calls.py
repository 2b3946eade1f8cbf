"""What an answer may not ask the kernel for: a seccomp filter, built by hand from ``<linux/filter.h>``.

An answer needs memory, files and threads. It starts no process, so that the limits of one process are those
of the whole session; it holds no memory that no limit counts (memfd, System V and POSIX queues); it gets no
new namespaces, and with them privileges; and it stays bound to the process that ends it.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct

_libc = ctypes.CDLL(None, use_errno=True)

# by number on x86-64, and on aarch64, which has the kernel's common table
_REFUSED = {
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "fanotify_init": (300, 262),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "personality": (135, 92),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
}
_CLONE, _CLONE3, _PRCTL, _SOCKET = (56, 220), (435, 435), (157, 167), (41, 198)
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_X32 = 0x40000000  # the second table of numbers on x86-64
_CLONE_THREAD, _SET_PDEATHSIG, _SET_SECCOMP, _MODE_FILTER = 0x10000, 1, 22, 2
_FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6: the last two end at a network without routes

_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data, little endian


def refuse_system_calls() -> None:
    """Install the filter in this process for good. OSError where the kernel or the machine has none."""
    program = build_filter(platform.machine())
    buffer = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    argument = Program(len(program) // 8, ctypes.addressof(buffer))
    if _libc.prctl(_SET_SECCOMP, _MODE_FILTER, ctypes.byref(argument), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the kernel installs no seccomp filter")


def build_filter(machine: str) -> bytes:
    """Return the program for a machine as ``platform.machine`` names it; OSError for an unknown one."""
    if machine not in _ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"there is no seccomp filter for {machine}")
    column, architecture = _ARCHITECTURES[machine]
    lines = [
        _line(_LOAD, 0, 0, _ARCHITECTURE),
        _line(_EQUAL, 1, 0, architecture),
        _line(_RETURN, 0, 0, _KILL),
        _line(_LOAD, 0, 0, _NUMBER),
    ]
    if machine == "x86_64":
        lines += [_line(_AT_LEAST, 0, 1, _X32), _refuse(errno.EPERM)]
    for numbers in _REFUSED.values():
        if numbers[column] is not None:
            lines += [_line(_EQUAL, 0, 1, numbers[column]), _refuse(errno.EPERM)]
    # the C library tries clone, whose flags a filter can read, where clone3 is missing
    lines += [_line(_EQUAL, 0, 1, _CLONE3[column]), _refuse(errno.ENOSYS)]
    first = _line(_LOAD, 0, 0, _FIRST_ARGUMENT)
    allow = _line(_RETURN, 0, 0, _ALLOW)
    for number, test in (
        (_CLONE[column], [_line(_ANY_BIT, 0, 1, _CLONE_THREAD), allow, _refuse(errno.EPERM)]),
        (_PRCTL[column], [_line(_EQUAL, 0, 1, _SET_PDEATHSIG), _refuse(errno.EPERM), allow]),
        (
            _SOCKET[column],
            [_line(_EQUAL, len(_FAMILIES) - i, 0, family) for i, family in enumerate(_FAMILIES)]
            + [_refuse(errno.EPERM), allow],
        ),
    ):
        lines += [_line(_EQUAL, 0, 1 + len(test), number), first, *test]
    return b"".join([*lines, allow])


def _line(code: int, then: int, otherwise: int, value: int) -> bytes:
    return struct.pack("=HBBI", code, then, otherwise, value)


def _refuse(error: int) -> bytes:
    return _line(_RETURN, 0, 0, 0x00050000 | error)
