"""A second pass: score the texts that beam search found again, as wholes, with both heads.

``beam_ctc`` goes frame by frame and follows one head. It averages networks that may emit the same label at
different frames. Once there is a list of texts, each can be scored by the sum over all of its alignments,

    (1 - w) · ln P_CTC(labels | audio) + w · ln P_RNN-T(labels | audio)

and these scores are averaged over the networks and frequency warps, wherever each of them hears a label. Two
passes with an attention decoder as the second: Sainath et al. 2019; such a decoder's score combined with that
of CTC: Watanabe et al. 2017. Lesson 11.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from asrlib.decoding.hypothesis import SearchResult
from asrlib.decoding.prefix_tree import BeamOptions
from asrlib.losses.ctc import ctc_loss
from asrlib.models.transducer import Transducer


@torch.no_grad()
def second_pass(
    views: Sequence[tuple[Transducer, Float[Tensor, "batch T D_enc"]]],
    lengths: Int[Tensor, "batch"],
    ranked: Sequence[Sequence[SearchResult]],
    weight: float,
    options: BeamOptions,
) -> list[list[SearchResult]]:
    """Return the N-best list of each utterance in its new order, best first, with the new scores.

    ``views`` are networks with their encoder outputs, and ``lengths`` are in encoder frames. ``ranked`` is
    what a beam search with the same ``options`` returned: a language model and bonuses add what they added
    there. ``weight`` is the transducer's, between 0 (CTC) and 1. Frames and probabilities of the labels stay
    those of the first pass.
    """
    found = []
    for index, (results, frames) in enumerate(zip(ranked, lengths.tolist(), strict=True)):
        if not results:  # of log-probabilities that are NaN
            found.append([])
            continue
        texts = [result.labels for result in results]
        each = [text_scores(model, heard[index, :frames], texts, weight) for model, heard in views]
        scores = torch.stack(each).mean(0).tolist()
        scored = [replace(result, score=score) for result, score in zip(results, scores, strict=True)]
        found.append(sorted(scored, key=options.rank, reverse=True))
    return found


@torch.no_grad()
def text_scores(
    model: Transducer, encoder_out: Float[Tensor, "T D_enc"], texts: Sequence[Sequence[int]], weight: float
) -> Float[Tensor, "N"]:
    """Return the weighted mean of the two heads' ln P of each text, given one utterance. -inf: impossible.

    A head whose weight is 0 is not run.
    """
    device, number = encoder_out.device, len(texts)
    targets = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(text, dtype=torch.long, device=device) for text in texts], batch_first=True
    )
    labels = torch.tensor([len(text) for text in texts], device=device)
    frames = torch.full((number,), len(encoder_out), device=device)
    scores = encoder_out.new_zeros(number, dtype=torch.float32)
    if weight < 1:
        log_probs = model.ctc_head(encoder_out).float().log_softmax(-1)[:, None].expand(-1, number, -1)
        ctc = ctc_loss(log_probs, targets, frames, labels, blank=model.blank, reduction="none")
        scores -= (1 - weight) * ctc
    if weight > 0:
        sides = encoder_out.expand(number, -1, -1), model.prediction(targets)
        scores -= weight * model.joint.loss(*sides, targets, frames, labels, model.blank, reduction="none")
    return scores
