"""Batched greedy search for CTC and RNN-T.

See ``beam`` for searches that keep several hypotheses. Lesson 11.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from asrlib.config.decoding import DecodingConfig
from asrlib.decoding.hypothesis import SearchResult
from asrlib.models.prediction import State
from asrlib.models.transducer import Transducer


def greedy_ctc(
    log_probs: Float[Tensor, "batch T V"], lengths: Int[Tensor, "batch"], blank: int = 0
) -> list[SearchResult]:
    """Take the best label of each frame, merge repeats and drop blanks (Graves et al. 2006, section 3.2).

    ``log_probs`` are natural logs; ``lengths`` are in frames. A label's frame is the first of its run,
    and a result's ``score`` is the log-probability of the best alignment.
    """
    best, label = log_probs.max(-1)
    rows = zip(best.tolist(), label.tolist(), lengths.tolist(), strict=True)
    return [
        collapse_frames(scores[:length], labels[:length], blank, blank) for scores, labels, length in rows
    ]


def collapse_frames(scores: list[float], labels: list[int], previous: int, blank: int) -> SearchResult:
    """Merge repeats and drop blanks in a sequence of one label per frame.

    ``scores`` are the labels' log-probabilities. ``previous`` is the label of the frame before the first.
    """
    result = SearchResult(score=sum(scores, 0.0))
    for t, (score, label) in enumerate(zip(scores, labels, strict=True)):
        if label != blank and label != previous:
            result.emit(label, t, score)
        previous = label
    return result


@torch.no_grad()
def greedy_rnnt(
    model: Transducer,
    encoder_out: Float[Tensor, "batch T D_enc"],
    lengths: Int[Tensor, "batch"],
    max_symbols: int = DecodingConfig.max_symbols,
    window: int | None = None,
) -> list[SearchResult]:
    """Take the best label at every (t, u): blank advances to the next frame, any other label is emitted.

    ``lengths`` are in encoder frames. ``max_symbols`` bounds the labels emitted at one frame; without a
    bound, an untrained network might never leave it.

    The utterances of the batch advance in parallel, each at its own pace. The prediction network changes
    only when a label is emitted, so the joint network is evaluated for ``window`` frames at once, and each
    utterance jumps to its next label. By default the window is 16 frames divided by the number of
    unfinished utterances, between 1 and 8: in a large batch, looking ahead costs more than it saves.
    """
    prediction = start_of_text(model, encoder_out.shape[0], encoder_out.device)
    return resume_greedy_rnnt(model, encoder_out, lengths, prediction, max_symbols, window)[0]


def start_of_text(model: Transducer, batch: int, device: torch.device | str = "cpu") -> tuple[Tensor, State]:
    """Return the prediction network's output before the first label, (batch, D_pred), and its state."""
    return model.prediction.step(torch.full((batch,), model.blank, device=device))


@torch.no_grad()
def resume_greedy_rnnt(
    model: Transducer,
    encoder_out: Float[Tensor, "batch T D_enc"],
    lengths: Int[Tensor, "batch"],
    prediction: tuple[Tensor, State],
    max_symbols: int = DecodingConfig.max_symbols,
    window: int | None = None,
) -> tuple[list[SearchResult], tuple[Tensor, State]]:
    """Continue ``greedy_rnnt`` on the frames that follow.

    ``prediction`` is the prediction network's output, (batch, D_pred), and state after the labels so
    far. Returns the results for the new frames, numbered from 0, and ``prediction`` after the new labels.
    """
    batch, frames, _ = encoder_out.shape
    joint, blank, device = model.joint, model.blank, encoder_out.device
    projected = joint.encoder_linear(encoder_out)
    prediction_out, state = prediction[0].clone(), prediction[1]
    predicted = joint.prediction_linear(prediction_out).clone()  # the layer may be the identity
    time, emitted_here = (torch.zeros(batch, dtype=torch.long, device=device) for _ in range(2))
    results = [SearchResult() for _ in range(batch)]
    while len(rows := (time < lengths).nonzero()[:, 0]):
        ahead = window or max(1, min(8, 16 // len(rows)))
        offsets = torch.arange(ahead, device=device)
        position = time[rows, None] + offsets
        valid = position < lengths[rows, None]
        hidden = projected[rows[:, None], position.clamp(max=frames - 1)]
        scores = joint.scores(hidden, predicted[rows, None]).float().log_softmax(-1)
        best, label = scores.max(-1)
        stops = (label != blank) & valid
        stops[:, 0] &= emitted_here[rows] < max_symbols  # at the limit, blank is taken
        emits = stops.any(1)
        jump = torch.where(emits, stops.int().argmax(1), valid.sum(1))
        blanks = (scores[..., blank] * (valid & (offsets < jump[:, None]))).sum(1)
        reached = jump.clamp(max=ahead - 1)[:, None]
        chosen, log_prob = label.gather(1, reached)[:, 0], best.gather(1, reached)[:, 0]
        emitted_here[rows] = torch.where(jump > 0, 0, emitted_here[rows]) + emits
        time[rows] += jump
        _record(results, rows, emits, chosen, time[rows], log_prob, blanks)
        if bool(emits.any()):
            emitting = rows[emits]
            before = map_state(lambda s, i=emitting: s[:, i], state)
            out, after = model.prediction.step(chosen[emits], before)
            prediction_out[emitting], predicted[emitting] = out, joint.prediction_linear(out)
            state = map_state(lambda s, a, i=emitting: s.index_copy(1, i, a), state, after)
    return results, (prediction_out, state)


def _record(results: list[SearchResult], *columns: Tensor) -> None:
    """Add the scores of the blanks, and the label where one is emitted, to the results of the rows."""
    for row, emits, label, t, log_prob, blanks in zip(*(c.tolist() for c in columns), strict=True):
        results[row].score += blanks
        if emits:
            results[row].emit(label, t, log_prob)
            results[row].score += log_prob


def map_state(function: Callable[..., Tensor], *states: State) -> State:
    """Apply ``function`` to the matching tensors, (layers, batch, units), of prediction-network states."""
    return tuple(function(*parts) for parts in zip(*states, strict=True))
