"""Beam search for RNN-T and CTC: several texts kept side by side, whole batches at once.

Both searches walk through the frames with all utterances together. A text may be reached
along several alignments; where two of them meet, their probabilities are added
(hypothesis merging), so that the scores of a beam that is wide enough are those of the
labellings and not of single paths. With ``beam_width`` 1 there is nothing to merge, and
both are exactly greedy search.

A language model over the same labels (``lm.NGram``) may have its say at every label
(shallow fusion). Texts are then compared by

    ln P(labels | audio) + lm_weight · ln P_lm(labels) + label_bonus · (number of labels)

and at the end, where the language model adds how probable it is that the text ends here,
by that sum divided by labels + 1 (``norm_score``). Lesson 11.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from asrlib.decoding.greedy import Path, map_state, start_of_text
from asrlib.errors import InputError
from asrlib.models.transducer import Transducer
from asrlib.text.ngram import NGram

NEVER = -torch.inf  # ln 0, the score of an empty slot


@dataclass(frozen=True)
class BeamOptions:
    """How wide to search and how to compare texts; ``lm_weight`` does nothing without ``lm``."""

    beam_width: int = 5
    norm_score: bool = True
    lm: NGram | None = None
    lm_weight: float = 0.3
    label_bonus: float = 0.0

    def __post_init__(self):
        if self.beam_width < 1:
            raise InputError(f"beam_width is {self.beam_width}; a beam holds at least one hypothesis")


@torch.no_grad()
def beam_rnnt(
    model: Transducer,
    encoder_out: Float[Tensor, "batch T D_enc"],
    lengths: Int[Tensor, "batch"],
    options: BeamOptions = BeamOptions(),
    max_symbols: int = 5,
) -> list[list[Path]]:
    """The best texts of each utterance, at most ``beam_width``, best first; ``Path.score`` is
    the transducer's ln P(labels), and the frames are those of the best alignment found.

    At frame t a hypothesis either takes blank and then waits for frame t + 1, or takes a
    label and goes on at t. Of all continuations of those that go on, and those that wait
    already, the best ``beam_width`` are kept, until all wait (Graves 2012, algorithm 1,
    with one beam in place of his two sets). At most half of the beam, rounded up, goes on: else
    a label that repeats itself with a probability near 1 would push out all that wait.
    Of a single hypothesis the most probable continuation is kept, which is ``greedy_rnnt``.
    """
    batch, width, device = encoder_out.shape[0], options.beam_width, encoder_out.device
    texts = _Texts(batch, options, model.blank, device)
    beam = texts.first_beam()
    projected = model.joint.encoder_linear(encoder_out)
    spoken, state = start_of_text(model, batch, device)
    # the prediction network's output and state for every slot
    predicted = model.joint.prediction_linear(spoken).repeat_interleave(width, 0)
    state = map_state(lambda s: s.repeat_interleave(width, 1), state)
    first_slot = width * torch.arange(batch, device=device)[:, None]
    for t in range(int(lengths.max()) if batch else 0):
        going = (beam.score > NEVER) & (lengths > t)[:, None]
        for symbols in range(max_symbols + 1):
            rows = going.flatten().nonzero()[:, 0]
            if not len(rows):
                break
            scores = model.joint.scores(projected[rows // width, t], predicted[rows])
            log_probs = scores.float().log_softmax(-1)
            waiting = _take_blank(beam, going, rows, log_probs[:, model.blank])
            growth = _best_labels(beam, texts, rows, log_probs, symbols < max_symbols)
            beam, going, source, label = texts.prune(waiting, beam, growth, t, (width + 1) // 2)
            moved = (source + first_slot).flatten()
            predicted, state = predicted[moved], map_state(lambda s, moved=moved: s[:, moved], state)
            new = going.flatten().nonzero()[:, 0]
            if len(new):
                before = map_state(lambda s, new=new: s[:, new], state)
                spoken, after = model.prediction.step(label.flatten()[new], before)
                predicted[new] = model.joint.prediction_linear(spoken)
                state = map_state(lambda s, a, new=new: s.index_copy(1, new, a), state, after)
    return texts.ranked(beam)


@torch.no_grad()
def beam_ctc(
    log_probs: Float[Tensor, "batch T V"],
    lengths: Int[Tensor, "batch"],
    options: BeamOptions = BeamOptions(),
    blank: int = 0,
) -> list[list[Path]]:
    """Prefix beam search (Graves 2006, section 3.2; Hannun et al. 2014, algorithm 1): the best
    texts of each utterance, best first, with ln P(labels) summed over the alignments kept.

    A prefix that ends in blank and the same prefix that ends in its last label go on
    differently: only after a blank does the same label again count as a new one. Each of the
    two is a hypothesis of its own here, where many implementations keep both in one slot:
    that way ``beam_width`` 1 is ``greedy_ctc``.
    """
    texts = _Texts(len(lengths), options, blank, log_probs.device)
    beam = texts.first_beam()
    for t in range(int(lengths.max()) if len(lengths) else 0):
        stays, growth = _ctc_frame(beam, texts, log_probs[:, t].float(), t)
        after = texts.prune(stays, beam, growth, t, options.beam_width)[0]
        beam = beam.where(t >= lengths[:, None], after)
    alive = beam.score > NEVER
    beam = _merge(beam, _pairs(beam.node, beam.node, alive & beam.ended, alive & ~beam.ended))
    return texts.ranked(beam)


@dataclass
class _Beam:
    """The slots of every utterance. ``extra`` is what language model and bonus add to ``score``;
    ``node`` and ``link`` say which text it is and how it was reached (``_Texts``). For
    CTC also: does it end in blank, its last label, and the node of the text without that.
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
        return self.score + self.extra

    def select(self, source: Int[Tensor, "batch K"]) -> _Beam:
        return _Beam(**{name: values.gather(1, source) for name, values in vars(self).items()})

    def where(self, condition: Tensor, other: _Beam) -> _Beam:
        """This beam's slots where ``condition`` holds, elsewhere the other's."""
        theirs = vars(other)
        return _Beam(**{n: torch.where(condition, mine, theirs[n]) for n, mine in vars(self).items()})

    def beside(self, other: _Beam) -> _Beam:
        theirs = vars(other)
        return _Beam(**{n: torch.cat([mine, theirs[n]], dim=1) for n, mine in vars(self).items()})


