"""The options of a grading run."""

from __future__ import annotations

import dataclasses

from . import sandbox
from .sandbox.clock import PATIENCE


@dataclasses.dataclass(frozen=True)
class Choices:
    """The options of a grading run.

    ``only`` is a prefix of the names of the assignments to grade. ``jobs`` is the number of notebooks graded
    at the same time. With ``refuse``, an answer that calls asrlib's own function gets no points. With
    ``trust``, grade even if only Python's audit hook isolates the answers.
    """

    limits: sandbox.Limits = sandbox.Limits()
    only: str = ""
    jobs: int = 1
    refuse: bool = False
    trust: bool = False

    # time limit for reading a notebook, in seconds of wall clock
    reading_seconds: float = 120

    @property
    def submission_seconds(self) -> float:
        """Return the time limit of one notebook in seconds of wall clock, above the sum of its own limits."""
        return 300 + PATIENCE / 10 * self.limits.notebook_seconds
