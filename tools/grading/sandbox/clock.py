"""How long to wait for a process: by what it computes, not by how busy the machine is."""

from __future__ import annotations

import time
from pathlib import Path

POLL_SECONDS = 0.05
# of wall clock for each second of computing, even where something else keeps the process from computing
PATIENCE = 30
# clock_getcpuclockid(3): a process's number, and which of its clocks
_ALL_THREADS = 2


class TimeIsUp(Exception):
    """The message says what was used and what is allowed."""


class WallClock:
    """Wait for ``seconds`` of wall clock."""

    def __init__(self, seconds: float):
        self.seconds, self.ends = seconds, time.monotonic() + seconds

    def __call__(self) -> float:
        """Seconds after which to ask again; TimeIsUp."""
        if (left := self.ends - time.monotonic()) <= 0:
            raise TimeIsUp(f"not within {self.seconds:.0f} seconds")
        return left


class ComputingTime:
    """Wait until process ``pid`` has computed for ``seconds``, or has slept for as long.

    A process that is ready to run, but does not get the processor, loses nothing. Where the system does not
    tell (it is not Linux), seconds are wall clock. ``what`` has the seconds, for the message: "a call".
    ``before`` is what the process had computed when its last request ended: what its threads have done since
    counts, too.
    """

    def __init__(self, pid: int, seconds: float, what: str, before: float | None = None):
        self.pid, self.seconds, self.what = pid, seconds, what
        self.started = self.last = time.monotonic()
        self.slept = self.used = 0.0
        self.latest = computed_by(pid)
        self.before = self.latest if before is None else before

    def __call__(self) -> float:
        """Seconds after which to ask again; TimeIsUp."""
        now = time.monotonic()
        computed = computed_by(self.pid)
        if self.before is None:
            self.used = now - self.started
        elif computed is not None:  # None: it has just ended
            self.used = computed - self.before
            # one that wakes up now and then sleeps all the same
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
    """CPU seconds of all threads of ``pid`` so far, by the kernel's clock of that process; None if unknown.

    The process cannot move this clock, and the answer is exact, where /proc counts in hundredths.
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