class _Growth(NamedTuple):
    """What each slot may say next: O labels, with their own log-probability, and the
    ``score`` and ``extra`` of the text that they make.
    """

    label: Int[Tensor, "batch K O"]
    log_prob: Float[Tensor, "batch K O"]
    score: Float[Tensor, "batch K O"]
    extra: Float[Tensor, "batch K O"]


class _Texts:
    """All texts met so far, as the nodes of a trie: equal texts are equal numbers.

    A link is one way to a text: the link before, the label, its frame and log-probability.
    """

    def __init__(self, batch: int, options: BeamOptions, blank: int, device: torch.device):
        self.options, self.blank, self.device = options, blank, device
        self.children: dict[tuple[int, int], int] = {}
        self.lm_states = [options.lm.start() if options.lm else ()] * batch
        self.links: list[tuple[int, int, int, float]] = [(-1, blank, -1, 0.0)]

    def first_beam(self) -> _Beam:
        """One empty text for each utterance; the other slots empty."""
        batch, width = len(self.lm_states), self.options.beam_width
        score = torch.full((batch, width), NEVER, device=self.device)
        score[:, 0] = 0
        zero = torch.zeros(batch, width, dtype=torch.long, device=self.device)
        node = zero + torch.arange(batch, device=self.device)[:, None]
        return _Beam(score, zero.float(), node, zero, zero == 0, zero + self.blank, zero - 1)

    def gains(self, nodes: Int[Tensor, "n"], V: int) -> Float[Tensor, "n V"]:
        """What language model and bonus add for each label said next."""
        lm, bonus = self.options.lm, self.options.label_bonus
        if lm is None:
            return torch.full((1, 1), bonus, device=self.device).expand(len(nodes), V)
        rows = [lm.scores(self.lm_states[node]) for node in nodes.tolist()]
        return bonus + self.options.lm_weight * torch.stack(rows).to(self.device)

    def prune(
        self, stays: _Beam, beam: _Beam, growth: _Growth, t: int, most: int
    ) -> tuple[_Beam, Tensor, Tensor, Tensor]:
        """The best of the texts that stay as they are and of ``beam``'s grown by a label at
        frame ``t``, of which there are ``most`` at most. Also for each slot, (batch, K): has
        it grown, from which slot does it come, and its new label.
        """
        count, options = stays.score.shape[1], growth.label.shape[2]
        best, option = (growth.score + growth.extra).flatten(1).topk(most)
        ranking, choice = torch.cat([stays.total, best], dim=1).topk(self.options.beam_width)
        grown = (choice >= count) & (ranking > NEVER)
        option = option.gather(1, (choice - count).clamp(min=0))
        origin = option // options
        before = beam.select(origin)
        label, log_prob, score, extra = (values.flatten(1).gather(1, option) for values in growth)
        after = replace(
            before, score=score, extra=extra, ended=torch.zeros_like(grown), last=label, parent=before.node
        )
        pruned = after.where(grown, stays.select(choice.clamp(max=count - 1)))
        pruned.score.masked_fill_(ranking == NEVER, NEVER)
        self._extend(pruned, grown, before.link, log_prob, t)
        return pruned, grown, torch.where(grown, origin, choice.clamp(max=count - 1)), label

    def _extend(self, beam: _Beam, grown: Tensor, links: Tensor, log_prob: Tensor, t: int) -> None:
        """Node and link of the slots that have grown."""
        nodes, first_link, lm = [], len(self.links), self.options.lm
        columns = (beam.parent, links, beam.last, log_prob)
        for node, link, label, value in zip(*(c[grown].tolist() for c in columns), strict=True):
            if (node, label) not in self.children:
                self.children[node, label] = len(self.lm_states)
                self.lm_states.append(lm.advance(self.lm_states[node], label) if lm else ())
            nodes.append(self.children[node, label])
            self.links.append((link, label, t, value))
        beam.node[grown] = torch.tensor(nodes, dtype=torch.long, device=self.device)
        beam.link[grown] = torch.arange(first_link, len(self.links), device=self.device)

    def ranked(self, beam: _Beam) -> list[list[Path]]:
        """The texts of each utterance, the best first."""
        lm, options, found = self.options.lm, self.options, []
        slots = zip(
            beam.score.tolist(), beam.extra.tolist(), beam.node.tolist(), beam.link.tolist(), strict=True
        )
        for utterance in slots:
            keyed = []
            for score, extra, node, link in zip(*utterance, strict=True):
                if score > NEVER:
                    path = self._path(link, score)
                    if lm:
                        extra += options.lm_weight * float(lm.scores(self.lm_states[node])[0])
                    length = len(path.labels) + 1 if options.norm_score else 1
                    keyed.append(((score + extra) / length, path))
            found.append([path for _, path in sorted(keyed, key=lambda pair: -pair[0])])
        return found

    def _path(self, link: int, score: float) -> Path:
        steps = []
        while link > 0:
            link, *step = self.links[link]
            steps.append(step)
        labels, frames, log_probs = ([step[i] for step in reversed(steps)] for i in range(3))
        return Path(labels, frames, log_probs, score)


