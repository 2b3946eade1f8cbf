"""The internal language model of a transducer, and sums of language models with weights.

A transducer's prediction network has read the training's texts, so its scores contain a language model of
them. Where it is to recognize other texts, that model is in the way: divide it out. Two ways are usual. The
*density ratio* subtracts the log-probabilities of a language model of the training's texts (McDermott et al.
2019). *Internal language model estimation* asks the transducer itself, with the encoder's part left out
(Variani et al. 2020; Meng et al. 2021). Lesson 08b.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from asrlib.errors import InputError
from asrlib.models.transducer import Transducer
from asrlib.text.ngram import LanguageModel


class InternalLM(LanguageModel):
    """What a transducer thinks of the next label without sound: ln P of each label but blank.

    Its joint is given the prediction network's output and zeros in place of the encoder's, so that all biases
    stay; the softmax leaves blank out. A joint that multiplies its two sides has no such part of its own. The
    model says nothing about the end of a text: index 0 of ``scores`` is 0. Raises ``InputError`` for a model
    without a transducer's networks. Lesson 08b.
    """

    def __init__(self, model: Transducer):
        if model.prediction is None or model.joint is None:
            raise InputError(
                "only a transducer has an internal language model: this model has a CTC head only"
            )
        self.model, self._scores = model, dict[tuple[int, ...], Tensor]()

    def start(self) -> tuple[int, ...]:
        """Return the empty text."""
        return ()

    def advance(self, state: tuple[int, ...], label: int) -> tuple[int, ...]:
        """Return the text with one more label."""
        return (*state, label)

    @torch.no_grad()
    def scores(self, state: tuple[int, ...]) -> Float[Tensor, "V"]:
        """Return ln P of every label after the labels of ``state``; 0 for blank's number."""
        if state not in self._scores:
            prediction, joint, blank = self.model.prediction, self.model.joint, self.model.blank
            assert prediction is not None and joint is not None
            read = prediction(torch.tensor([state], dtype=torch.long))[:, -1]
            side = joint.prediction_linear(read)
            logits = joint.scores(self._silence(side), side)[0].float()
            logits[blank] = -torch.inf
            logits = logits.log_softmax(-1)
            logits[blank] = 0.0
            self._scores[state] = logits
        return self._scores[state]

    def _silence(self, side: Tensor) -> Tensor:
        """Return the encoder's side of the joint for an encoder output of zeros, in the form of ``side``."""
        linear = self.model.joint.encoder_linear  # type: ignore[union-attr]  # checked in __init__
        if isinstance(linear, torch.nn.Linear):
            return linear(side.new_zeros(len(side), linear.in_features))
        return torch.zeros_like(side)


class WeightedLM(LanguageModel):
    """A sum of language models' log-probabilities, each times a weight that may be negative. Lesson 08b."""

    def __init__(self, parts: Sequence[tuple[LanguageModel, float]]):
        if not parts:
            raise InputError("a sum of language models needs at least one of them")
        self.parts = list(parts)

    def start(self) -> tuple[Any, ...]:
        """Return the states of all models at the start of a text."""
        return tuple(lm.start() for lm, _ in self.parts)

    def advance(self, state: tuple[Any, ...], label: int) -> tuple[Any, ...]:
        """Return the states of all models after one more label."""
        return tuple(lm.advance(own, label) for (lm, _), own in zip(self.parts, state, strict=True))

    def scores(self, state: tuple[Any, ...]) -> Float[Tensor, "V"]:
        """Return the weighted sum of the models' scores for every label; index 0 is the end of the text."""
        return torch.stack(
            [weight * lm.scores(own) for (lm, weight), own in zip(self.parts, state, strict=True)]
        ).sum(0)
