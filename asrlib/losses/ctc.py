"""Connectionist temporal classification: loss, posteriors and alignment, in plain PyTorch (Lesson 06).

Graves et al. 2006, "Connectionist Temporal Classification", ICML. Equation numbers are that paper's,
symbols too:

    T            frames (t = 0 .. T-1 here; 1 .. T in the paper)
    U            labels of the target l
    l'           the target with blanks around every label: ∅ l1 ∅ l2 ∅ ... lU ∅; S = 2U + 1 states
    y(t, l'(s))  log probability of state s at frame t             `emission[t, s]`
    α(t, s)      log probability of all path beginnings that are in s at t, frames 0 .. t    (eq. 5)
    β(t, s)      log probability of all path ends that are in s at t, frames t .. T-1        (eq. 9)
    γ(t, s)      probability that a path of l is in state s at frame t                       (from eq. 14)

Every probability is a natural logarithm.
"""

from __future__ import annotations

import contextlib
import contextvars
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from asrlib.backend import on_xla
from asrlib.losses.recursion import add_logs, rescale, scan, shares, shift

NEG_INF = -math.inf
Lengths = Int[Tensor, "..."] | Sequence[int] | int


def ctc_loss(
    log_probs: Float[Tensor, "T *B V"],
    targets: Int[Tensor, "..."],
    input_lengths: Lengths,
    target_lengths: Lengths,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Float[Tensor, "*reduced"]:
    """-ln p(l | x), Graves 2006 eq. 8 and 12, with the arguments of torch.nn.functional.ctc_loss (Lesson 06).

    log_probs       (T, B, V) or (T, V): natural log probabilities, as log_softmax gives them; any float dtype
    targets         (B, U) padded with anything, or all targets behind one another (sum of target_lengths,)
    input_lengths   (B,) frames of each utterance: tensor, tuple or, without B, a number
    target_lengths  (B,) labels of each target
    blank           index of the blank
    reduction       "none": (B,); "sum"; "mean": each loss over its target's length, then over the batch
    zero_infinity   an utterance that no path explains (fewer frames than labels plus repeats) counts as 0

    An utterance that no path explains has the loss inf and the gradient 0, whatever `zero_infinity` says.
    Log probabilities of -inf are allowed: that path is impossible. The recursion runs in float64 where the
    device has it; the loss is float32 or wider.

    The gradient is the derivative by `log_probs` itself, minus the posterior of each label (eq. 15);
    PyTorch's adds exp(log_probs), which is the derivative by logits. Behind a log_softmax the two are the
    same.

    Raises ValueError, naming the argument and the first bad item: shapes that disagree, a length beyond its
    tensor, a label that is blank or outside the vocabulary, NaN or +inf among the log probabilities that
    count. On XLA only shapes are checked, for values stay on the device, and targets must be (B, U).
    """
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"reduction must be 'none', 'mean' or 'sum', not {reduction!r}")
    batch = _Batch.check(log_probs, targets, input_lengths, target_lengths, blank)
    losses = _CTCLoss.apply(batch.log_probs, batch)
    if zero_infinity:
        losses = torch.where(losses == math.inf, 0.0, losses)
    if reduction == "mean":
        return (losses / batch.U_b.clamp(min=1)).mean()
    if reduction == "sum":
        return losses.sum()
    return losses[0] if log_probs.ndim == 2 else losses