def _take_blank(beam: _Beam, going: Tensor, rows: Tensor, blank: Tensor) -> _Beam:
    """The slots in ``going`` after a blank, merged with the same texts that wait already."""
    score = beam.score.flatten().index_add(0, rows, blank).view_as(beam.score)
    waiting = ~going & (beam.score > NEVER)
    return _merge(replace(beam, score=score), _pairs(beam.node, beam.node, waiting, going))


def _best_labels(
    beam: _Beam, texts: _Texts, rows: Tensor, log_probs: Float[Tensor, "n V"], may_emit: bool
) -> _Growth:
    """The labels of each slot in ``rows`` that can be among the beam's best: its own best ones."""
    (batch, width), V = beam.score.shape, log_probs.shape[1]
    options = min(width, V - 1)
    label = torch.zeros(batch * width, options, dtype=torch.long, device=log_probs.device)
    log_prob, extra = (torch.zeros_like(label, dtype=torch.float32) for _ in range(2))
    score = torch.full_like(log_prob, NEVER)
    if may_emit:
        gains = texts.gains(beam.node.flatten()[rows], V)
        by_label = log_probs + gains
        by_label[:, texts.blank] = NEVER
        best = by_label.topk(options).indices
        label[rows], log_prob[rows] = best, log_probs.gather(1, best)
        extra[rows] = beam.extra.flatten()[rows, None] + gains.gather(1, best)
        score[rows] = beam.score.flatten()[rows, None] + log_prob[rows]
    return _Growth(*(values.view(batch, width, options) for values in (label, log_prob, score, extra)))


