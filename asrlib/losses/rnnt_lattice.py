"""The lattice of the transducer for a batch: checked targets and the recursion (Lesson 07b).

Symbols and equation numbers are those of `losses.rnnt`. A path visits nodes (t, u) of a lattice, starting at
(0, 0): T blank steps lead from t to t+1, and U label steps from u to u+1. The last blank leads from (T-1, U)
to (T, U), where every path ends. The lattice therefore has T+1 rows, and the paper's Pr(y | x) = α(T, U) ∅(T,
U) is its last node.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from asrlib import backend
from asrlib.losses import rnnt_xla
from asrlib.losses.arguments import check_integers, check_lengths_and_labels, within
from asrlib.losses.kernels import choice
from asrlib.losses.recursion import NEG_INF, recursion_dtype

# those of `RNNTTargets.check` and `check_shapes`, in their order
Arguments = tuple[str, Sequence[int], str, Tensor, Tensor, Tensor, int]


class RNNTTargets(NamedTuple):
    """Checked targets of a batch.

    labels  (B, U+1) with blank in the padding, so that every entry is a valid index
    T_b     (B,) frames of each utterance
    U_b     (B,) labels of each target
    spans   the lengths as lists; None on XLA, where no values are read from the device
    blank   index of the blank, 0 .. V-1
    """

    labels: Tensor
    T_b: Tensor
    U_b: Tensor
    spans: tuple[list[int], list[int]] | None
    blank: int

    @classmethod
    def check(
        cls,
        name: str,
        shape: Sequence[int],
        length_name: str,
        T_b: Tensor,
        U_b: Tensor,
        targets: Tensor,
        blank: int,
    ) -> RNNTTargets:
        """Return the checked targets for a lattice of ``shape`` (B, T, U+1, V), that of argument ``name``.

        Raises the same errors as `rnnt_loss`.
        """
        blank = check_shapes(name, shape, length_name, T_b, U_b, targets, blank)
        _, T, U1, V = shape
        T_b, U_b = (lengths.to(targets.device, torch.long) for lengths in (T_b, U_b))
        spans = None
        if not backend.asks_nothing(targets):
            spans = check_lengths_and_labels(length_name, T_b, T, U_b, targets, V, blank)
        elif T == 0:
            raise ValueError(f"{name} has no frames")
        labels = torch.where(within(U_b, U1 - 1), targets, blank).long()
        return cls(F.pad(labels, (0, 1), value=blank), T_b, U_b, spans, blank)

    def inside(self, T: int) -> Tensor:
        """Return a mask (B, T, U+1) that is True for the nodes of each utterance and False in its padding."""
        return within(self.T_b, T)[:, :, None] & within(self.U_b + 1, self.labels.shape[1])[:, None]

    def fill(self, log_blank: Tensor, log_label: Tensor) -> tuple[Tensor, Tensor]:
        """Convert scores (B, T, U+1), with any padding, to lattices (B, T+1, U+1) as from `new_lattice`.

        Gradients flow through.
        """
        _, T, U1 = log_blank.shape
        inside = F.pad(self.inside(T), (0, 0, 0, 1))
        emitting = inside & within(self.U_b, U1)[:, None]
        on, along = new_lattice(self.T_b, self.U_b, T, U1, log_blank.dtype)
        log_blank, log_label = F.pad(log_blank, (0, 0, 0, 1)), F.pad(log_label, (0, 0, 0, 1))
        return torch.where(inside, log_blank, on), torch.where(emitting, log_label, along)


def check_shapes(
    name: str,
    shape: Sequence[int],
    length_name: str,
    T_b: Tensor,
    U_b: Tensor,
    targets: Tensor,
    blank: int,
) -> int:
    """Check shapes and blank; return the blank as a nonnegative index.

    Raises the same errors as `rnnt_loss`.
    """
    B, _, U1, V = shape
    check_integers("targets", targets, "(B, U)")
    for what, lengths in ((length_name, T_b), ("target_lengths", U_b)):
        check_integers(what, lengths, "(B,)")
    if not -V <= blank < V:
        raise ValueError(f"blank is {blank}, but there are {V} labels: {-V} to {V - 1}")
    if U1 < 1 or targets.shape != (B, U1 - 1):
        raise ValueError(f"targets is {tuple(targets.shape)}, but {name} asks for (B, U) = {(B, U1 - 1)}")
    for what, lengths in ((length_name, T_b), ("target_lengths", U_b)):
        if lengths.shape != (B,):
            raise ValueError(f"{what} is {tuple(lengths.shape)}, but {name} asks for (B,) = {(B,)}")
    return blank % V


def new_lattice(T_b: Int[Tensor, "B"], U_b: Int[Tensor, "B"], T: int, U1: int, dtype: torch.dtype):
    """Return log_blank and log_label, (B, T+1, U1), for the caller to fill.

    The caller fills t < T_b and u <= U_b (blank) or u < U_b (label). All other entries are -inf, except on
    one path: from (T_b, U_b), where the utterance ends, blanks of probability 1 lead to row T, and labels of
    probability 1 along it to (T, U). Utterances of different lengths thus all start at (0, 0) and end at (T,
    U), and β is α of the reversed lattice.
    """
    t = torch.arange(T + 1, device=T_b.device)
    u = torch.arange(U1, device=T_b.device)
    T_b, U_b = T_b[:, None], U_b[:, None]
    certain = torch.zeros((), dtype=dtype, device=T_b.device)
    beyond, at_end = (t >= T_b) & (t < T), u == U_b
    on = torch.where(beyond[:, :, None] & at_end[:, None], certain, NEG_INF)
    along = torch.full_like(on, NEG_INF)
    along[:, T] = torch.where((u >= U_b) & (u < U1 - 1), certain, NEG_INF)
    return on, along


def forward_backward(
    log_blank: Float[Tensor, "B T1 U1"],
    log_label: Float[Tensor, "B T1 U1"],
    T_b: Int[Tensor, "B"],
    U_b: Int[Tensor, "B"],
    flows: bool = True,
) -> tuple[Float[Tensor, "B"], Float[Tensor, "B T U1"] | None, Float[Tensor, "B T U1"] | None]:
    """Return ln Pr(y | x), and the probabilities that a path leaves (t, u) by blank and by label (the flows).

    The lattices are those of `new_lattice`, filled. Without `flows` only α is computed and the flows are
    None. The gradient needs only the flows (eq. 20). For k the blank or the label, the flow is α(t, u) Pr(k |
    t, u) β(next node) / Pr(y | x). The two flows sum to γ(t, u), because a path that enters a node also
    leaves it.
    """
    B, T1, U1 = log_blank.shape
    if choice.runs_kernels(log_blank, U1):
        from asrlib.losses.kernels.diagonals import forward_backward as by_diagonals

        return by_diagonals(log_blank[:, :-1], log_label[:, :-1], T_b, U_b, flows)
    if backend.asks_nothing(log_blank):
        return rnnt_xla.forward_backward(log_blank, log_label, T_b, flows)
    # β is α of the reversed lattice: compute both in one sweep over 2B utterances
    nodes = sweep(log_blank, log_label, torch.logaddexp, turned=flows)
    log_p = nodes[:B, -1, -1]
    if not flows:
        return log_p, None, None
    alpha, beta = nodes[:B, :-1], nodes[B:].flip(1, 2)
    # an impossible target has no flow: avoid -inf - -inf = NaN
    alpha = alpha - torch.where(log_p == NEG_INF, 0.0, log_p)[:, None, None]
    blank_flow = (alpha + log_blank[:, :-1]).add_(beta[:, 1:]).exp_()
    label_flow = alpha.add_(log_label[:, :-1])
    label_flow[..., :-1] += beta[:, :-1, 1:]
    label_flow.exp_()
    # after an utterance's last frame, the path through the padding exists for the recursion only
    beyond = torch.arange(T1 - 1, device=T_b.device)[:, None] >= T_b[:, None, None]
    return log_p, blank_flow.masked_fill_(beyond, 0), label_flow.masked_fill_(beyond, 0)


def sweep(
    log_blank: Float[Tensor, "B T1 U1"],
    log_label: Float[Tensor, "B T1 U1"],
    combine: Callable,
    turned: bool = False,
) -> Float[Tensor, "R T1 U1"]:
    """Return α of the lattices, eq. 16, followed, with ``turned``, by α of the reversed lattices.

    `combine` is logaddexp for the sum over paths, and maximum for the best path. The recursion runs in
    float64 if the device supports it, one diagonal t + u = n at a time, because the nodes of a diagonal do
    not depend on each other.
    """
    by_blank, by_label = _entering(log_blank, log_label, turned)
    N, U1, R = by_blank.shape
    # a column of -inf at the front stands for u - 1 of the first column
    nodes = by_blank.new_full((N, U1 + 1, R), NEG_INF)
    nodes[0, 1] = 0
    wait, emit = torch.empty_like(by_blank[0]), torch.empty_like(by_blank[0])
    here, left = nodes[:, 1:].unbind(), nodes[:, :-1].unbind()
    for n, blank, label in zip(range(1, N), by_blank[1:].unbind(), by_label[1:].unbind(), strict=True):
        torch.add(here[n - 1], blank, out=wait)
        torch.add(left[n - 1], label, out=emit)
        combine(wait, emit, out=here[n])
    return _on_lattice(nodes[:, 1:], *log_blank.shape[1:])


def _entering(log_blank: Tensor, log_label: Tensor, turned: bool) -> tuple[Tensor, Tensor]:
    """Return the scores of the steps into node (n - u, u), in row n, column u of (T+U+1, U+1, R).

    ``turned`` appends the reversed lattices, so that R is 2B.
    """
    B, T1, U1 = log_blank.shape
    shape = (T1 + U1 - 1, U1, 2 * B if turned else B)
    by_blank, by_label = (
        torch.full(shape, NEG_INF, dtype=recursion_dtype(log_blank.device), device=log_blank.device)
        for _ in range(2)
    )
    blank_view, label_view = _on_lattice(by_blank, T1, U1), _on_lattice(by_label, T1, U1)
    blank_view[:B, 1:] = log_blank[:, :-1]
    label_view[:B, :, 1:] = log_label[:, :, :-1]
    if turned:
        blank_view[B:] = log_blank.flip(1, 2)
        label_view[B:] = log_label.flip(1, 2)
    return by_blank, by_label


def _on_lattice(diagonals: Tensor, T1: int, U1: int) -> Tensor:
    """View diagonals, with node (t, u) in row t + u, column u, as (R, T+1, U+1), without a copy."""
    row, column, r = diagonals.stride()
    shape = diagonals.shape[2], T1, U1
    return diagonals.as_strided(shape, (r, row, row + column), diagonals.storage_offset())
