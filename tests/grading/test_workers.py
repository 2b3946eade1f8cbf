"""The grader's processes: each item has a result, and a process that has grown is replaced."""

import contextlib
import os
from pathlib import Path

import assignments  # noqa: F401  puts the folder of the grader on Python's path
import pytest
from grading.workers import MOST_KEPT, Workers


class Keeper:
    """Keeps as many bytes as each item says; the result is the process's id."""

    greeting = "ready"

    def __init__(self):
        self.kept = []

    def __call__(self, size):
        self.kept.append(b"x" * size)
        return os.getpid()


@contextlib.contextmanager
def keeper(number):
    yield Keeper()


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="no /proc/PID/smaps_rollup here")
def test_a_process_that_keeps_much_memory_is_replaced():
    with Workers(keeper, 1) as workers:
        pids = [pid for _, pid in workers.map([1000, MOST_KEPT, 1000, 1000], 60)]
    assert pids[0] == pids[1] != pids[2] == pids[3]
