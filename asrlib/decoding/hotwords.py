"""Hotwords: phrases that a beam search should prefer, such as the names in an address book.

Every label of a text that lies inside an occurrence of a phrase adds a bonus to the text's score
(shallow-fusion biasing: Williams et al. 2018; Zhao et al. 2019). A search decides label by label,
before a phrase is complete. So the labels of a phrase that has only begun are paid in advance, and the
advance is taken back where the text goes on otherwise, or ends. An automaton (Aho & Corasick 1975) tells how
much of which phrase has just been read. Lesson 11.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from asrlib.errors import InputError


class HotwordState(NamedTuple):
    """What a search has to know of a text: where it is in the automaton, and which labels have their bonus.

    ``node`` stands for the longest end of the text with which a phrase begins. ``paid`` has a bit per label
    of that end, the lowest for the last label: whether it lies inside a complete phrase.
    """

    node: int
    paid: int


class Hotwords:
    """Phrases, as label numbers, with a ``bonus`` in nats for each label of a phrase that occurs in a text.

    A label inside several occurrences counts once. Raises ``InputError`` if there is no phrase, if one is
    empty, and for a bonus that is negative or not finite. Lesson 11.
    """

    def __init__(self, phrases: Sequence[Sequence[int]], bonus: float):
        if not phrases or not all(phrases):
            raise InputError("hotwords need at least one phrase, each with at least one label")
        if not 0 <= bonus < math.inf:  # also not a number
            raise InputError(f"the bonus of hotwords is {bonus}; use 0 or more nats per label")
        self.bonus = bonus
        self._children: list[dict[int, int]] = [{}]
        self._depth, self._complete = [0], [0]  # labels so far; labels of the longest phrase that ends here
        for phrase in phrases:
            node = 0
            for label in phrase:
                node = self._child(node, label)
            self._complete[node] = len(phrase)
        self._shorter = self._link()
        self._labels = sorted({label for phrase in phrases for label in phrase})
        self._gains: dict[tuple[HotwordState, int], Tensor] = {}

    def start(self) -> HotwordState:
        """Return the state of the empty text."""
        return HotwordState(0, 0)

    def advance(self, state: HotwordState, label: int) -> HotwordState:
        """Return the state after one more label."""
        return self._step(state, label)[0]

    def gains(self, state: HotwordState, V: int) -> Float[Tensor, "V"]:
        """Return what each of V labels would add to the score of a text, in nats."""
        if (state, V) not in self._gains:
            row = torch.full((V,), self.end(state))
            for label in self._labels:
                row[label] = self._step(state, label)[1]
            self._gains[state, V] = row
        return self._gains[state, V]

    def end(self, state: HotwordState) -> float:
        """Return what the end of the text adds: minus the advance for a phrase that has only begun."""
        return -self._advance(state)

    def _step(self, state: HotwordState, label: int) -> tuple[HotwordState, float]:
        """Return the state after one more label, and what the label adds to the score."""
        node = state.node
        while node and label not in self._children[node]:
            node = self._shorter[node]
        node = self._children[node].get(label, 0)
        length = self._complete[node]
        inside = (1 << length) - 1
        paid = state.paid << 1
        earned = length - (paid & inside).bit_count()
        after = HotwordState(node, (paid | inside) & ((1 << self._depth[node]) - 1))
        return after, self.bonus * earned + self._advance(after) - self._advance(state)

    def _advance(self, state: HotwordState) -> float:
        """Return what was paid in advance: a bonus for each label of a beginning that is in no phrase yet."""
        return self.bonus * (self._depth[state.node] - state.paid.bit_count())

    def _child(self, node: int, label: int) -> int:
        if label not in self._children[node]:
            self._children[node][label] = len(self._children)
            self._children.append({})
            self._depth.append(self._depth[node] + 1)
            self._complete.append(0)
        return self._children[node][label]

    def _link(self) -> list[int]:
        """Return for each node the one of its longest proper end; complete phrases at such an end count."""
        shorter, waiting = [0] * len(self._children), deque(self._children[0].values())
        while waiting:
            node = waiting.popleft()
            self._complete[node] = self._complete[node] or self._complete[shorter[node]]
            for label, child in self._children[node].items():
                end = shorter[node]
                while end and label not in self._children[end]:
                    end = shorter[end]
                shorter[child] = self._children[end].get(label, 0)
                waiting.append(child)
        return shorter


def phrase_labels(phrases: Sequence[str], encode: Callable[[str], list[int]]) -> list[list[int]]:
    """Return the label numbers of each phrase; ``encode`` is that of the model's tokenizer.

    Raises ``InputError``, naming the phrase, for one that the labels cannot write.
    """
    return [_labels(phrase, encode) for phrase in phrases]


def _labels(phrase: str, encode: Callable[[str], list[int]]) -> list[int]:
    labels: list[int] = []
    with contextlib.suppress(InputError):  # its message is about transcripts
        labels = encode(phrase)
    if not labels:
        raise InputError(f"decoding.hotwords: the labels of this model cannot write {phrase!r}: leave it out")
    return labels
