"""Data structures of beam search: a beam of scored slots, and a tree of all label prefixes.

The searches that use them are in ``beam``. Lesson 11.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from asrlib.config.decoding import DecodingConfig
from asrlib.decoding.hotwords import Hotwords, HotwordState
from asrlib.decoding.hypothesis import SearchResult
from asrlib.errors import InputError
from asrlib.text.ngram import LanguageModel

LOG_ZERO = -torch.inf  # ln 0, the score of an empty slot
_NOTHING = HotwordState(0, 0)  # of a search without hotwords


@dataclass(frozen=True)
class BeamOptions:
    """Options of beam search: the width, and how hypotheses are compared.

    ``lm_weight`` has no effect without ``lm``. ``label_bonus`` is in nats per label; ``hotwords`` have a
    bonus of their own. ``norm_score`` divides the final score by the number of labels + 1. Raises
    ``InputError`` if ``beam_width`` is below 1.
    """

    beam_width: int = 5
    norm_score: bool = DecodingConfig.norm_score
    lm: LanguageModel | None = None
    lm_weight: float = DecodingConfig.lm_weight
    label_bonus: float = DecodingConfig.label_bonus
    hotwords: Hotwords | None = None

    def __post_init__(self):
        if self.beam_width < 1:
            raise InputError(f"beam_width is {self.beam_width}; it must be at least 1")

    def rank(self, result: SearchResult) -> float:
        """Return the number by which finished hypotheses are ranked: the higher, the better."""
        return (result.score + result.extra) / (len(result.labels) + 1 if self.norm_score else 1)


@dataclass
class Beam:
    """K slots per utterance, with one hypothesis in each.

    ``score`` is ln P(labels | audio); ``extra`` is what language model and bonuses add to it. ``node`` is
    the text and ``link`` the best alignment, both in the ``PrefixTree``. CTC also needs ``ended`` (whether
    the alignment ends in blank), ``last`` (the last label) and ``parent`` (the node of the text without
    its last label).
    """

    score: Float[Tensor, "batch K"]
    extra: Float[Tensor, "batch K"]
    node: Int[Tensor, "batch K"]
    link: Int[Tensor, "batch K"]
    ended: Bool[Tensor, "batch K"]
    last: Int[Tensor, "batch K"]
    parent: Int[Tensor, "batch K"]

    @property
    def total(self) -> Float[Tensor, "batch K"]:
        """Return the score by which hypotheses are compared."""
        return self.score + self.extra

    def select(self, source: Int[Tensor, "batch K"]) -> Beam:
        """Return a beam whose slot k is a copy of this beam's slot ``source[k]``."""
        return Beam(**{name: values.gather(1, source) for name, values in vars(self).items()})

    def where(self, condition: Tensor, other: Beam) -> Beam:
        """Return this beam's slots where ``condition`` holds, and those of ``other`` elsewhere."""
        theirs = vars(other)
        return Beam(**{n: torch.where(condition, mine, theirs[n]) for n, mine in vars(self).items()})

    def beside(self, other: Beam) -> Beam:
        """Return a beam with the slots of this beam followed by those of ``other``."""
        theirs = vars(other)
        return Beam(**{n: torch.cat([mine, theirs[n]], dim=1) for n, mine in vars(self).items()})


class Growth(NamedTuple):
    """The O labels that each slot may emit next.

    ``log_prob`` is the label's own log-probability; ``score`` and ``extra`` are those of the extended text.
    """

    label: Int[Tensor, "batch K O"]
    log_prob: Float[Tensor, "batch K O"]
    score: Float[Tensor, "batch K O"]
    extra: Float[Tensor, "batch K O"]


