"""Lists of texts with scores of two models, for assignment 08."""

from __future__ import annotations

from functools import lru_cache

import torch

from asrlib.losses import ctc, rnnt
from asrlib.teaching.exercise_data.draws import integer, normal


@lru_cache
def rescoring_lists(seed: int, count: int = 300) -> tuple[list, list]:
    """Return dev and test of assignment 08: eight texts per utterance, scored by CTC and by a transducer.

    Both get the same words through noises of their own; the transducer knows which word follows which, but
    is overconfident. Dev utterances are (scores (8, 2) natural logs, errors (8,)), test ones also the
    number of words spoken.
    """
    g, V, T, N = torch.Generator().manual_seed(seed), 7, 16, 8
    follows = 1.5 * normal(g, V, V)
    follows[:, 0] = -torch.inf
    follows = follows.softmax(-1)
    frame_scores, joint, texts, spoken = [], [], [], []
    for _ in range(2 * count):
        text = [0]
        for _ in range(integer(g, 3, 6)):
            text.append(int(torch.multinomial(follows[text[-1]], 1, generator=g)))
        spoken.append(text[1:])
        sound = torch.zeros(T, V, dtype=torch.float64)
        places = (2 * torch.randperm(T // 2, generator=g)[: len(spoken[-1])]).sort().values
        sound[:, 0] = 1
        sound[places] = torch.nn.functional.one_hot(torch.tensor(spoken[-1]), V).double()
        frame_scores.append((2.5 * sound + normal(g, T, V)).log_softmax(-1))
        language = 0.7 * torch.cat([torch.zeros(V, 1), follows[:, 1:].clamp(min=1e-4).log()], 1)
        joint.append((2.5 * ((2.0 * sound + normal(g, T, V))[:, None] + language)).log_softmax(-1))
        texts.append(_like(spoken[-1], N, V, g))
    target_lengths = torch.tensor([[len(text) for text in row] for row in texts])
    longest = int(target_lengths.max())
    targets = torch.tensor([[text + [1] * (longest - len(text)) for text in row] for row in texts])
    last = torch.nn.functional.pad(targets, (1, 0))
    # all utterances' texts in one batch
    frames, y = torch.full((2 * count * N,), T), torch.stack(frame_scores, 1).repeat_interleave(N, 1)
    joint = torch.stack(joint).repeat_interleave(N, 0)
    utterance = torch.arange(len(joint))[:, None, None]
    lattice = joint[utterance, torch.arange(T)[None, :, None], last.flatten(0, 1)[:, None]]
    targets, lengths = targets.flatten(0, 1), target_lengths.flatten()
    by_ctc = ctc.ctc_loss(y, targets, frames, lengths, reduction="none")
    by_rnnt = rnnt.rnnt_loss(lattice, targets, frames, lengths, blank=0, reduction="none")
    scores = -torch.stack([by_ctc, by_rnnt], 1).double().unflatten(0, (-1, N))
    rows = [
        (scores[n], torch.tensor([_edits(spoken[n], text) for text in texts[n]]), len(spoken[n]))
        for n in range(2 * count)
    ]
    return [row[:2] for row in rows[:count]], rows[count:]


def _like(text: list[int], count: int, V: int, g: torch.Generator) -> list[list[int]]:
    """``text`` and others with a word or two replaced, left out or put in, in any order."""
    found = [text]
    while len(found) < count:
        other = list(text)
        for _ in range(integer(g, 1, 2)):
            place, kind = integer(g, 0, len(other) - 1), integer(g, 0, 3)
            if kind == 2 and len(other) > 1:
                del other[place]
            elif kind == 3:
                other.insert(place, integer(g, 1, V - 1))
            else:
                other[place] = integer(g, 1, V - 1)
        if other not in found:
            found.append(other)
    return [found[n] for n in torch.randperm(count, generator=g).tolist()]


def _edits(reference: list[int], hypothesis: list[int]) -> int:
    """Return the edit distance of two sequences of labels."""
    row = list(range(len(hypothesis) + 1))
    for i, label in enumerate(reference, start=1):
        before, row = row, [i]
        for j, other in enumerate(hypothesis, start=1):
            row.append(min(before[j - 1] + (label != other), before[j] + 1, row[j - 1] + 1))
    return row[-1]
