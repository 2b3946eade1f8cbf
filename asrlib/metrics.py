"""Word, character and phone error rates in percent, computed with jiwer. Lesson 11."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jiwer

from asrlib.errors import InputError


@dataclass(frozen=True)
class ErrorRate:
    """Edit counts over a whole corpus, and the error rate that follows from them.

    ``length`` is the total length of the references, in words, characters or phones.
    """

    substitutions: int
    deletions: int
    insertions: int
    length: int

    @property
    def rate(self) -> float:
        """The error rate in percent: (substitutions + deletions + insertions) / length."""
        return 100.0 * (self.substitutions + self.deletions + self.insertions) / self.length

    def __str__(self) -> str:
        return (
            f"{self.rate:.2f} % ({self.substitutions} substitutions, {self.deletions} deletions,"
            f" {self.insertions} insertions in {self.length})"
        )


def word_error_rate(references: Sequence[str] | str, hypotheses: Sequence[str] | str) -> ErrorRate:
    """Return the word error rate (WER) of a corpus.

    Errors are summed over all utterances and then divided by the total reference length; this is not the mean
    of per-utterance rates. Two strings are one utterance. Words recognized where the reference is empty are
    insertions. Raises ``InputError`` for lists of different lengths, and if all references are empty.
    """
    return _count(jiwer.process_words, references, hypotheses)


def char_error_rate(references: Sequence[str] | str, hypotheses: Sequence[str] | str) -> ErrorRate:
    """Return the character error rate (CER) of a corpus. Spaces count as characters.

    Takes and raises the same as ``word_error_rate``.
    """
    return _count(jiwer.process_characters, references, hypotheses)


def phone_error_rate(references: Sequence[str] | str, hypotheses: Sequence[str] | str) -> ErrorRate:
    """Return the phone error rate (PER) of a corpus whose texts are phones separated by spaces.

    Takes and raises the same as ``word_error_rate``.
    """
    return word_error_rate(references, hypotheses)


def _count(
    process: Callable[..., Any], references: Sequence[str] | str, hypotheses: Sequence[str] | str
) -> ErrorRate:
    if isinstance(references, str) and isinstance(hypotheses, str):
        references, hypotheses = [references], [hypotheses]
    for name, texts in (("references", references), ("hypotheses", hypotheses)):
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise InputError(f"{name} must be a list of texts, or both of them one text")
    if len(references) != len(hypotheses):
        raise InputError(
            f"{len(references)} references and {len(hypotheses)} hypotheses:"
            " give one hypothesis per reference"
        )
    if not any(reference.strip() for reference in references):
        raise InputError("all reference transcripts are empty: an error rate divides by their length")
    result = process(list(references), list(hypotheses))
    return ErrorRate(
        result.substitutions,
        result.deletions,
        result.insertions,
        result.hits + result.substitutions + result.deletions,
    )
