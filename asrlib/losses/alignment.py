"""Forced alignment: the most probable path of a target, with CTC and the transducer (Lessons 06 and 07).

The recursions are those of the losses with max in place of the sum. Symbols are those of `losses.ctc` and
`losses.rnnt`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from asrlib.losses import ctc_lattice, rnnt_lattice
from asrlib.losses.arguments import Lengths
from asrlib.losses.ctc_lattice import CTCTargets
from asrlib.losses.recursion import NEG_INF
from asrlib.losses.rnnt_logits import read_lattice


class Alignment(NamedTuple):
    """The best path of one utterance. Frames count from 0; scores are natural logarithms.

    tokens  (U,) the target
    starts  (U,) the frame at which each token begins; -1 if there is no path
    ends    (U,) the frame after its last frame; -1 if there is no path
    scores  (U,) CTC: mean log probability of the token over its frames; transducer: that of its emission
    path    CTC: (T,) the state s of l' at each frame; transducer: (T+U+1, 2) all nodes (t, u) up to (T, U)
    score   log probability of the whole path; -inf, with an empty path, if no path exists
    """

    tokens: Tensor
    starts: Tensor
    ends: Tensor
    scores: Tensor
    path: Tensor
    score: float


def ctc_align(
    log_probs: Float[Tensor, "T *B V"],
    targets: Int[Tensor, "..."],
    input_lengths: Lengths | None = None,
    target_lengths: Lengths | None = None,
    blank: int = 0,
) -> list[Alignment] | Alignment:
    """Return the most probable CTC path of each target: α with max in place of the sum (Lesson 06).

    The arguments are those of `ctc_loss`; without lengths, the tensors' full lengths apply. Returns one
    `Alignment` per utterance: a list for (T, B, V), a single one for (T, V). Raises the same errors as
    `ctc_loss`.
    """
    ctc_lattice.check_ctc_tensors(log_probs, targets)
    batch, checked = CTCTargets.check(log_probs.detach(), targets, input_lengths, target_lengths, blank)
    emission = checked.emission(batch)
    reach = ctc_lattice.sweep(emission, checked.skip(), checked.start(), torch.maximum) + emission
    alignments = [
        _trace_ctc(reach[:T, : 2 * U + 1, b], emission[..., b], checked.labels[b, :U])
        for b, (T, U) in enumerate(zip(checked.T_b.tolist(), checked.U_b.tolist(), strict=True))
    ]
    return alignments[0] if log_probs.ndim == 2 else alignments


def rnnt_align(
    logits: Float[Tensor, "B T U1 V"],
    targets: Int[Tensor, "B U"],
    logit_lengths: Int[Tensor, "B"] | None = None,
    target_lengths: Int[Tensor, "B"] | None = None,
    blank: int = -1,
) -> list[Alignment]:
    """Return the most probable transducer path of each target: α with max in place of the sum (Lesson 07).

    The arguments are those of `rnnt_loss`; without lengths, the tensors' full lengths apply. Returns one
    `Alignment` per utterance: label u is emitted at frame starts[u], with log probability scores[u]. Raises
    the same errors as `rnnt_loss`.
    """
    checked, log_blank, log_label = read_lattice(logits, targets, logit_lengths, target_lengths, blank)
    best = rnnt_lattice.sweep(log_blank, log_label, torch.maximum)
    return [
        _trace_rnnt(best[b], log_blank[b], log_label[b], T, checked.labels[b, :U])
        for b, (T, U) in enumerate(zip(checked.T_b.tolist(), checked.U_b.tolist(), strict=True))
    ]


def _trace_ctc(reach: Tensor, emission: Tensor, labels: Tensor) -> Alignment:
    """Return the best path through `reach` (T, S), traced back from its end."""
    T, S = reach.shape
    U = len(labels)
    none = labels.new_full((U,), -1)
    ends = reach[-1, max(0, S - 2) :] if T else reach.new_full((1,), 0.0 if U == 0 else NEG_INF)
    if T == 0 or float(ends.max()) == NEG_INF:
        return Alignment(labels, none, none, none.to(reach.dtype), labels.new_empty(0), float(ends.max()))
    s = max(0, S - 2) + int(ends.argmax())
    rows, target, states = reach.tolist(), labels.tolist(), [s]
    for row in reversed(rows[:-1]):
        reachable = [s, s - 1] if s > 0 else [s]
        if s >= 3 and s % 2 and target[s // 2] != target[s // 2 - 1]:
            reachable.append(s - 2)
        s = max(reachable, key=row.__getitem__)
        states.append(s)
    path = torch.tensor(states[::-1], device=labels.device)
    frame = torch.arange(T, device=labels.device)
    shown = path == 2 * torch.arange(U, device=labels.device)[:, None] + 1
    starts = torch.where(shown, frame, T).amin(1)
    ends_at = torch.where(shown, frame, -1).amax(1) + 1
    along = emission[frame, path]
    scores = torch.where(shown, along, 0.0).sum(1) / shown.sum(1)
    return Alignment(labels, starts, ends_at, scores, path, float(ends.max()))


def _trace_rnnt(best: Tensor, log_blank: Tensor, log_label: Tensor, T: int, labels: Tensor) -> Alignment:
    """Return the best path through `best` (T+1, U+1), traced back from (T, U) to (0, 0)."""
    U = len(labels)
    score = float(best[T, U])
    none = labels.new_full((U,), -1)
    if score == NEG_INF:
        return Alignment(labels, none, none, none.to(best.dtype), labels.new_empty(0, 2), score)
    reach, by_blank, y = best.tolist(), log_blank.tolist(), log_label.to(best.dtype)
    t, u, nodes, frames = T, U, [(T, U)], []
    while t or u:
        from_blank = reach[t - 1][u] + by_blank[t - 1][u] if t else NEG_INF
        # the last step is a blank: no label is emitted at frame T
        from_label = reach[t][u - 1] + float(y[t, u - 1]) if u and t < T else NEG_INF
        if from_blank >= from_label:
            t -= 1
        else:
            u -= 1
            frames.append(t)
        nodes.append((t, u))
    starts = torch.tensor(frames[::-1], dtype=torch.long, device=labels.device)
    scores = y[starts, torch.arange(U, device=labels.device)]
    path = torch.tensor(nodes[::-1], device=labels.device)
    return Alignment(labels, starts, starts + 1, scores, path, score)
