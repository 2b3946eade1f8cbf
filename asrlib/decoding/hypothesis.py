"""Results of a search: labels and frames (``SearchResult``), or text and seconds (``Hypothesis``).

Lesson 11.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from asrlib.signal.frame_times import FrameTimes
from asrlib.text.tokenizers import Tokenizer


@dataclass
class SearchResult:
    """One hypothesis of a search for one utterance.

    ``labels`` has no blanks. ``frames`` has the encoder frame at which each label was emitted, and
    ``log_probs`` the natural log of each label's probability. ``score`` is the natural log of the
    probability of the alignment (greedy search) or of the sum over the alignments found (beam search).
    A second pass replaces it (``second_pass``). ``extra`` is what a language model and bonuses add to it when
    beam search ranks its hypotheses.
    ``text`` is the word that `decoding.words` chose by its phones, or None if the labels give the text.
    """

    labels: list[int] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    score: float = 0.0
    extra: float = 0.0
    text: str | None = None

    def emit(self, label: int, frame: int, log_prob: float) -> None:
        """Append a label; leave ``score`` unchanged."""
        self.labels.append(label)
        self.frames.append(frame)
        self.log_probs.append(log_prob)

    def extend(self, later: SearchResult, frames_before: int) -> None:
        """Append the result of the frames that follow the first ``frames_before``."""
        self.labels += later.labels
        self.frames += [frames_before + frame for frame in later.frames]
        self.log_probs += later.log_probs
        self.score += later.score


@dataclass(frozen=True)
class Hypothesis:
    """The transcript of one utterance.

    ``times`` has the time of each token in seconds, ``confidences`` the probability with which each was
    emitted, both in the first pass if there are two. ``score`` is the natural log of the hypothesis'
    probability, as in ``SearchResult``.
    """

    text: str
    tokens: list[str]
    times: list[float]
    score: float
    confidences: list[float]
    words: list[tuple[str, float]] = field(default_factory=list, repr=False)

    @classmethod
    def joined(cls, pieces: Iterable[tuple[float, Hypothesis]]) -> Hypothesis:
        """Return the hypothesis of a recording from those of its pieces, each with its start in seconds.

        Texts are joined by spaces, and the probabilities of the pieces are multiplied.
        """
        pieces = list(pieces)
        return cls(
            text=" ".join(filter(None, (piece.text.strip() for _, piece in pieces))),
            tokens=[token for _, piece in pieces for token in piece.tokens],
            times=[start + second for start, piece in pieces for second in piece.times],
            score=sum(piece.score for _, piece in pieces),
            confidences=[confidence for _, piece in pieces for confidence in piece.confidences],
            words=[(word, start + second) for start, piece in pieces for word, second in piece.words],
        )

    @classmethod
    def from_search(cls, result: SearchResult, tokenizer: Tokenizer, frame_times: FrameTimes) -> Hypothesis:
        """Return a search result as text; ``frame_times`` gives the times of encoder frames."""
        return cls(
            text=tokenizer.decode(result.labels) if result.text is None else result.text,
            tokens=[tokenizer.labels[label - 1] for label in result.labels],
            times=[frame_times(frame) for frame in result.frames],
            score=result.score,
            confidences=[float(np.exp(log_prob)) for log_prob in result.log_probs],
            words=_words(result, tokenizer, frame_times),
        )


def _words(result: SearchResult, tokenizer: Tokenizer, frame_times: FrameTimes) -> list[tuple[str, float]]:
    if result.text is not None:
        return [(result.text, frame_times(frame)) for frame in result.frames[:1]]
    if not result.labels:
        return []
    starts = tokenizer.word_starts(result.labels)
    found = [
        (tokenizer.decode(result.labels[start:end]).strip(), frame_times(result.frames[start]))
        for start, end in itertools.pairwise([*starts, len(result.labels)])
    ]
    return [(word, second) for word, second in found if word]  # a lone ▁ is none
