"""The lattice of CTC, T frames by S states, for a batch: checked targets and the recursion (Lesson 06).

Symbols and equation numbers as in `losses.ctc`. Two states are added to the extended target l': one for
"the utterance is over", in which every utterance ends in frame T, and one that is never reached, for S to be
odd. So utterances of different lengths end alike, and the lattice turned around is a lattice, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from asrlib import backend
from asrlib.losses.arguments import (
    Lengths,
    as_lengths,
    check_lengths,
    check_lengths_and_labels,
    values_checked,
    within,
)
from asrlib.losses.recursion import (
    NEG_INF,
    add_logs,
    loss_dtype,
    recursion_dtype,
    rescale,
    scan,
    shares,
    shift,
)
from asrlib.losses.textbook import extended


class CTCTargets(NamedTuple):
    """Checked targets of a batch, and the shape of their lattice.

    labels  (B, U) the blank in the padding
    states  (S, B) the extended targets l', and two states more
    T_b     (B,) frames of each utterance
    U_b     (B,) labels of each target
    frames  T
    blank   index of the blank
    """

    labels: Tensor
    states: Tensor
    T_b: Tensor
    U_b: Tensor
    frames: int
    blank: int

    @classmethod
    def check(
        cls,
        log_probs: Tensor,
        targets: Tensor,
        input_lengths: Lengths | None,
        target_lengths: Lengths | None,
        blank: int,
    ) -> tuple[Tensor, CTCTargets]:
        """Return the log probabilities as (T, B, V), and the targets; arguments as `ctc_loss`.

        Without lengths, the tensors' own are taken. Raises what `ctc_loss` raises.
        """
        log_probs, targets, T_b, U_b = in_one_form(log_probs, targets, input_lengths, target_lengths, blank)
        (T, _, V), device = log_probs.shape, log_probs.device
        if not backend.asks_nothing(log_probs):
            _, lengths = check_lengths_and_labels("input_lengths", T_b, T, U_b, targets, V, blank)
            targets = targets[:, : max(lengths, default=0)]
        T_b, U_b, targets = (x.to(device, torch.long) for x in (T_b, U_b, targets))
        labels = torch.where(within(U_b, targets.shape[1]), targets, blank)
        states = F.pad(extended(labels, blank), (0, 2), value=blank).T
        _check_values(log_probs, T_b)
        return log_probs, cls(labels, states, T_b, U_b, T, blank)

    def real_frames(self) -> Tensor:
        """Return (T, B): True for each utterance's own frames, False in its padding."""
        return within(self.T_b, self.frames).T

    def over(self) -> Tensor:
        """Return (B,): the state behind the last blank, where an utterance is after its last frame."""
        return 2 * self.U_b + 1

    def emission(self, log_probs: Tensor) -> Tensor:
        """Return (T+1, S, B): y(t, l'(s)); behind the utterance, probability 1 for the state of being over.

        Elsewhere -inf, so that nothing of the padding is ever read.
        """
        T, device = self.frames, log_probs.device
        index = self.states.T.expand(T, -1, -1)
        y = log_probs.detach().gather(2, index).transpose(1, 2)
        s = torch.arange(len(self.states), device=device)[:, None]
        real = self.real_frames()[:, None] & (s <= 2 * self.U_b)
        dtype = recursion_dtype(device)
        lattice = torch.full((T + 1, *self.states.shape), NEG_INF, dtype=dtype, device=device)
        lattice[:T] = torch.where(real, y, NEG_INF)
        t = torch.arange(T + 1, device=device)[:, None, None]
        return lattice.masked_fill_((t >= self.T_b) & (s == self.over()), 0.0)

    def skip(self) -> Tensor:
        """Return (S, B): 0 where a path may come from s-2 (eq. 6, lower case), else -inf."""
        states = self.states
        skip = torch.full(states.shape, NEG_INF, device=states.device, dtype=recursion_dtype(states.device))
        s = torch.arange(2, len(states), device=states.device)[:, None]
        # eq. 8: a path ends in the last blank or in the last label
        may = (states[2:] != self.blank) & (states[2:] != states[:-2]) | (s == self.over())
        skip[2:] = torch.where(may, 0.0, NEG_INF)
        return skip

    def start(self) -> Tensor:
        """Return (S, B): 0 for the two states in which a path may begin, else -inf."""
        s = torch.arange(len(self.states), device=self.U_b.device)[:, None]
        begins = (s < 2).expand(self.states.shape)
        return torch.where(begins, 0.0, NEG_INF).to(recursion_dtype(self.U_b.device))