class Alignment(NamedTuple):
    """The best path of one utterance. Frames count from 0; scores are natural logarithms.

    tokens  (U,) the target
    starts  (U,) the frame at which each token begins
    ends    (U,) the frame after its last one
    scores  (U,) CTC: mean log probability of the token over its frames; transducer: that of its emission
    path    CTC: (T,) the state s of l' at each frame; transducer: (T+U+1, 2) all nodes (t, u) to (T, U)
    score   log probability of the whole path; -inf and an empty path where no path exists
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
    """The most probable path of each target: α with max in the place of the sum (Lesson 06).

    Arguments as `ctc_loss`; without lengths, the tensors' own. Returns an `Alignment` an utterance: a list
    for (T, B, V), one for (T, V). Raises what `ctc_loss` raises.
    """
    batch = _Batch.check(log_probs.detach(), targets, input_lengths, target_lengths, blank)
    emission = batch.emission()
    reach = _sweep(emission, batch.skip(), batch.start(), torch.maximum) + emission
    alignments = [
        _trace(reach[: int(T), : 2 * int(U) + 1, b], emission[..., b], batch.labels[b, : int(U)])
        for b, (T, U) in enumerate(zip(batch.T_b, batch.U_b, strict=True))
    ]
    return alignments[0] if log_probs.ndim == 2 else alignments


def ctc_posteriors(
    log_probs: Float[Tensor, "T *B V"],
    targets: Int[Tensor, "..."],
    input_lengths: Lengths | None = None,
    target_lengths: Lengths | None = None,
    blank: int = 0,
) -> Float[Tensor, "T *B S"]:
    """γ(t, s): the probability that a path of the target is in state s of l' at frame t (eq. 14; Lesson 06).

    Arguments as `ctc_loss`. Returns (T, B, 2U+1) or (T, 2U+1) probabilities, which sum to 1 over s at every
    frame of an utterance that has a path, and are 0 in the padding. Raises what `ctc_loss` raises.
    """
    batch = _Batch.check(log_probs.detach(), targets, input_lengths, target_lengths, blank)
    gamma = _forward_backward(batch)[1][:, :-2].permute(0, 2, 1)
    return gamma[:, 0] if log_probs.ndim == 2 else gamma


def ctc_alphas(
    log_probs: Float[Tensor, "T V"], targets: Int[Tensor, "U"], blank: int = 0
) -> Float[Tensor, "T 2*U+1"]:
    """α(t, s) of one utterance, written as Graves 2006 eq. 5-7 are, for reading (Lesson 06)."""
    label, (T, _) = _extended(targets, blank), log_probs.shape
    S = len(label)
    alpha = log_probs.new_full((T, S), NEG_INF)
    alpha[0, 0] = log_probs[0, blank]
    if S > 1:
        alpha[0, 1] = log_probs[0, label[1]]
    for t in range(1, T):
        for s in range(S):
            before = [alpha[t - 1, s]]
            if s >= 1:
                before.append(alpha[t - 1, s - 1])
            # a blank may be jumped over, except between two equal labels, which would then be read as one
            if s >= 2 and label[s] != blank and label[s] != label[s - 2]:
                before.append(alpha[t - 1, s - 2])
            alpha[t, s] = torch.stack(before).logsumexp(0) + log_probs[t, label[s]]
    return alpha


def ctc_betas(
    log_probs: Float[Tensor, "T V"], targets: Int[Tensor, "U"], blank: int = 0
) -> Float[Tensor, "T 2*U+1"]:
    """β(t, s) of one utterance, Graves 2006 eq. 9-11: α of the utterance and its target read backwards.

    As in the paper, β(t, s) counts frame t too, and so does α(t, s): α + β - y(t, l'(s)) is one path
    through (t, s).
    """
    return ctc_alphas(log_probs.flip(0), targets.flip(0), blank).flip(0, 1)


def ctc_brute_force(
    log_probs: Float[Tensor, "T V"], targets: Int[Tensor, "U"], blank: int = 0
) -> Float[Tensor, ""]:
    """ln p(l | x) as Graves 2006 eq. 2 and 3 define it: the sum over all V**T paths that collapse to l.

    Only for small T and V, as a witness (Lesson 06). -inf where no path collapses to the target.
    """
    T, V = log_probs.shape
    wanted = targets.tolist()
    paths = [p for p in itertools.product(range(V), repeat=T) if collapse(p, blank) == wanted]
    if not paths:
        return log_probs.new_tensor(NEG_INF)
    frames = torch.arange(T, device=log_probs.device)
    scores = [log_probs[frames, torch.tensor(path, dtype=torch.long)].sum() for path in paths]
    return torch.stack(scores).logsumexp(0)


def collapse(path: Sequence[int], blank: int = 0) -> list[int]:
    """The map B of Graves 2006: first one of each run of equal symbols, then no blanks (Lesson 06)."""
    return [symbol for symbol, _ in itertools.groupby(path) if symbol != blank]


class _CTCLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, log_probs, batch):
        log_p, gamma = _forward_backward(batch, posteriors=ctx.needs_input_grad[0])
        if gamma is not None:
            ctx.save_for_backward(gamma.to(_loss_dtype(log_probs)), batch.states)
            ctx.like = log_probs.new_empty(0), log_probs.shape
        return -log_p.to(_loss_dtype(log_probs))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_losses):
        # eq. 15 for ln p(l|x) and log y: -Σ γ(t, s) over the states s that show label k
        gamma, states = ctx.saved_tensors
        like, (T, B, V) = ctx.like
        # an impossible utterance has no γ: zero_infinity or not, inf * 0 must not make a NaN of it
        flow = -gamma * grad_losses.where(grad_losses.isfinite(), 0)
        index = states.expand(T, -1, -1).transpose(1, 2)
        grad = gamma.new_zeros(T, B, V).scatter_add_(2, index, flow.transpose(1, 2))
        return grad.to(like.dtype), None


class _Batch:
    """Checked arguments in one form: (T, B, V), padded targets, lengths as tensors on the device.

    states  (S, B) the extended targets l', and two states more: an utterance is over, and one never reached,
            for S to be odd. So every utterance ends in frame T, and the lattice turned around is one, too.
    """

    @classmethod
    def check(cls, log_probs, targets, input_lengths, target_lengths, blank):
        self = cls()
        if log_probs.ndim not in (2, 3):
            raise ValueError(f"log_probs must be (T, B, V) or (T, V), not {tuple(log_probs.shape)}")
        if log_probs.ndim == 2:
            log_probs = log_probs[:, None]
            targets = targets[None] if targets.ndim == 1 else targets
        T, B, V = log_probs.shape
        if not 0 <= blank < V:
            raise ValueError(f"blank is {blank}, but log_probs has {V} labels: 0 to {V - 1}")
        device = log_probs.device
        T_b = _as_lengths("input_lengths", T if input_lengths is None else input_lengths, B, device)
        widest = targets.shape[-1]
        U_b = _as_lengths("target_lengths", widest if target_lengths is None else target_lengths, B, device)
        self.log_probs, self.T_b, self.U_b, self.blank = log_probs, T_b, U_b, blank
        self.labels = self._check_targets(targets, widest)
        self.states = F.pad(_extended(self.labels, blank), (0, 2), value=blank).T
        self._check_values()
        return self

    def _check_targets(self, targets, widest):
        """The labels (B, U)."""
        (T, B, V), device, T_b, U_b = self.log_probs.shape, self.log_probs.device, self.T_b, self.U_b
        if targets.ndim == 2 and targets.shape[0] != B:
            raise ValueError(f"targets has {targets.shape[0]} utterances, log_probs has {B}")
        if on_xla(self.log_probs):
            if targets.ndim == 1:
                raise ValueError(f"targets is {tuple(targets.shape)}, but on XLA it must be (B, U)")
            targets = targets.to(device, torch.long)
            return torch.where(torch.arange(widest, device=device) < U_b[:, None], targets, self.blank)
        U = int(U_b.max())
        check_lengths("input_lengths", T_b, T, "frames of log_probs")
        if targets.ndim == 1:
            check_lengths("target_lengths", U_b, widest, "labels in targets")
            if int(U_b.sum()) != widest:
                total = int(U_b.sum())
                raise ValueError(f"targets has {widest} labels in a row, but target_lengths sum to {total}")
            real = torch.arange(U, device=device) < U_b[:, None]
            padded = torch.zeros(B, U, dtype=torch.long, device=device)
            padded[real] = targets.to(device, torch.long)
            targets = padded
        else:
            check_lengths("target_lengths", U_b, widest, "columns of targets")
            targets = targets[:, :U].to(device, torch.long)
        return check_labels(targets, U_b, V, self.blank)

    def _check_values(self):
        if not values_checked(self.log_probs):
            return
        # one sum a frame sees every NaN and +inf; -inf is a probability of zero and harmless
        total = self.log_probs.detach().sum(-1, dtype=_loss_dtype(self.log_probs))
        bad = (total.isnan() | (total == math.inf)) & self.real_frames()
        if bad.any():
            t, b = bad.nonzero()[0].tolist()
            row = self.log_probs.detach()[t, b]
            v = (row.isnan() | (row == math.inf)).nonzero()
            if len(v):
                v = int(v[0])
                raise ValueError(f"log_probs is {float(row[v])} at frame {t}, utterance {b}, label {v}")

    def real_frames(self):
        return torch.arange(self.log_probs.shape[0], device=self.T_b.device)[:, None] < self.T_b

    def emission(self):
        """(T+1, S, B): y(t, l'(s)); behind the utterance only the state of being over, with probability 1.

        Elsewhere -inf, so that nothing of the padding is ever read.
        """
        T, B, _ = self.log_probs.shape
        index = self.states.T.expand(T, -1, -1)
        y = self.log_probs.detach().gather(2, index).transpose(1, 2)
        s = torch.arange(len(self.states), device=y.device)[:, None]
        real = self.real_frames()[:, None] & (s <= 2 * self.U_b)
        lattice = torch.full(
            (T + 1, *self.states.shape), NEG_INF, dtype=recursion_dtype(y.device), device=y.device
        )
        lattice[:T] = torch.where(real, y, NEG_INF)
        t = torch.arange(T + 1, device=y.device)[:, None, None]
        return lattice.masked_fill_((t >= self.T_b) & (s == self.over()), 0.0)

    def over(self):
        """(B,): the state behind the last blank, where an utterance is after its last frame."""
        return 2 * self.U_b + 1

    def skip(self):
        """(S, B): 0 where a path may come from s-2 (eq. 6, lower case), else -inf."""
        states = self.states
        skip = torch.full(states.shape, NEG_INF, device=states.device, dtype=recursion_dtype(states.device))
        s = torch.arange(2, len(states), device=states.device)[:, None]
        # eq. 8: a path ends in the last blank or in the last label
        may = (states[2:] != self.blank) & (states[2:] != states[:-2]) | (s == self.over())
        skip[2:] = torch.where(may, 0.0, NEG_INF)
        return skip

    def start(self):
        """(S, B): 0 for the two states in which a path may begin, else -inf."""
        s = torch.arange(len(self.states), device=self.U_b.device)[:, None]
        begins = (s < 2).expand(self.states.shape)
        return torch.where(begins, 0.0, NEG_INF).to(recursion_dtype(self.U_b.device))


def _forward_backward(batch, posteriors=True):
    """ln p(l|x) (B,) and γ (T, S, B), or None in its place."""
    emission, skip, start = batch.emission(), batch.skip(), batch.start()
    (S, B), over = skip.shape, batch.over()
    if posteriors:
        # β is α of time and target read backwards: both go in one sweep, as 2B utterances
        emission = torch.cat([emission, emission.flip(0, 1)], 2)
        skip = torch.cat([skip, shift(skip.flip(0), 2, 0)], 1)
        ends = torch.arange(S, device=over.device)[:, None] == S - 1 - over
        start = torch.cat([start, torch.where(ends, 0.0, NEG_INF).to(start)], 1)
    static = on_xla(emission)
    if static:
        before, taken = _scaled_sweep(emission, skip, start)
    else:
        before = _sweep(emission, skip, start, torch.logaddexp)
    log_p = before[-1, :, :B].gather(0, over[None])[0]
    if static:
        log_p = log_p + taken[:B]
    if not posteriors:
        return log_p, None
    # eq. 14: α and β both count y(t, l'(s)) in the paper; here β comes without
    paths = before[:-1, :, :B] + emission[:-1, :, :B]
    paths += before[1:, :, B:].flip(0, 1)
    possible = batch.real_frames()[:, None] & (log_p > NEG_INF)
    if static:
        return log_p, torch.where(possible, shares(paths, 1), 0.0)
    return log_p, paths.sub_(log_p).exp_().masked_fill_(~possible, 0)


def _sweep(emission: Tensor, skip: Tensor, start: Tensor, combine: Callable) -> Tensor:
    """α(t, s) before y(t, l'(s)) is added, eq. 6 and 7, for R utterances at once: (T, S, R) as `emission`.

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
    """The sum over paths of `_sweep` for XLA: one loop of the program, and each frame rescaled.

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


def _trace(reach: Tensor, emission: Tensor, labels: Tensor) -> Alignment:
    """The best path backwards through `reach` (T, S): at each frame the best state that can come before."""
    T, S = reach.shape
    U = len(labels)
    none = labels.new_full((U,), -1)
    ends = reach[-1, max(0, S - 2) :] if T else reach.new_full((1,), 0.0 if U == 0 else NEG_INF)
    if T == 0 or float(ends.max()) == NEG_INF:
        return Alignment(labels, none, none, none.to(reach.dtype), labels.new_empty(0), float(ends.max()))
    s = max(0, S - 2) + int(ends.argmax())
    rows, target, path = reach.tolist(), labels.tolist(), [s]
    for row in reversed(rows[:-1]):
        reachable = [s, s - 1] if s > 0 else [s]
        if s >= 3 and s % 2 and target[s // 2] != target[s // 2 - 1]:
            reachable.append(s - 2)
        s = max(reachable, key=row.__getitem__)
        path.append(s)
    path = torch.tensor(path[::-1], device=labels.device)
    frame = torch.arange(T, device=labels.device)
    shown = path == 2 * torch.arange(U, device=labels.device)[:, None] + 1
    starts = torch.where(shown, frame, T).amin(1)
    ends_at = torch.where(shown, frame, -1).amax(1) + 1
    along = emission[frame, path]
    scores = torch.where(shown, along, 0.0).sum(1) / shown.sum(1)
    return Alignment(labels, starts, ends_at, scores, path, float(ends.max()))


def _extended(targets: Tensor, blank: int) -> Tensor:
    """l': blanks before, between and after the labels; (..., U) -> (..., 2U+1)."""
    extended = targets.new_full((*targets.shape[:-1], 2 * targets.shape[-1] + 1), blank)
    extended[..., 1::2] = targets
    return extended


def recursion_dtype(device: torch.device) -> torch.dtype:
    """α and β are sums of thousands of terms that end near -10,000, where float32 has three decimals left."""
    return torch.float32 if device.type in ("mps", "xla") else torch.float64


def _loss_dtype(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _as_lengths(name: str, lengths, B: int, device) -> Tensor:
    if isinstance(lengths, int):
        lengths = [lengths] * B
    lengths = torch.as_tensor(lengths, device=device)
    if lengths.dtype.is_floating_point:
        raise ValueError(f"{name} must hold integers, not {lengths.dtype}")
    if lengths.numel() != B:
        raise ValueError(f"{name} has {lengths.numel()} entries for {B} utterances")
    return lengths.reshape(B).long()


_VALUES_CHECKED = contextvars.ContextVar("values_checked", default=True)


@contextlib.contextmanager
def values_unchecked() -> Iterator[None]:
    """Within it NaN and infinity among what the losses are given make a loss of NaN, and no error: for a
    training loop, which looks at the loss itself and has a GPU that should not wait for each look.
    """
    token = _VALUES_CHECKED.set(False)
    try:
        yield
    finally:
        _VALUES_CHECKED.reset(token)


def values_checked(x: Tensor) -> bool:
    """Whether a loss looks at its numbers: never on XLA, where nothing is asked of the device."""
    return _VALUES_CHECKED.get() and not on_xla(x)


def check_lengths(name: str, lengths: Tensor, longest: int, what: str) -> None:
    """ValueError for the first of `lengths` (B,) outside 0 .. longest."""
    bad = (lengths < 0) | (lengths > longest)
    if bad.any():
        b = int(bad.nonzero()[0])
        raise ValueError(f"{name}[{b}] is {int(lengths[b])}, but there are {longest} {what}")


def check_labels(targets: Tensor, U_b: Tensor, V: int, blank: int) -> Tensor:
    """The targets (B, U), the padding replaced by a label that exists; ValueError for the first bad label."""
    real = torch.arange(targets.shape[1], device=targets.device) < U_b[:, None]
    bad = real & ((targets < 0) | (targets >= V) | (targets == blank))
    if bad.any():
        b, u = bad.nonzero()[0].tolist()
        label = int(targets[b, u])
        why = "the blank" if label == blank else f"outside the vocabulary of {V}"
        raise ValueError(f"targets[{b}, {u}] is {label}, {why}")
    return torch.where(real, targets, blank)
