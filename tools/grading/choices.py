"""What the instructor chooses for a run."""

from __future__ import annotations

import dataclasses

from . import sandbox
from .sandbox.clock import PATIENCE


@dataclasses.dataclass(frozen=True)
class Choices:
    """``only``: assignments whose names begin so. ``jobs``: notebooks graded at the same time.

    ``refuse``: an answer that calls asrlib's own function gets no points. ``trust``: grade also where answers
    are locked in by Python alone.
    """

    limits: sandbox.Limits = sandbox.Limits()
    only: str = ""
    jobs: int = 1
    refuse: bool = False
    trust: bool = False

    # of wall clock, after which the grader itself has lost its way
    reading_seconds: float = 120

    @property
    def submission_seconds(self) -> float:
        """Of wall clock for one notebook; more than its own limits add up to on a busy machine."""
        return 300 + PATIENCE / 10 * self.limits.notebook_seconds
