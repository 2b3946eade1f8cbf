"""From encoder frames to labels: greedy search for CTC and RNN-T, whole batches at once.

``beam`` searches wider. Lesson 11.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from asrlib.models.transducer import State, Transducer


@dataclass
class Path:
    """What a search found for one utterance: labels, the encoder frame at which each was
    emitted, the natural log of each one's probability, and of the whole path's.
    """

    labels: list[int] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    score: float = 0.0


def greedy_ctc(
    log_probs: Float[Tensor, "batch T V"], lengths: Int[Tensor, "batch"], blank: int = 0
) -> list[Path]:
    """The best label of every frame, repeats merged, blanks dropped (Graves 2006, section 3.2).

    A label's frame is the first of its run.
    """
    best, label = log_probs.max(-1)
    rows = zip(best.tolist(), label.tolist(), lengths.tolist(), strict=True)
    return [collapse(scores[:length], labels[:length], blank, blank) for scores, labels, length in rows]


def collapse(scores: list[float], labels: list[int], previous: int, blank: int) -> Path:
    """The path of one label a frame, of which ``previous`` was the last frame's before."""
    path = Path(score=sum(scores, 0.0))
    for t, (score, label) in enumerate(zip(scores, labels, strict=True)):
        if label != blank and label != previous:
            path.labels.append(label)
            path.frames.append(t)
            path.log_probs.append(score)
        previous = label
    return path


@torch.no_grad()
def greedy_rnnt(
    model: Transducer,
    encoder_out: Float[Tensor, "batch T D_enc"],
    lengths: Int[Tensor, "batch"],
    max_symbols: int = 5,
    window: int | None = None,
) -> list[Path]:
    """At every (t, u) the best label; blank moves on in time, anything else in the text.

    All utterances of the batch go on side by side, each at its own pace. The prediction
    network changes only when a label is emitted, so the joint is evaluated for ``window``
    frames at once, and each utterance jumps to its next label; by default 8 frames for one or
    two utterances and 1 for many, where looking ahead costs more than it saves.
    ``max_symbols`` bounds the labels emitted at one frame: an untrained network would
    otherwise never leave it.
    """
    spoken = start_of_text(model, encoder_out.shape[0], encoder_out.device)
    return resume_greedy_rnnt(model, encoder_out, lengths, spoken, max_symbols, window)[0]


def start_of_text(model: Transducer, batch: int, device: torch.device | str = "cpu") -> tuple[Tensor, State]:
    """What the prediction network says before any label, (batch, D_pred), and its state."""
    return model.prediction.step(torch.full((batch,), model.blank, device=device))


@torch.no_grad()
def resume_greedy_rnnt(
    model: Transducer,
    encoder_out: Float[Tensor, "batch T D_enc"],
    lengths: Int[Tensor, "batch"],
    spoken: tuple[Tensor, State],
    max_symbols: int = 5,
    window: int | None = None,
) -> tuple[list[Path], tuple[Tensor, State]]:
    """``greedy_rnnt`` of frames that follow others: ``spoken`` is the prediction network's
    output and state after the labels so far, and comes back as it is after the new ones.
    """
    batch, frames, _ = encoder_out.shape
    joint, blank, device = model.joint, model.blank, encoder_out.device
    projected = joint.encoder_linear(encoder_out)
    said, state = spoken[0].clone(), spoken[1]
    predicted = joint.prediction_linear(said).clone()  # which may be no layer at all
    time, emitted_here = (torch.zeros(batch, dtype=torch.long, device=device) for _ in range(2))
    paths = [Path() for _ in range(batch)]
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
        found = stops.any(1)
        jump = torch.where(found, stops.int().argmax(1), valid.sum(1))
        blanks = (scores[..., blank] * (valid & (offsets < jump[:, None]))).sum(1)
        reached = jump.clamp(max=ahead - 1)[:, None]
        chosen, log_prob = label.gather(1, reached)[:, 0], best.gather(1, reached)[:, 0]
        emitted_here[rows] = torch.where(jump > 0, 0, emitted_here[rows]) + found
        time[rows] += jump
        columns = (rows, found, chosen, time[rows], log_prob, blanks)
        for row, emits, new_label, t, score, skipped in zip(*(c.tolist() for c in columns), strict=True):
            path = paths[row]
            path.score += skipped
            if emits:
                path.labels.append(new_label)
                path.frames.append(t)
                path.log_probs.append(score)
                path.score += score
        if bool(found.any()):
            speaking = rows[found]
            now, after = model.prediction.step(chosen[found], map_state(lambda s, i=speaking: s[:, i], state))
            said[speaking], predicted[speaking] = now, joint.prediction_linear(now)
            state = map_state(lambda s, a, i=speaking: s.index_copy(1, i, a), state, after)
    return paths, (said, state)


def map_state(function: Callable[..., Tensor], *states: State) -> State:
    """``function`` of each tensor, (layers, batch, units), of prediction networks' states."""
    return tuple(function(*parts) for parts in zip(*states, strict=True))
