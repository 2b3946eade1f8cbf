"""How fast this machine is now, so that a slow one makes no answer wrong."""

from __future__ import annotations

import math
import time

# what the loop below takes on an ordinary machine, one of some years' age
ORDINARY_SECONDS = 0.008


def pace() -> float:
    """Return how many times longer than an ordinary machine this one takes for plain Python, or 1."""
    fastest = math.inf
    for _ in range(3):
        started, total = time.thread_time(), 0
        for n in range(100_000):
            total += n % 7
        fastest = min(fastest, time.thread_time() - started)
    return max(1.0, fastest / ORDINARY_SECONDS)