def _ctc_frame(
    beam: _Beam, texts: _Texts, log_probs: Float[Tensor, "batch V"], t: int
) -> tuple[_Beam, _Growth]:
    """What can follow each slot: to stay, by blank (the first K slots returned) or by its last
    label again (the other K), or to grow. Ways that end in the same state are merged.
    """
    (batch, width), V, blank = beam.score.shape, log_probs.shape[1], texts.blank
    alive = beam.score > NEVER
    twins = _pairs(beam.node, beam.node, alive & beam.ended, alive & ~beam.ended)
    blanked = replace(beam, score=beam.score + log_probs[:, blank, None], ended=torch.ones_like(beam.ended))
    blanked = _merge(blanked, twins)

    # a label that is not the last one follows both twins alike: it is counted at the better of them
    twin = torch.where(twins | twins.mT, beam.score[:, None], NEVER).amax(2)
    first = (beam.score > twin) | ((beam.score == twin) & beam.ended)
    score = torch.where(first, torch.logaddexp(beam.score, twin), NEVER)[..., None] + log_probs[:, None]
    repeat = beam.score + log_probs.gather(1, beam.last)
    score.scatter_(2, beam.last[..., None], repeat.masked_fill(~beam.ended, NEVER)[..., None])
    score[..., blank] = NEVER

    again = replace(beam, score=repeat.masked_fill(beam.ended, NEVER), link=beam.link.clone())
    grows_into = _pairs(beam.node, beam.parent, alive, alive & ~beam.ended)
    reached = score.gather(2, beam.last[:, None].expand(batch, width, width))
    arriving, origin = torch.where(grows_into, reached, NEVER).max(1)
    utterance, source, target = grows_into.nonzero(as_tuple=True)
    score[utterance, source, beam.last[utterance, target]] = NEVER
    for b, k in (arriving > again.score).nonzero().tolist():
        label = int(beam.last[b, k])
        texts.links.append((int(beam.link[b, origin[b, k]]), label, t, float(log_probs[b, label])))
        again.link[b, k] = len(texts.links) - 1
    again = replace(again, score=torch.logaddexp(again.score, arriving))

    label = torch.arange(V, device=score.device).expand(batch, width, V)
    extra = beam.extra[..., None] + texts.gains(beam.node.flatten(), V).view(batch, width, V)
    return blanked.beside(again), _Growth(label, log_probs[:, None].expand(batch, width, V), score, extra)


def _pairs(mine: Tensor, theirs: Tensor, mask: Tensor, their_mask: Tensor) -> Bool[Tensor, "batch K K"]:
    """Where the numbers in slots i and j are the same, and both masks hold."""
    same = mine[:, :, None] == theirs[:, None]
    return same & mask[:, :, None] & their_mask[:, None]


def _merge(beam: _Beam, pairs: Bool[Tensor, "batch K K"]) -> _Beam:
    """Slot j added to slot i and emptied, for all pairs (i, j); the link is the more probable one's."""
    theirs, slot = torch.where(pairs, beam.score[:, None], NEVER).max(2)
    link = torch.where(theirs > beam.score, beam.link.gather(1, slot), beam.link)
    score = torch.logaddexp(beam.score, theirs).masked_fill(pairs.any(1), NEVER)
    return replace(beam, score=score, link=link)