def in_one_form(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Lengths | None,
    target_lengths: Lengths | None,
    blank: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the arguments of `ctc_loss` as log_probs (T, B, V), targets (B, U), and lengths (B,).

    Targets and lengths lie on one device, which is the host if all of them did. Only shapes are checked.

    Raises what `ctc_loss` raises for shapes.
    """
    if log_probs.ndim not in (2, 3):
        raise ValueError(f"log_probs must be (T, B, V) or (T, V), not {tuple(log_probs.shape)}")
    if log_probs.ndim == 2:
        log_probs = log_probs[:, None]
        targets = targets[None] if targets.ndim == 1 else targets
    T, B, V = log_probs.shape
    if not 0 <= blank < V:
        raise ValueError(f"blank is {blank}, but log_probs has {V} labels: 0 to {V - 1}")
    widest = targets.shape[-1]
    T_b = as_lengths("input_lengths", T if input_lengths is None else input_lengths, B)
    U_b = as_lengths("target_lengths", widest if target_lengths is None else target_lengths, B)
    if targets.ndim == 2 and targets.shape[0] != B:
        raise ValueError(f"targets has {targets.shape[0]} utterances, log_probs has {B}")
    if any(x.device.type != "cpu" for x in (targets, T_b, U_b)):
        targets, T_b, U_b = (x.to(log_probs.device) for x in (targets, T_b, U_b))
    if targets.ndim == 1:
        if backend.asks_nothing(log_probs):
            raise ValueError(f"targets is {tuple(targets.shape)}, but on XLA it must be (B, U)")
        targets = _padded(targets, U_b)
    return log_probs, targets, T_b, U_b


def forward_backward(
    log_probs: Tensor, targets: CTCTargets, posteriors: bool = True
) -> tuple[Tensor, Tensor | None]:
    """Return ln p(l|x) (B,), and the posteriors γ (T, S, B), or None in their place."""
    emission, skip, start = targets.emission(log_probs), targets.skip(), targets.start()
    (S, B), over = skip.shape, targets.over()
    if posteriors:
        # β is α of time and target read backwards: both go in one sweep, as 2B utterances
        emission = torch.cat([emission, emission.flip(0, 1)], 2)
        skip = torch.cat([skip, shift(skip.flip(0), 2, 0)], 1)
        ends = torch.arange(S, device=over.device)[:, None] == S - 1 - over
        start = torch.cat([start, torch.where(ends, 0.0, NEG_INF).to(start)], 1)
    static = backend.asks_nothing(emission)
    if static:
        before, taken = _scaled_sweep(emission, skip, start)
    else:
        before = sweep(emission, skip, start, torch.logaddexp)
    log_p = before[-1, :, :B].gather(0, over[None])[0]
    if static:
        log_p = log_p + taken[:B]
    if not posteriors:
        return log_p, None
    # eq. 14: α and β both count y(t, l'(s)) in the paper; here β comes without
    paths = before[:-1, :, :B] + emission[:-1, :, :B]
    paths += before[1:, :, B:].flip(0, 1)
    possible = targets.real_frames()[:, None] & (log_p > NEG_INF)
    if static:
        return log_p, torch.where(possible, shares(paths, 1), 0.0)
    return log_p, paths.sub_(log_p).exp_().masked_fill_(~possible, 0)


def sweep(emission: Tensor, skip: Tensor, start: Tensor, combine: Callable) -> Tensor:
    """Return α(t, s) before y(t, l'(s)) is added, eq. 6 and 7, for R utterances: (T, S, R) as `emission`.

    `combine` is logaddexp for the sum over paths, maximum for the best one.
    """
    T, S, R = emission.shape
    before = emission.new_empty(T, S, R)
    before[0] = start
    # two rows of -inf in front: s-1 and s-2 of the first states
    alpha = emission.new_full((S + 2, R), NEG_INF)
    here, one_before = alpha[2:], alpha[1:-1]
    # only to a label or the end, which are the odd ones, may a path jump
    two_before, may_jump = alpha[1:S:2], skip[1::2].contiguous()
    jump = torch.empty_like(may_jump)
    rows, odd_rows = before.unbind(), before[:, 1::2].unbind()
    for t, y in enumerate(emission[:-1].unbind()):
        torch.add(rows[t], y, out=here)
        combine(here, one_before, out=rows[t + 1])
        torch.add(two_before, may_jump, out=jump)
        combine(odd_rows[t + 1], jump, out=odd_rows[t + 1])
    return before


def _scaled_sweep(emission: Tensor, skip: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum over paths of `sweep` on XLA: one loop of the program, and each frame rescaled.

    A TPU has no float64, and needs none where no number grows with T: what α and β say about a frame is how
    the paths share it (eq. 14). Returns before (T, S, R) and what was taken away before the last frame (R,).
    """

    def step(state, y):
        before, skip = state
        alpha, taken = rescale(before + y[0], 0)
        stay_or_next = add_logs(alpha, shift(alpha, 1, 0))
        return (add_logs(stay_or_next, shift(alpha, 2, 0) + skip), skip), (before, taken)

    _, (before, taken) = scan(step, (start, skip), (emission,))
    return before, taken[:-1].sum(0)


def _padded(targets: Tensor, U_b: Tensor) -> Tensor:
    """Return targets given behind one another, (sum of U_b,), as (B, U).

    Raises ValueError where the lengths do not sum to the number of labels.
    """
    lengths = U_b.tolist()
    check_lengths("target_lengths", lengths, len(targets), "labels in targets")
    if sum(lengths) != len(targets):
        raise ValueError(
            f"targets has {len(targets)} labels in a row, but target_lengths sum to {sum(lengths)}"
        )
    padded = targets.new_zeros(len(lengths), max(lengths, default=0))
    padded[within(U_b, padded.shape[1])] = targets
    return padded


def _check_values(log_probs: Tensor, T_b: Tensor) -> None:
    """Raise ValueError for the first NaN or +inf among the log probabilities that count."""
    if not values_checked(log_probs):
        return
    # one sum per frame sees every NaN and +inf; -inf is a probability of zero and harmless
    total = log_probs.detach().sum(-1, dtype=loss_dtype(log_probs))
    bad = (total.isnan() | (total == math.inf)) & within(T_b, len(log_probs)).T
    if bad.any():
        t, b = bad.nonzero()[0].tolist()
        row = log_probs.detach()[t, b]
        v = (row.isnan() | (row == math.inf)).nonzero()
        if len(v):
            v = int(v[0])
            raise ValueError(f"log_probs is {float(row[v])} at frame {t}, utterance {b}, label {v}")
