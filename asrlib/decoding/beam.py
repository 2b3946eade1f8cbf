"""Beam search for RNN-T and CTC: several texts kept side by side, whole batches at once.

Both searches walk through the frames with all utterances together. A text may be reached
along several alignments; where two of them meet, their probabilities are added
(hypothesis merging), so that the scores of a beam that is wide enough are those of the
labellings and not of single paths. With ``beam_width`` 1 there is nothing to merge, and
both are exactly greedy search.

A language model over the same labels (``text.ngram.NGram``) may add its score at every label
(shallow fusion). Texts are then compared by

    ln P(labels | audio) + lm_weight · ln P_lm(labels) + label_bonus · (number of labels)

and at the end, where the language model adds how probable it is that the text ends here,
by that sum divided by labels + 1 (``norm_score``). Lesson 11.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from asrlib.config.schema import DecodingConfig
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
    """Return the best texts of each utterance, at most ``beam_width`` of them, best first.

    A result's score is the transducer's ln P(labels); its frames are those of the best alignment found.

    At frame t a hypothesis either takes blank and then waits for frame t + 1, or takes a
    label and goes on at t. Of all continuations of those that go on, and those that wait
    already, the best ``beam_width`` are kept, until all wait (Graves 2012, algorithm 1,
    with one beam in place of his two sets). At most half of the beam, rounded up, goes on: else
    a label that repeats itself with a probability near 1 would push out all that wait.
    Of a single hypothesis the most probable continuation is kept, which is ``greedy_rnnt``.
    """
    batch, width, device = encoder_out.shape[0], options.beam_width, encoder_out.device
    tree = PrefixTree(batch, options, model.blank, device)
    beam = tree.first_beam()
    projected = model.joint.encoder_linear(encoder_out)
    prediction_out, state = start_of_text(model, batch, device)
    # the prediction network's output and state for every slot
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
    """Return the best texts of each utterance, best first, by prefix beam search.

    A result's score is ln P(labels), summed over the alignments kept (Graves 2006, section 3.2;
    Hannun et al. 2014, algorithm 1).

    A prefix that ends in blank and the same prefix that ends in its last label go on
    differently: only after a blank does the same label again count as a new one. Each of the
    two is a hypothesis of its own here, where many implementations keep both in one slot:
    that way ``beam_width`` 1 is ``greedy_ctc``.
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
    """Let the slots in ``going`` take a blank, and merge them with the same texts that wait already."""
    score = beam.score.flatten().index_add(0, rows, blank).view_as(beam.score)
    waiting = ~going & (beam.score > LOG_ZERO)
    return merge(replace(beam, score=score), same_pairs(beam.node, beam.node, waiting, going))


def _best_labels(
    beam: Beam, tree: PrefixTree, rows: Tensor, log_probs: Float[Tensor, "n V"], may_emit: bool
) -> Growth:
    """Return those labels of each slot in ``rows`` that can be among the beam's best: its own best ones."""
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
    """Return what can follow each slot at frame ``t``.

    It stays, by blank (the first K slots returned) or by its last label again (the other K), or it
    grows by a label. Ways that end in the same state are merged.
    """
    (batch, width), V, blank = beam.score.shape, log_probs.shape[1], tree.blank
    alive = beam.score > LOG_ZERO
    twins = same_pairs(beam.node, beam.node, alive & beam.ended, alive & ~beam.ended)
    blanked = replace(beam, score=beam.score + log_probs[:, blank, None], ended=torch.ones_like(beam.ended))
    blanked = merge(blanked, twins)

    # a label that is not the last one follows both twins alike: it is counted at the better of them
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
