"""Transcribe and score a corpus. Lessons 09 and 11."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from asrlib.data import shar
from asrlib.errors import InputError
from asrlib.metrics import ErrorRate, char_error_rate, word_error_rate
from asrlib.recognizer import Hypothesis, Recognizer
from asrlib.text.tokenizers import Tokenizer

if TYPE_CHECKING:
    from lhotse import CutSet


class Evaluation(NamedTuple):
    """Word and character error rates, and a row (id, reference, hypothesis) per utterance."""

    words: ErrorRate
    characters: ErrorRate
    rows: list[tuple[str, str, Hypothesis]]


def evaluate(recognizer: Recognizer, cuts: CutSet) -> Evaluation:
    """Transcribe ``cuts`` and score the hypotheses; rows are in the order of ``cuts``.

    References are normalized by the tokenizer. Raises ``InputError`` as ``check_references`` does.
    """
    check_references(recognizer.tokenizer, cuts)
    found = {name: each for part in shar.parts(cuts) for name, each in recognizer.transcribe_cuts(part)}
    rows = [
        (cut.id, recognizer.tokenizer.prepare(cut.supervisions[0].text), found[cut.id])
        for cut in shar.without_audio(cuts)
    ]
    references, hypotheses = [row[1] for row in rows], [row[2].text for row in rows]
    return Evaluation(word_error_rate(references, hypotheses), char_error_rate(references, hypotheses), rows)


def check_references(tokenizer: Tokenizer, cuts: CutSet) -> None:
    """Raise ``InputError`` if a transcript has no words or two utterances have the same id."""
    ids = set()
    for cut in shar.without_audio(cuts):
        text = cut.supervisions[0].text
        if not tokenizer.prepare(text):
            raise InputError(f"utterance {cut.id}: its transcript {text!r} has no words to score against")
        if cut.id in ids:
            raise InputError(f"two utterances have the id {cut.id}: give each its own (cut.with_id)")
        ids.add(cut.id)
