"""From encoder frames to labels: greedy search for CTC and RNN-T, whole batches at once.

``beam`` keeps several hypotheses. Lesson 11.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from asrlib.config.schema import DecodingConfig
from asrlib.decoding.hypothesis import SearchResult
from asrlib.models.prediction import State
from asrlib.models.transducer import Transducer


def greedy_ctc(
    log_probs: Float[Tensor, "batch T V"], lengths: Int[Tensor, "batch"], blank: int = 0
) -> list[SearchResult]:
    """Take the best label of every frame, merge repeats, drop blanks (Graves 2006, section 3.2).

    A label's frame is the first of its run.
    """
    best, label = log_probs.max(-1)
    rows = zip(best.tolist(), label.tolist(), lengths.tolist(), strict=True)
    return [
        collapse_frames(scores[:length], labels[:length], blank, blank) for scores, labels, length in rows
    ]


def collapse_frames(scores: list[float], labels: list[int], previous: int, blank: int) -> SearchResult:
    """Merge repeats and drop blanks of one label per frame; ``previous`` is the label of the frame before."""
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
    """Take the best label at every (t, u): blank moves on in time, any other label in the text.

    All utterances of the batch advance side by side, each at its own pace. The prediction
    network changes only when a label is emitted, so the joint is evaluated for ``window``
    frames at once, and each utterance jumps to its next label; by default 8 frames for one or
    two utterances and 1 for many, where looking ahead costs more than it saves.
    ``max_symbols`` bounds the labels emitted at one frame: an untrained network would
    otherwise never leave it.
    """
    prediction = start_of_text(model, encoder_out.shape[0], encoder_out.device)
    return resume_greedy_rnnt(model, encoder_out, lengths, prediction, max_symbols, window)[0]


def start_of_text(model: Transducer, batch: int, device: torch.device | str = "cpu") -> tuple[Tensor, State]:
    """Return the prediction network's output before any label, (batch, D_pred), and its state."""
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

    ``prediction`` is the prediction network's output and state after the labels so far. Returns
    the new labels, with frames counted from the first new one, and ``prediction`` after them.
    """
    batch, frames, _ = encoder_out.shape
    joint, blank, device = model.joint, model.blank, encoder_out.device
    projected = joint.encoder_linear(encoder_out)
    prediction_out, state = prediction[0].clone(), prediction[1]
    predicted = joint.prediction_linear(prediction_out).clone()  # which may be no layer at all
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
        stops[:, 0] &= emitted_here[rows] < max_symbols  # else blank, whatever its probability
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
    """Add the blanks' scores and, where a label is emitted, the label to the rows' results."""
    for row, emits, label, t, log_prob, blanks in zip(*(c.tolist() for c in columns), strict=True):
        results[row].score += blanks
        if emits:
            results[row].emit(label, t, log_prob)
            results[row].score += log_prob


def map_state(function: Callable[..., Tensor], *states: State) -> State:
    """Apply ``function`` to each tensor, (layers, batch, units), of prediction networks' states."""
    return tuple(function(*parts) for parts in zip(*states, strict=True))
