"""Time limits for processes by computing time, independent of how busy the machine is."""

from __future__ import annotations

import time
from pathlib import Path

POLL_SECONDS = 0.05
# maximum seconds of wall clock per second of computing, however busy the machine is
PATIENCE = 30
# clock_getcpuclockid(3): which clock of a process
_ALL_THREADS = 2


class TimeIsUp(Exception):
    """A time limit is exceeded; the message says what was used and what is allowed."""


class WallClock:
    """Wait for ``seconds`` of wall clock."""

    def __init__(self, seconds: float):
        self.seconds, self.ends = seconds, time.monotonic() + seconds

    def __call__(self) -> float:
        """Return the seconds until the next call; raise ``TimeIsUp`` if the limit is exceeded."""
        if (left := self.ends - time.monotonic()) <= 0:
            raise TimeIsUp(f"not within {self.seconds:.0f} seconds")
        return left


class ComputingTime:
    """Wait until process ``pid`` has computed for ``seconds``, or has slept for as long.

    Waiting for a processor does not count. On systems other than Linux, seconds are wall clock. ``what``
    names the limited action in the message, such as "a call". ``before`` is the computing time of the process
    when its last request ended, so that what its threads have done since counts too.
    """

    def __init__(self, pid: int, seconds: float, what: str, before: float | None = None):
        self.pid, self.seconds, self.what = pid, seconds, what
        self.started = self.last = time.monotonic()
        self.slept = self.used = 0.0
        self.latest = computed_by(pid)
        self.before = self.latest if before is None else before

    def __call__(self) -> float:
        """Return the seconds until the next call; raise ``TimeIsUp`` if the limit is exceeded."""
        now = time.monotonic()
        computed = computed_by(self.pid)
        if self.before is None:
            self.used = now - self.started
        elif computed is not None:  # None if it has just ended
            self.used = computed - self.before
            # a process that wakes up only now and then counts as sleeping
            if _state(self.pid) == "S" and computed - self.latest < 0.1 * (now - self.last):
                self.slept += now - self.last
            self.latest = computed
        self.last = now
        allowed = f"{self.seconds:.3g} s are allowed for {self.what}"
        if self.used > self.seconds:
            raise TimeIsUp(f"had computed for {self.used:.1f} s when it was stopped; {allowed}")
        if self.slept > self.seconds:
            raise TimeIsUp(f"was stopped: it waited {self.slept:.1f} s without computing anything; {allowed}")
        if now - self.started > PATIENCE * self.seconds:
            raise TimeIsUp(
                f"was stopped after {now - self.started:.0f} s, of which it computed {self.used:.1f} s"
            )
        return POLL_SECONDS


def computed_by(pid: int) -> float | None:
    """Return the CPU seconds of all threads of ``pid`` by the kernel's clock; None if unknown.

    The process cannot change this clock. It is exact, while /proc counts in hundredths of a second.
    """
    try:
        return time.clock_gettime((~pid << 3) | _ALL_THREADS)
    except OSError:
        return None


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
