"""How long to wait for a process: by what it computes, not by how busy the machine is."""

from __future__ import annotations

import time
from pathlib import Path

POLL_SECONDS = 0.05
# of wall clock for each second of computing, even where something else keeps the process from computing
PATIENCE = 30


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
    """

    def __init__(self, pid: int, seconds: float, what: str):
        self.pid, self.seconds, self.what = pid, seconds, what
        self.started = self.last = time.monotonic()
        self.slept = self.used = 0.0
        self.before = self.latest = _usage(pid)[0]

    def __call__(self) -> float:
        """Seconds after which to ask again; TimeIsUp."""
        now = time.monotonic()
        computed, state = _usage(self.pid)
        if computed is None or self.before is None:
            self.used = now - self.started
        else:
            self.used = computed - self.before
            if state == "S" and computed == self.latest:
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


def _usage(pid: int) -> tuple[float | None, str]:
    """CPU seconds of all threads of ``pid``, with those of children that have ended, and its state."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None, ""
    return sum(map(int, fields[11:15])) / _ticks(), fields[0]


def _ticks() -> int:
    import os

    return os.sysconf("SC_CLK_TCK")
