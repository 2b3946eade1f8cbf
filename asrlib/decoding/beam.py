"""Batched beam search for RNN-T and CTC.

Both searches advance all utterances of a batch together, frame by frame. Several alignments can
produce the same labels. When two of them meet, their probabilities are added (hypothesis merging), so
a wide enough beam scores label sequences and not single alignments. With ``beam_width`` 1 there is
nothing to merge, and both searches equal greedy search.

A language model over the same labels (``text.ngram.NGram``, or a sum of ``internal``) can add its score at
every label (shallow fusion). Hypotheses are compared by

    ln P(labels | audio) + lm_weight · ln P_lm(labels) + label_bonus · (number of labels)

and ``hotwords`` (``decoding.hotwords``) can add a bonus for every label of a given phrase. For the final
ranking, the language model also adds its log-probability that the text ends here, and ``norm_score`` divides
the sum by the number of labels + 1. Lesson 11.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from asrlib.config.decoding import DecodingConfig
from asrlib.decoding.greedy import map_state, start_of_text
from asrlib.decoding.hypothesis import SearchResult
from asrlib.decoding.prefix_tree import LOG_ZERO, Beam, BeamOptions, Growth, PrefixTree, merge, same_pairs
from asrlib.models.transducer import Transducer

__all__ = ["BeamOptions", "beam_ctc", "beam_rnnt"]
_DEFAULTS = BeamOptions()


@torch.no_grad()
def beam_rnnt(
    model: Transducer,
    encoder_out: Float[Tensor, "batch T D_enc"],
    lengths: Int[Tensor, "batch"],
    options: BeamOptions = _DEFAULTS,
    max_symbols: int = DecodingConfig.max_symbols,
) -> list[list[SearchResult]]:
    """Return the N-best list of each utterance: at most ``beam_width`` hypotheses, best first.

    ``lengths`` are in encoder frames; ``max_symbols`` bounds the labels that a hypothesis may emit at one
    frame. A result's ``score`` is the transducer's ln P(labels | audio) over the alignments kept; its
    ``frames`` are those of the best alignment found.

    At frame t, a hypothesis either takes blank and waits for frame t + 1, or takes a label and stays
    active at t. The search keeps the best ``beam_width`` of the waiting hypotheses and the continuations
    of the active ones, until all hypotheses wait (Graves 2012, algorithm 1, with one beam in place of his
    two sets). At most half of the beam, rounded up, stays active. Otherwise a label that repeats with a
    probability near 1 would push out every waiting hypothesis. A beam of one keeps the most probable
    continuation, as ``greedy_rnnt`` does.
    """
    batch, width, device = encoder_out.shape[0], options.beam_width, encoder_out.device
    tree = PrefixTree(batch, options, model.blank, device)
    beam = tree.first_beam()
    projected = model.joint.encoder_linear(encoder_out)
    prediction_out, state = start_of_text(model, batch, device)
    predicted = model.joint.prediction_linear(prediction_out).repeat_interleave(width, 0)
    state = map_state(lambda s: s.repeat_interleave(width, 1), state)
    first_slot = width * torch.arange(batch, device=device)[:, None]
    for t in range(int(lengths.max()) if batch else 0):
        going = (beam.score > LOG_ZERO) & (lengths > t)[:, None]
        for symbols in range(max_symbols + 1):
            rows = going.flatten().nonzero()[:, 0]
            if not len(rows):
                break
            scores = model.joint.scores(projected[rows // width, t], predicted[rows])
            log_probs = scores.float().log_softmax(-1)
            waiting = _take_blank(beam, going, rows, log_probs[:, model.blank])
            growth = _best_labels(beam, tree, rows, log_probs, symbols < max_symbols)
            beam, going, source, label = tree.prune(waiting, beam, growth, t, (width + 1) // 2)
            moved = (source + first_slot).flatten()
            predicted, state = predicted[moved], map_state(lambda s, moved=moved: s[:, moved], state)
            new = going.flatten().nonzero()[:, 0]
            if len(new):
                before = map_state(lambda s, new=new: s[:, new], state)
                prediction_out, after = model.prediction.step(label.flatten()[new], before)
                predicted[new] = model.joint.prediction_linear(prediction_out)
                state = map_state(lambda s, a, new=new: s.index_copy(1, new, a), state, after)
    return tree.ranked(beam)


@torch.no_grad()
def beam_ctc(
    log_probs: Float[Tensor, "batch T V"],
    lengths: Int[Tensor, "batch"],
    options: BeamOptions = _DEFAULTS,
    blank: int = 0,
) -> list[list[SearchResult]]:
    """Return the N-best list of each utterance, best first, by CTC prefix beam search.

    ``log_probs`` are natural logs; ``lengths`` are in encoder frames. A result's ``score`` is
    ln P(labels | audio), summed over the alignments kept (Graves et al. 2006, section 3.2; Hannun et
    al. 2014, algorithm 1).

    A prefix whose alignment ends in blank and the same prefix ending in its last label continue
    differently: only after a blank does a repeated label count as a new one. Many implementations keep
    both in one slot. Here each is a hypothesis of its own, so that ``beam_width`` 1 equals ``greedy_ctc``.
    """
    tree = PrefixTree(len(lengths), options, blank, log_probs.device)
    beam = tree.first_beam()
    for t in range(int(lengths.max()) if len(lengths) else 0):
        stays, growth = _ctc_frame(beam, tree, log_probs[:, t].float(), t)
        after = tree.prune(stays, beam, growth, t, options.beam_width)[0]
        beam = beam.where(t >= lengths[:, None], after)
    alive = beam.score > LOG_ZERO
    beam = merge(beam, same_pairs(beam.node, beam.node, alive & beam.ended, alive & ~beam.ended))
    return tree.ranked(beam)


def _take_blank(beam: Beam, going: Tensor, rows: Tensor, blank: Tensor) -> Beam:
    """Let the slots in ``going`` take blank, then merge them into waiting slots with the same text."""
    score = beam.score.flatten().index_add(0, rows, blank).view_as(beam.score)
    waiting = ~going & (beam.score > LOG_ZERO)
    return merge(replace(beam, score=score), same_pairs(beam.node, beam.node, waiting, going))


def _best_labels(
    beam: Beam, tree: PrefixTree, rows: Tensor, log_probs: Float[Tensor, "n V"], may_emit: bool
) -> Growth:
    """Return the best labels of each slot in ``rows``; no others can enter the beam."""
    (batch, width), V = beam.score.shape, log_probs.shape[1]
    options = min(width, V - 1)
    label = torch.zeros(batch * width, options, dtype=torch.long, device=log_probs.device)
    log_prob, extra = (torch.zeros_like(label, dtype=torch.float32) for _ in range(2))
    score = torch.full_like(log_prob, LOG_ZERO)
    if may_emit:
        gains = tree.gains(beam.node.flatten()[rows], V)
        by_label = log_probs + gains
        by_label[:, tree.blank] = LOG_ZERO
        best = by_label.topk(options).indices
        label[rows], log_prob[rows] = best, log_probs.gather(1, best)
        extra[rows] = beam.extra.flatten()[rows, None] + gains.gather(1, best)
        score[rows] = beam.score.flatten()[rows, None] + log_prob[rows]
    return Growth(*(values.view(batch, width, options) for values in (label, log_prob, score, extra)))


def _ctc_frame(
    beam: Beam, tree: PrefixTree, log_probs: Float[Tensor, "batch V"], t: int
) -> tuple[Beam, Growth]:
    """Return the continuations of each slot at frame ``t``.

    A slot keeps its text by taking blank (the first K slots returned) or by repeating its last label
    (the other K), or it grows by a label. Paths that end in the same state are merged.
    """
    (batch, width), V, blank = beam.score.shape, log_probs.shape[1], tree.blank
    alive = beam.score > LOG_ZERO
    twins = same_pairs(beam.node, beam.node, alive & beam.ended, alive & ~beam.ended)
    blanked = replace(beam, score=beam.score + log_probs[:, blank, None], ended=torch.ones_like(beam.ended))
    blanked = merge(blanked, twins)

    # a label other than the last continues both twins alike, so only the better twin proposes it
    twin = torch.where(twins | twins.mT, beam.score[:, None], LOG_ZERO).amax(2)
    first = (beam.score > twin) | ((beam.score == twin) & beam.ended)
    score = torch.where(first, torch.logaddexp(beam.score, twin), LOG_ZERO)[..., None] + log_probs[:, None]
    repeat = beam.score + log_probs.gather(1, beam.last)
    score.scatter_(2, beam.last[..., None], repeat.masked_fill(~beam.ended, LOG_ZERO)[..., None])
    score[..., blank] = LOG_ZERO

    again = replace(beam, score=repeat.masked_fill(beam.ended, LOG_ZERO), link=beam.link.clone())
    grows_into = same_pairs(beam.node, beam.parent, alive, alive & ~beam.ended)
    reached = score.gather(2, beam.last[:, None].expand(batch, width, width))
    arriving, origin = torch.where(grows_into, reached, LOG_ZERO).max(1)
    utterance, source, target = grows_into.nonzero(as_tuple=True)
    score[utterance, source, beam.last[utterance, target]] = LOG_ZERO
    for b, k in (arriving > again.score).nonzero().tolist():
        label = int(beam.last[b, k])
        tree.links.append((int(beam.link[b, origin[b, k]]), label, t, float(log_probs[b, label])))
        again.link[b, k] = len(tree.links) - 1
    again = replace(again, score=torch.logaddexp(again.score, arriving))

    label = torch.arange(V, device=score.device).expand(batch, width, V)
    extra = beam.extra[..., None] + tree.gains(beam.node.flatten(), V).view(batch, width, V)
    return blanked.beside(again), Growth(label, log_probs[:, None].expand(batch, width, V), score, extra)
