"""The verdicts on an answer that is not right. Their messages are written for the student."""

from __future__ import annotations


class WrongAnswer(AssertionError):
    """An answer is wrong; the message says what was expected, what it returned and where to look."""


class Unfinished(WrongAnswer):
    """A task has not been started."""


class AnswerError(Exception):
    """An answer failed in another process; the message says how, without a traceback."""
