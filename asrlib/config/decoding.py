"""The ``decoding`` section of a configuration: how a model's output is searched. Lessons 08 and 11."""

from __future__ import annotations

from dataclasses import dataclass

from asrlib import validate
from asrlib.errors import InputError
from asrlib.reading import shown


@dataclass
class DecodingConfig:
    """The ``decoding`` section.

    ``head`` is ``transducer`` or ``ctc``; null selects the transducer if the model has one.
    ``max_symbols`` bounds the labels that the transducer may emit at one frame. ``warps`` are factors by
    which the frequency axis is stretched (1 leaves it unchanged). The CTC head is evaluated at each of
    them and its log-probabilities are averaged, because a voice that is unfamiliar at one factor may be
    familiar at another.

    ``beam_width`` 0 selects greedy search. In beam search, ``norm_score`` divides the score of a
    hypothesis by its number of labels + 1 in the final ranking. ``lm_weight`` scales the language
    model's log-probabilities. Each label adds ``label_bonus`` nats, which counters the language model's
    preference for short texts. Lesson 11.

    ``hotwords`` are words or phrases that beam search should prefer; each label inside one of them adds
    ``hotword_bonus`` nats. Lesson 11.

    ``rescore_weight`` adds a second pass after beam search with the CTC head: the texts found are scored
    again, as wholes, with both heads. The transducer's score has this weight, and CTC's has 1 minus it; null
    is no second pass. Lesson 11.

    ``words`` is a closed list. An utterance is recognized as the word of the list whose phones, from the
    tokenizer's lexicon, are the most probable according to the CTC head. Lesson 14.
    """

    head: str | None = None
    max_symbols: int = 5
    warps: list[float] | None = None
    beam_width: int = 0
    norm_score: bool = True
    lm_weight: float = 0.3
    label_bonus: float = 0.0
    hotwords: list[str] | None = None
    hotword_bonus: float = 1.5
    rescore_weight: float | None = None
    words: list[str] | None = None

    def check(self, where: str) -> None:
        """Raise ``InputError`` for a value that is out of range; ``where`` names the configuration."""
        validate.positive(where, "decoding", self, "max_symbols")
        if self.beam_width < 0:
            raise InputError(
                f"{where}: key decoding.beam_width is {self.beam_width}; use 0 for greedy search"
            )
        validate.not_negative(where, "decoding", self, "lm_weight")
        validate.at_most(where, "decoding", self, 10_000, "max_symbols", "beam_width", "lm_weight")
        if not -10_000 <= self.label_bonus <= 10_000:
            raise InputError(
                f"{where}: key decoding.label_bonus is {self.label_bonus}; it must be from -10,000 to 10,000"
            )
        self._check_hotwords(where)
        self._check_rescoring(where)
        if self.warps is not None and not (
            0 < len(self.warps) <= 100 and all(0.1 <= w <= 10 for w in self.warps)
        ):
            raise InputError(
                f"{where}: key decoding.warps is {shown(self.warps)}; expected factors from 0.1 to 10"
            )

    def _check_rescoring(self, where: str) -> None:
        if self.rescore_weight is None:
            return
        if not 0 <= self.rescore_weight <= 1:
            raise InputError(
                f"{where}: key decoding.rescore_weight is {self.rescore_weight}; it must be from 0 to 1"
            )
        if not self.beam_width:
            raise InputError(
                f"{where}: decoding.rescore_weight needs beam search: set decoding.beam_width to 8"
            )

    def _check_hotwords(self, where: str) -> None:
        validate.not_negative(where, "decoding", self, "hotword_bonus")
        validate.at_most(where, "decoding", self, 10_000, "hotword_bonus")
        if self.hotwords is None:
            return
        if not self.hotwords or not all(phrase.strip() for phrase in self.hotwords):
            raise InputError(
                f"{where}: key decoding.hotwords is {shown(self.hotwords)}; expected words or phrases"
            )
        if not self.beam_width:
            raise InputError(f"{where}: decoding.hotwords needs beam search: set decoding.beam_width to 8")
        if self.words is not None:
            raise InputError(f"{where}: decoding.words is a closed list, which hotwords cannot bias: use one")
