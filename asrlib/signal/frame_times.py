"""When frames are: the one place that says at which second a frame stands. Lessons 02, 06 and 13.

A frame is made of a whole window of samples (25 ms), so it stands in the window's middle: frame t of features
at t · hop + window / 2. An encoder's frame t is centered on the features' frame t · reduction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FrameTimes:
    """The times of frames: ``frame_times(t)`` is the center of frame t, in seconds.

    seconds: from one frame to the next. center: of frame 0, half a window.
    """

    seconds: float
    center: float

    def __call__(self, t: Any) -> Any:
        """Return the center in seconds of frame t: a number, or an array or tensor of them."""
        return self.center + t * self.seconds
