"""Word, character and phone error rates, in per cent, through jiwer. Lesson 11."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jiwer

from asrlib.errors import InputError


@dataclass(frozen=True)
class ErrorRate:
    """``rate`` is (S + D + I) / reference length over the whole corpus, in per cent."""

    substitutions: int
    deletions: int
    insertions: int
    length: int

    @property
    def rate(self) -> float:
        return 100.0 * (self.substitutions + self.deletions + self.insertions) / self.length

    def __str__(self) -> str:
        return (
            f"{self.rate:.2f} % ({self.substitutions} substitutions, {self.deletions} deletions,"
            f" {self.insertions} insertions in {self.length})"
        )


def word_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> ErrorRate:
    """Errors summed over utterances, then divided: not a mean of the utterances' rates.

    Raises ``InputError`` for lists of different lengths or an empty reference.
    """
    return _count(jiwer.process_words, references, hypotheses)


def char_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> ErrorRate:
    """Spaces count as characters."""
    return _count(jiwer.process_characters, references, hypotheses)


def phone_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> ErrorRate:
    """Phones are separated by spaces: a word error rate over phones."""
    return word_error_rate(references, hypotheses)


def _count(process: Callable[..., Any], references: Sequence[str], hypotheses: Sequence[str]) -> ErrorRate:
    if len(references) != len(hypotheses):
        raise InputError(f"{len(references)} references and {len(hypotheses)} hypotheses cannot be compared")
    if not references or not all(reference.strip() for reference in references):
        raise InputError("a reference transcript is empty: an error rate divides by its length")
    result = process(list(references), list(hypotheses))
    return ErrorRate(
        result.substitutions,
        result.deletions,
        result.insertions,
        result.hits + result.substitutions + result.deletions,
    )
