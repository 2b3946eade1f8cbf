"""The lattice of CTC, T frames by S states, for a batch: checked targets and the recursion (Lesson 06).

Symbols and equation numbers are those of `losses.ctc`. Two states are added to the extended target l': one
that every utterance is in after its last frame, until frame T, and one that is never reached and makes S odd.
All utterances then end in frame T, whatever their lengths, and the reversed lattice is a lattice, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from asrlib import backend
from asrlib.losses.arguments import (
    Lengths,
    as_lengths,
    check_floats,
    check_integers,
    check_lengths,
    check_lengths_and_labels,
    check_tensor,
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

    labels  (B, U) with blank in the padding
    states  (S, B) the extended targets l' and two more states
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
        """Check the arguments of `ctc_loss`; return the log probabilities as (T, B, V), and the targets.

        Without lengths, the tensors' full lengths apply. Raises the same errors as `ctc_loss`.
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
        """Return a mask (T, B) that is True for each utterance's own frames and False in its padding."""
        return within(self.T_b, self.frames).T

    def over(self) -> Tensor:
        """Return the state after the last blank, (B,), which an utterance is in after its last frame."""
        return 2 * self.U_b + 1

    def emission(self, log_probs: Tensor) -> Tensor:
        """Return y(t, l'(s)) as (T+1, S, B), and 0 for the state `over` after an utterance's last frame.

        All other entries are -inf, so that the padding does not matter.
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
        """Return (S, B): 0 where a path may come from s-2 (the second case of eq. 6), else -inf."""
        states = self.states
        skip = torch.full(states.shape, NEG_INF, device=states.device, dtype=recursion_dtype(states.device))
        s = torch.arange(2, len(states), device=states.device)[:, None]
        # eq. 8: a path ends in the last blank or in the last label
        may = (states[2:] != self.blank) & (states[2:] != states[:-2]) | (s == self.over())
        skip[2:] = torch.where(may, 0.0, NEG_INF)
        return skip

    def start(self) -> Tensor:
        """Return (S, B): 0 for the two states in which a path may start, else -inf."""
        s = torch.arange(len(self.states), device=self.U_b.device)[:, None]
        begins = (s < 2).expand(self.states.shape)
        return torch.where(begins, 0.0, NEG_INF).to(recursion_dtype(self.U_b.device))


def check_ctc_tensors(log_probs: Any, targets: Any) -> None:
    """Raise ValueError unless these are tensors of the right kinds of numbers and dimensions."""
    check_floats("log_probs", log_probs, "(T, B, V) or (T, V)", 2, 3)
    check_tensor("targets", targets, "(B, U)", 1, 2)
    if targets.numel():  # torch.tensor([]) holds floats
        check_integers("targets", targets, "(B, U)")


def in_one_form(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Lengths | None,
    target_lengths: Lengths | None,
    blank: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the arguments of `ctc_loss` as log_probs (T, B, V), targets (B, U), and lengths (B,).

    Targets and lengths are returned on one device: on the host if all of them were there. Only shapes are
    checked.

    Raises the same errors as `ctc_loss` for shapes.
    """
    check_ctc_tensors(log_probs, targets)
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
    """Return ln p(l|x) (B,), and the posteriors γ (T, S, B), or None without ``posteriors``."""
    emission, skip, start = targets.emission(log_probs), targets.skip(), targets.start()
    (S, B), over = skip.shape, targets.over()
    if posteriors:
        # β is α with time and target reversed: compute both in one sweep over 2B utterances
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
    # eq. 14: in the paper both α and β include y(t, l'(s)); here β does not
    paths = before[:-1, :, :B] + emission[:-1, :, :B]
    paths += before[1:, :, B:].flip(0, 1)
    possible = targets.real_frames()[:, None] & (log_p > NEG_INF)
    if static:
        return log_p, torch.where(possible, shares(paths, 1), 0.0)
    return log_p, paths.sub_(log_p).exp_().masked_fill_(~possible, 0)


def sweep(emission: Tensor, skip: Tensor, start: Tensor, combine: Callable) -> Tensor:
    """Return α(t, s) without y(t, l'(s)), eq. 6 and 7, for R utterances: (T, S, R).

    `combine` is logaddexp for the sum over paths, and maximum for the best path.
    """
    T, S, R = emission.shape
    before = emission.new_empty(T, S, R)
    before[0] = start
    # two rows of -inf at the front stand for s-1 and s-2 of the first states
    alpha = emission.new_full((S + 2, R), NEG_INF)
    here, one_before = alpha[2:], alpha[1:-1]
    # a path may skip only to a label or to the end, which are the odd states
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
    """Compute `sweep` with a sum over paths on XLA: as one loop of the program, rescaling each frame.

    A TPU has no float64. float32 suffices because no value grows with T: only the ratios of α and β within a
    frame matter (eq. 14). Returns α before y is added (T, S, R), and the total log scale removed before the
    last frame (R,).
    """

    def step(state, y):
        before, skip = state
        alpha, taken = rescale(before + y[0], 0)
        stay_or_next = add_logs(alpha, shift(alpha, 1, 0))
        return (add_logs(stay_or_next, shift(alpha, 2, 0) + skip), skip), (before, taken)

    _, (before, taken) = scan(step, (start, skip), (emission,))
    return before, taken[:-1].sum(0)


def _padded(targets: Tensor, U_b: Tensor) -> Tensor:
    """Convert concatenated targets, (sum of U_b,), to (B, U).

    Raises ValueError if the lengths do not sum to the number of labels.
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
    """Raise ValueError for NaN or +inf outside the padding, naming the first one."""
    if not values_checked(log_probs):
        return
    # a sum per frame reveals every NaN and +inf; -inf is a probability of zero and harmless
    total = log_probs.detach().sum(-1, dtype=loss_dtype(log_probs))
    bad = (total.isnan() | (total == math.inf)) & within(T_b, len(log_probs)).T
    if bad.any():
        t, b = bad.nonzero()[0].tolist()
        row = log_probs.detach()[t, b]
        v = (row.isnan() | (row == math.inf)).nonzero()
        if len(v):
            v = int(v[0])
            raise ValueError(f"log_probs is {float(row[v])} at frame {t}, utterance {b}, label {v}")