class PrefixTree:
    """All label sequences met so far, as nodes of a tree; texts are equal if and only if their nodes are.

    A link is the last step of one alignment of a text: the previous link, the label, its frame and its
    log-probability.
    """

    def __init__(self, batch: int, options: BeamOptions, blank: int, device: torch.device):
        self.options, self.blank, self.device = options, blank, device
        self.children: dict[tuple[int, int], int] = {}
        self.lm_states = [options.lm.start() if options.lm else ()] * batch
        self.hot_states = [options.hotwords.start() if options.hotwords else _NOTHING] * batch
        self.links: list[tuple[int, int, int, float]] = [(-1, blank, -1, 0.0)]

    def first_beam(self) -> Beam:
        """Return a beam with the empty text in the first slot of each utterance and the others empty."""
        batch, width = len(self.lm_states), self.options.beam_width
        score = torch.full((batch, width), LOG_ZERO, device=self.device)
        score[:, 0] = 0
        zero = torch.zeros(batch, width, dtype=torch.long, device=self.device)
        node = zero + torch.arange(batch, device=self.device)[:, None]
        return Beam(score, zero.float(), node, zero, zero == 0, zero + self.blank, zero - 1)

    def gains(self, nodes: Int[Tensor, "n"], V: int) -> Float[Tensor, "n V"]:
        """Return what language model and bonuses add to each text for every label that may follow (nats)."""
        lm, hotwords, bonus = self.options.lm, self.options.hotwords, self.options.label_bonus
        total = torch.full((1, 1), bonus, device=self.device).expand(len(nodes), V)
        if lm is not None:
            rows = [lm.scores(self.lm_states[node]) for node in nodes.tolist()]
            total = total + self.options.lm_weight * torch.stack(rows).to(self.device)
        if hotwords is not None:
            rows = [hotwords.gains(self.hot_states[node], V) for node in nodes.tolist()]
            total = total + torch.stack(rows).to(self.device)
        return total

    def prune(
        self, stays: Beam, beam: Beam, growth: Growth, t: int, most: int
    ) -> tuple[Beam, Tensor, Tensor, Tensor]:
        """Keep the best hypotheses among ``stays`` and those of ``beam`` extended by a label at frame ``t``.

        At most ``most`` extended ones are kept. Returns the new beam and three (batch, K) tensors: whether
        the slot was extended, the slot it comes from, and its new label.
        """
        count, options = stays.score.shape[1], growth.label.shape[2]
        best, option = (growth.score + growth.extra).flatten(1).topk(most)
        ranking, choice = torch.cat([stays.total, best], dim=1).topk(self.options.beam_width)
        grown = (choice >= count) & (ranking > LOG_ZERO)
        option = option.gather(1, (choice - count).clamp(min=0))
        origin = option // options
        before = beam.select(origin)
        label, log_prob, score, extra = (values.flatten(1).gather(1, option) for values in growth)
        after = replace(
            before, score=score, extra=extra, ended=torch.zeros_like(grown), last=label, parent=before.node
        )
        pruned = after.where(grown, stays.select(choice.clamp(max=count - 1)))
        pruned.score.masked_fill_(ranking == LOG_ZERO, LOG_ZERO)
        self._extend(pruned, grown, before.link, log_prob, t)
        return pruned, grown, torch.where(grown, origin, choice.clamp(max=count - 1)), label

    def _extend(self, beam: Beam, grown: Tensor, links: Tensor, log_prob: Tensor, t: int) -> None:
        """Set node and link of the extended slots."""
        nodes, first_link = [], len(self.links)
        lm, hotwords = self.options.lm, self.options.hotwords
        columns = (beam.parent, links, beam.last, log_prob)
        for node, link, label, value in zip(*(c[grown].tolist() for c in columns), strict=True):
            if (node, label) not in self.children:
                self.children[node, label] = len(self.lm_states)
                self.lm_states.append(lm.advance(self.lm_states[node], label) if lm else ())
                hot = self.hot_states[node]
                self.hot_states.append(hotwords.advance(hot, label) if hotwords else hot)
            nodes.append(self.children[node, label])
            self.links.append((link, label, t, value))
        beam.node[grown] = torch.tensor(nodes, dtype=torch.long, device=self.device)
        beam.link[grown] = torch.arange(first_link, len(self.links), device=self.device)

    def ranked(self, beam: Beam) -> list[list[SearchResult]]:
        """Return the hypotheses of each utterance, best first."""
        options, ranked = self.options, []
        lm, hotwords = options.lm, options.hotwords
        slots = zip(
            beam.score.tolist(), beam.extra.tolist(), beam.node.tolist(), beam.link.tolist(), strict=True
        )
        for utterance in slots:
            results = []
            for score, extra, node, link in zip(*utterance, strict=True):
                if score > LOG_ZERO:
                    result = self._result(link, score)
                    result.extra = extra
                    if lm:
                        result.extra += options.lm_weight * float(lm.scores(self.lm_states[node])[0])
                    if hotwords:
                        result.extra += hotwords.end(self.hot_states[node])
                    results.append(result)
            ranked.append(sorted(results, key=lambda result: -options.rank(result)))
        return ranked

    def _result(self, link: int, score: float) -> SearchResult:
        """Follow the links back to the empty text."""
        steps = []
        while link > 0:
            link, *step = self.links[link]
            steps.append(step)
        labels, frames, log_probs = ([step[i] for step in reversed(steps)] for i in range(3))
        return SearchResult(labels, frames, log_probs, score)


def same_pairs(mine: Tensor, theirs: Tensor, mask: Tensor, their_mask: Tensor) -> Bool[Tensor, "batch K K"]:
    """Return where slot i of ``mine`` equals slot j of ``theirs`` and both masks hold."""
    same = mine[:, :, None] == theirs[:, None]
    return same & mask[:, :, None] & their_mask[:, None]


def merge(beam: Beam, pairs: Bool[Tensor, "batch K K"]) -> Beam:
    """Merge slot j into slot i and empty it, for all ``pairs`` (i, j); keep the more probable one's link."""
    theirs, slot = torch.where(pairs, beam.score[:, None], LOG_ZERO).max(2)
    link = torch.where(theirs > beam.score, beam.link.gather(1, slot), beam.link)
    score = torch.logaddexp(beam.score, theirs).masked_fill(pairs.any(1), LOG_ZERO)
    return replace(beam, score=score, link=link)
