"""The times of frames. Lessons 02, 06 and 13.

The time of a frame is the middle of its window of samples (25 ms): t · hop + window / 2 for frame t of the
features. An encoder's frame t is centered on the features' frame t · reduction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FrameTimes:
    """The times of frames: ``frame_times(t)`` is the center of frame t, in seconds.

    ``seconds`` is the time from one frame to the next. ``center`` is the center of frame 0, half a window.
    """

    seconds: float
    center: float

    def __call__(self, t: Any) -> Any:
        """Return the center of frame t in seconds. ``t`` is a number, an array or a tensor."""
        return self.center + t * self.seconds
