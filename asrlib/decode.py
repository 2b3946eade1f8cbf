"""From encoder frames to labels: greedy search for CTC and RNN-T, whole batches at once.

``beam`` searches wider. Lesson 11.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from asrlib.transducer import State, Transducer


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
    window: int = 8,
) -> list[Path]:
    """At every (t, u) the best label; blank moves on in time, anything else in the text.

    The prediction network changes only when a label is emitted, so the joint is
    evaluated for ``window`` frames at once and each utterance jumps to its next
    label, all utterances of the batch side by side. ``max_symbols`` bounds the labels
    emitted at one frame: an untrained network would otherwise never leave it.
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
    window: int = 8,
) -> tuple[list[Path], tuple[Tensor, State]]:
    """``greedy_rnnt`` of frames that follow others: ``spoken`` is the prediction network's
    output and state after the labels so far, and comes back as it is after the new ones.
    """
    batch, frames, _ = encoder_out.shape
    device = encoder_out.device
    joint, blank = model.joint, model.blank
    projected = joint.encoder_linear(encoder_out)
    predicted, state = spoken
    time = torch.zeros(batch, dtype=torch.long, device=device)
    emitted_here = torch.zeros(batch, dtype=torch.long, device=device)
    offsets = torch.arange(window, device=device)
    rows = torch.arange(batch, device=device)
    paths = [Path() for _ in range(batch)]
    while bool((active := time < lengths).any()):
        position = time[:, None] + offsets
        valid = position < lengths[:, None]
        hidden = projected[rows[:, None], position.clamp(max=frames - 1)]
        scores = joint.scores(hidden, joint.prediction_linear(predicted)[:, None]).float().log_softmax(-1)
        best, label = scores.max(-1)
        stops = (label != blank) & valid
        stops[:, 0] &= emitted_here < max_symbols  # else blank, whatever its probability
        found = stops.any(1)
        jump = torch.where(found, stops.int().argmax(1), valid.sum(1))
        blanks = (scores[..., blank] * (valid & (offsets < jump[:, None]))).sum(1)
        chosen = label[rows, jump.clamp(max=window - 1)]
        log_prob = best[rows, jump.clamp(max=window - 1)]
        emitted_here = torch.where(jump > 0, torch.zeros_like(emitted_here), emitted_here) + found
        time = time + jump
        table = zip(
            found.tolist(), chosen.tolist(), time.tolist(), log_prob.tolist(), blanks.tolist(), strict=True
        )
        for path, (emits, new_label, t, score, skipped) in zip(paths, table, strict=True):
            path.score += skipped
            if emits:
                path.labels.append(new_label)
                path.frames.append(t)
                path.log_probs.append(score)
                path.score += score
        if bool((found & active).any()):
            new_predicted, new_state = model.prediction.step(chosen, state)
            predicted = torch.where(found[:, None], new_predicted, predicted)
            state = map_state(partial(torch.where, found[None, :, None]), new_state, state)
    return paths, (predicted, state)


def map_state(function: Callable[..., Tensor], *states: State) -> State:
    """``function`` of each tensor, (layers, batch, units), of prediction networks' states."""
    return tuple(function(*parts) for parts in zip(*states, strict=True))
