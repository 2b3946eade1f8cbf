"""Worker processes, so that no submission stops another; one that hangs, crashes or grows is replaced."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import multiprocessing
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from pathlib import Path
from typing import Any, NamedTuple

from .errors import CannotGrade

# bytes of its own that a process may keep between two items: checkers keep the data of what they have checked
MOST_KEPT = 72 << 20
# time limit for importing libraries and starting a sandbox, on a machine that may be busy
START_SECONDS = 900


class Failure(NamedTuple):
    """The result for an item whose process failed."""

    why: str


class Workers:
    """A pool of ``count`` processes, each with its own ``work``: a context that yields a function of an item.

    The processes are forks of this one and share the libraries imported before. Raises ``CannotGrade`` if
    ``work`` raises it at the start.
    """

    def __init__(self, work: Callable[[int], contextlib.AbstractContextManager], count: int):
        gc.freeze()  # what has been imported stays shared
        self._context = multiprocessing.get_context("fork")
        self._work = work
        self._workers: list[_Worker] = []
        try:
            for number in range(count):
                self._workers.append(self._start(number))
            self.greetings = [worker.greeting() for worker in self._workers]
        except BaseException:
            self.close()
            raise

    def _start(self, number: int) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(self._work, number, theirs), daemon=True)
        process.start()
        theirs.close()
        return _Worker(number, process, ours)

    def map(self, items: Sequence[Any], seconds: float) -> Iterator[tuple[int, Any]]:
        """Yield (position, result) as items finish; ``Failure`` for one that took more than ``seconds``."""
        waiting = iter(enumerate(items))
        busy = [worker for worker in self._workers if worker.give(next(waiting, None), seconds)]
        while busy:
            soonest = min(worker.ends for worker in busy)
            connection.wait([w.channel for w in busy], max(0.0, soonest - time.monotonic()))
            for worker in list(busy):
                if (result := worker.result()) is None:
                    continue
                position = worker.position
                if isinstance(result, Failure) or worker.private_bytes() > MOST_KEPT:
                    busy.remove(worker)
                    worker.kill()
                    number = self._workers.index(worker)
                    self._workers[number] = worker = self._start(worker.number)
                    worker.greeting()
                    busy.append(worker)
                if not worker.give(next(waiting, None), seconds):
                    busy.remove(worker)
                yield position, result

    def close(self) -> None:
        """End all processes."""
        for worker in self._workers:
            # said, not only hung up: workers that started later hold copies of this side, too
            with contextlib.suppress(OSError):
                worker.channel.send(None)
            worker.channel.close()
        for worker in self._workers:
            worker.process.join(15)
            worker.kill()
        gc.unfreeze()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class _Worker:
    """The parent's side of one process."""

    def __init__(self, number: int, process, channel: connection.Connection):
        self.number, self.process, self.channel = number, process, channel
        self.position, self.ends = -1, 0.0

    def greeting(self) -> Any:
        """Wait until the work has started, and return its greeting."""
        self.ends = time.monotonic() + START_SECONDS
        while (said := self.result()) is None:
            self.channel.poll(max(0.0, self.ends - time.monotonic()))
        if isinstance(said, Failure):
            raise CannotGrade(said.why)
        return said

    def give(self, task: tuple[int, Any] | None, seconds: float) -> bool:
        """Send a task with its time limit; return whether there was one."""
        if task is None:
            return False
        self.position, item = task
        self.ends = time.monotonic() + seconds
        with contextlib.suppress(OSError):  # the process is gone, as its result will show
            self.channel.send(item)
        return True

    def result(self) -> Any:
        """Return the result, or None if there is none yet."""
        try:
            if self.channel.poll():
                return self.channel.recv()
        except (EOFError, OSError):
            self.process.join(5)
            return Failure(f"the grader's own process ended ({self.process.exitcode})")
        if time.monotonic() >= self.ends:
            return Failure("the grader did not get through it in its time")
        return None

    def private_bytes(self) -> int:
        """Return how much memory the process shares with no other; 0 where the system does not tell."""
        try:
            table = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        except OSError:
            return 0
        return 1024 * sum(map(int, re.findall(r"^Private_\w+:\s+(\d+) kB$", table, flags=re.M)))

    def kill(self) -> None:
        """Kill the process and close the channel."""
        self.process.kill()
        self.process.join()
        self.process.close()
        self.channel.close()


def _serve(work: Callable[[int], contextlib.AbstractContextManager], number: int, channel) -> None:
    """Work in the child process until the parent closes the channel."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    try:
        with work(number) as do:
            channel.send(do.greeting)
            while True:
                try:
                    item = channel.recv()
                except EOFError:
                    break
                if item is None:
                    break
                channel.send(do(item))
    except CannotGrade as error:
        channel.send(Failure(str(error)))
    os._exit(0)  # skip the exit handlers of the parent process
