"""The time that a reference takes, to compare an answer's with."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def cpu_seconds(function: Callable, *args: Any) -> tuple[float, Any]:
    """Return the seconds of this thread that ``function(*args)`` takes, and its result."""
    started = time.thread_time()
    result = function(*args)
    return time.thread_time() - started, result
