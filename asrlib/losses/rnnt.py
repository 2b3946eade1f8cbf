"""The transducer (RNN-T): loss, posteriors and alignment, in plain PyTorch (Lesson 07).

Graves 2012, "Sequence Transduction with Recurrent Neural Networks", arXiv 1211.3711. Equation numbers are
that paper's, symbols too:

    T        frames (t = 0 .. T-1 here; 1 .. T in the paper)
    U        labels of the target y (u = 0 .. U of them are out)
    V        vocabulary, blank included
    ∅(t, u)  log Pr(blank | t, u): on to the next frame (eq. 15)          `log_blank[b, t, u]`
    y(t, u)  log Pr(y[u+1] | t, u): the next label comes out (eq. 14)     `log_label[b, t, u]`
    α(t, u)  log probability of all ways from (0, 0) to (t, u)            (eq. 16)
    β(t, u)  log probability of all ways from (t, u) to the end           (eq. 18)

Every probability is a natural logarithm. A path walks a lattice of nodes (t, u) from (0, 0): T steps of
blank, t to t+1, and U steps of a label, u to u+1. The last blank leads from (T-1, U) to (T, U), where every
path ends, so the lattice is kept with T+1 rows, and the paper's Pr(y | x) = α(T, U) ∅(T, U) is simply its
last node.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import os
import subprocess
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from asrlib.backend import on_xla
from asrlib.losses import rnnt_xla
from asrlib.losses.ctc import Alignment, check_labels, check_lengths, recursion_dtype, values_checked

NEG_INF = -math.inf
# Logits taken at a time on a CPU, 16 MB of float32. More, and the allocator returns the room after each call,
# to pay for fresh pages at the next; less, and a busy machine spends its time on handing blocks to threads.
BLOCK_ELEMENTS = 1 << 22
# A GPU wants more at a time: bytes.
GPU_BUDGET = 512 << 20


def rnnt_loss(
    logits: Float[Tensor, "B T U1 V"],
    targets: Int[Tensor, "B U"],
    logit_lengths: Int[Tensor, "B"],
    target_lengths: Int[Tensor, "B"],
    blank: int = -1,
    clamp: float | int = -1,
    reduction: str = "mean",
    fused_log_softmax: bool = True,
) -> Float[Tensor, "*reduced"]:
    """-ln Pr(y | x), Graves 2012 eq. 17, with the arguments of torchaudio.functional.rnnt_loss (Lesson 07).

    logits             (B, T, U+1, V) scores of the joint network, any float dtype, any padding
    targets            (B, U) labels; the padding may hold anything
    logit_lengths      (B,) frames of each utterance, 0 .. T
    target_lengths     (B,) labels of each target, 0 .. U
    blank              index of the blank; negative counts from the end
    clamp              above 0: each utterance's gradient is cut to [-clamp, clamp]
    reduction          "none": (B,); "sum"; "mean" over the batch
    fused_log_softmax  False: `logits` are log probabilities already, -inf among them allowed

    An utterance of no frames has one path, the empty one: loss 0 for the empty target, else inf, with
    gradient 0. The loss is float32 or wider; α and β run in float64 where the device has it. Works in
    passes over blocks of frames: beside the gradient no copy of `logits` is made, and padding is not
    computed.

    Raises ValueError, naming the argument and the first bad item: shapes that disagree, a length beyond its
    tensor, a label that is blank or outside the vocabulary, a logit that is NaN or infinite. To forbid a
    label, give it a finite score such as -1e4. On XLA only shapes are checked: values stay on the device.
    """
    lengths = logit_lengths, target_lengths
    batch = Batch.check("logits", logits.shape, "logit_lengths", *lengths, targets, blank)
    return reduce_losses(_RNNTLoss.apply(logits, batch, float(clamp), fused_log_softmax), reduction)


def rnnt_align(
    logits: Float[Tensor, "B T U1 V"],
    targets: Int[Tensor, "B U"],
    logit_lengths: Int[Tensor, "B"] | None = None,
    target_lengths: Int[Tensor, "B"] | None = None,
    blank: int = -1,
) -> list[Alignment]:
    """The most probable path of each target: α with max in the place of the sum (Lesson 07).

    Arguments as `rnnt_loss`; without lengths, the tensors' own. Returns an `Alignment` an utterance: label
    u comes out at frame starts[u], with the log probability scores[u]. Raises what `rnnt_loss` raises.
    """
    batch, log_blank, log_label = _lattice(logits, targets, logit_lengths, target_lengths, blank)
    by_blank, by_label = _entering(log_blank, log_label, turned=False)
    best = _on_lattice(_sweep(by_blank, by_label, torch.maximum), *log_blank.shape[1:])
    return [
        _trace(best[b], log_blank[b], log_label[b], T, batch.labels[b, :U])
        for b, (T, U) in enumerate(zip(*batch.spans, strict=True))
    ]


def rnnt_posteriors(
    logits: Float[Tensor, "B T U1 V"],
    targets: Int[Tensor, "B U"],
    logit_lengths: Int[Tensor, "B"] | None = None,
    target_lengths: Int[Tensor, "B"] | None = None,
    blank: int = -1,
) -> Float[Tensor, "B T U1"]:
    """γ(t, u) = α(t, u) β(t, u) / Pr(y | x): the probability that a path goes through (t, u) (Lesson 07).

    Arguments as `rnnt_loss`; without lengths, the tensors' own. Sums to 1 over each diagonal t + u = n (eq.
    19) as long as no path has ended, and is 0 in the padding. Raises what `rnnt_loss` raises.
    """
    batch, log_blank, log_label = _lattice(logits, targets, logit_lengths, target_lengths, blank)
    _, blank_flow, label_flow = forward_backward(log_blank, log_label, batch.T_b)
    return blank_flow + label_flow


def rnnt_scores(
    logits: Float[Tensor, "T U1 V"], targets: Int[Tensor, "U"], blank: int = -1
) -> tuple[Float[Tensor, "T U1"], Float[Tensor, "T U"]]:
    """∅(t, u) and y(t, u) of one utterance, eq. 12-15: all that the loss sees of the logits (Lesson 07)."""
    log_p = logits.log_softmax(-1)
    u = torch.arange(len(targets), device=targets.device)
    return log_p[..., blank], log_p[:, u, targets.long()]


def rnnt_alphas(log_blank: Float[Tensor, "T U1"], log_label: Float[Tensor, "T U"]) -> Float[Tensor, "T U1"]:
    """α(t, u) of one utterance, written as Graves 2012 eq. 16 is, for reading (Lesson 07).

    ln Pr(y | x) is α(T-1, U) + ∅(T-1, U) (eq. 17).
    """
    T, U1 = log_blank.shape
    alpha = log_blank.new_full((T, U1), NEG_INF)
    alpha[0, 0] = 0
    for t, u in itertools.product(range(T), range(U1)):
        ways = [alpha[t, u]]
        if t > 0:
            ways.append(alpha[t - 1, u] + log_blank[t - 1, u])
        if u > 0:
            ways.append(alpha[t, u - 1] + log_label[t, u - 1])
        alpha[t, u] = torch.stack(ways).logsumexp(0)
    return alpha


def rnnt_betas(log_blank: Float[Tensor, "T U1"], log_label: Float[Tensor, "T U"]) -> Float[Tensor, "T U1"]:
    """β(t, u) of one utterance, written as Graves 2012 eq. 18 is, for reading (Lesson 07).

    ln Pr(y | x) is β(0, 0).
    """
    T, U1 = log_blank.shape
    beta = log_blank.new_full((T, U1), NEG_INF)
    beta[-1, -1] = log_blank[-1, -1]
    for t, u in itertools.product(reversed(range(T)), reversed(range(U1))):
        ways = [beta[t, u]]
        if t < T - 1:
            ways.append(beta[t + 1, u] + log_blank[t, u])
        if u < U1 - 1:
            ways.append(beta[t, u + 1] + log_label[t, u])
        beta[t, u] = torch.stack(ways).logsumexp(0)
    return beta


def rnnt_brute_force(log_blank: Float[Tensor, "T U1"], log_label: Float[Tensor, "T U"]) -> Float[Tensor, ""]:
    """ln Pr(y | x) as the definition has it, eq. 1: the sum over all paths, one by one.

    There are (T-1+U choose U) of them: only for small lattices, as a witness (Lesson 07).
    """
    T, U = log_label.shape
    paths = []
    # the last step is a blank; the labels come out at any U of the T-1+U steps before it
    for emitting in itertools.combinations(range(T - 1 + U), U):
        t = u = 0
        path = log_blank[T - 1, U]
        for step in range(T - 1 + U):
            if step in emitting:
                path, u = path + log_label[t, u], u + 1
            else:
                path, t = path + log_blank[t, u], t + 1
        paths.append(path)
    return torch.stack(paths).logsumexp(0)


# ---- the recursion ---------------------------------------------------------------------------------------


def forward_backward(
    log_blank: Float[Tensor, "B T1 U1"],
    log_label: Float[Tensor, "B T1 U1"],
    T_b: Int[Tensor, "B"],
    flows: bool = True,
) -> tuple[Float[Tensor, "B"], Float[Tensor, "B T U1"] | None, Float[Tensor, "B T U1"] | None]:
    """ln Pr(y | x), and how probable it is that a path leaves (t, u) by blank and by label.

    Takes lattices of `new_lattice`, filled. Without `flows` only α is computed. The two flows are all the
    gradient needs (eq. 20): with k the label or blank that is taken, they are α(t, u) Pr(k | t, u) β(next
    node) / Pr(y | x); together they are γ(t, u), for what comes into a node leaves it.
    """
    if on_xla(log_blank):
        return rnnt_xla.forward_backward(log_blank, log_label, T_b, flows)
    B, T1, U1 = log_blank.shape
    kernels = _kernels(log_blank)
    if kernels and U1 > kernels.LONGEST_ROW:
        kernels = None
    if kernels:
        nodes = kernels.sweep(log_blank, log_label, turned=flows)
    else:
        # β is α of the lattice turned around: both go in one sweep, as 2B utterances
        nodes = _on_lattice(_sweep(*_entering(log_blank, log_label, flows), torch.logaddexp), T1, U1)
    log_p = nodes[:B, -1, -1]
    if not flows:
        return log_p, None, None
    alpha, beta = nodes[:B, :-1], nodes[B:] if kernels else nodes[B:].flip(1, 2)
    # an impossible target has no flow: -inf - -inf must not make a NaN of it
    alpha = alpha - torch.where(log_p == NEG_INF, 0.0, log_p)[:, None, None]
    blank_flow = (alpha + log_blank[:, :-1]).add_(beta[:, 1:]).exp_()
    label_flow = alpha.add_(log_label[:, :-1])
    label_flow[..., :-1] += beta[:, :-1, 1:]
    label_flow.exp_()
    # behind an utterance's last frame the path goes on to the end of the padding, for the recursion only
    beyond = torch.arange(T1 - 1, device=T_b.device)[:, None] >= T_b[:, None, None]
    return log_p, blank_flow.masked_fill_(beyond, 0), label_flow.masked_fill_(beyond, 0)


def new_lattice(T_b: Int[Tensor, "B"], U_b: Int[Tensor, "B"], T: int, U1: int, dtype: torch.dtype):
    """log_blank and log_label, (B, T+1, U1), to be filled for t < T_b, u <= U_b (blank) or u < U_b (label).

    Elsewhere they are -inf, no way through, but for one: from (T_b, U_b), where the utterance ends, blanks of
    probability 1 lead to the row T and labels of probability 1 along it to (T, U). So utterances of different
    lengths all start at (0, 0) and end at (T, U), and turning the lattice around makes an α of β.
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


def _entering(log_blank: Tensor, log_label: Tensor, turned: bool) -> tuple[Tensor, Tensor]:
    """(T+U+1, U+1, R): the scores on which a node is entered, by diagonals; `turned` adds them backwards."""
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


def _sweep(by_blank: Tensor, by_label: Tensor, combine: Callable) -> Tensor:
    """α of R lattices, eq. 16, diagonal after diagonal: the nodes of one t + u = n do not need each other.

    All arrays are (T+U+1, U+1, R): row n, column u holds node (n - u, u). `combine` is logaddexp for the
    sum over paths, maximum for the best one.
    """
    N, U1, R = by_blank.shape
    # a column of -inf in front: u - 1 of the first
    nodes = by_blank.new_full((N, U1 + 1, R), NEG_INF)
    nodes[0, 1] = 0
    wait, emit = torch.empty_like(by_blank[0]), torch.empty_like(by_blank[0])
    here, left = nodes[:, 1:].unbind(), nodes[:, :-1].unbind()
    for n, blank, label in zip(range(1, N), by_blank[1:].unbind(), by_label[1:].unbind(), strict=True):
        torch.add(here[n - 1], blank, out=wait)
        torch.add(left[n - 1], label, out=emit)
        combine(wait, emit, out=here[n])
    return nodes[:, 1:]


def _kernels(x: Tensor) -> ModuleType | None:
    """The Triton kernels where they run: on a GPU, or on a CPU through Triton's interpreter."""
    if x.is_cuda or os.environ.get("TRITON_INTERPRET") == "1":
        with contextlib.suppress(ImportError):
            from asrlib.losses.kernels import rnnt

            return rnnt if _kernels_work(rnnt, x.device) else None
    return None


@functools.cache
def _kernels_work(kernels: ModuleType, device: torch.device) -> bool:
    """Whether Triton can compile here; it wants a C compiler, and Python's headers."""
    try:
        kernels.sweep(*(torch.zeros(1, 2, 2, device=device) for _ in range(2)), turned=False)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        reason = " ".join(str(error).split())[:200]
        warnings.warn(
            f"Triton cannot compile the transducer loss for the GPU ({reason}): a slower way is taken."
            " Install a C compiler and Python's headers (python3-dev)",
            stacklevel=2,
        )
        return False
    return True


def _on_lattice(diagonals: Tensor, T1: int, U1: int) -> Tensor:
    """The same memory seen as (R, T+1, U+1): node (t, u) lies in row t + u, column u of the diagonals."""
    row, column, r = diagonals.stride()
    shape = diagonals.shape[2], T1, U1
    return diagonals.as_strided(shape, (r, row, row + column), diagonals.storage_offset())


# ---- from logits to the lattice and back -----------------------------------------------------------------


class Batch(NamedTuple):
    """Checked arguments. labels (B, U+1): in the padding the blank, so that there is something to look up.

    `spans` are the lengths as numbers; None on XLA, where nothing is asked of the device.
    """

    labels: Tensor
    T_b: Tensor
    U_b: Tensor
    spans: tuple[list[int], list[int]] | None
    blank: int

    @classmethod
    def check(cls, name, shape, length_name, T_b, U_b, targets, blank):
        B, T, U1, V = shape
        if not -V <= blank < V:
            raise ValueError(f"blank is {blank}, but there are {V} labels: {-V} to {V - 1}")
        blank %= V
        if U1 < 1 or targets.shape != (B, U1 - 1):
            raise ValueError(f"targets is {tuple(targets.shape)}, but {name} asks for (B, U) = {(B, U1 - 1)}")
        for what, lengths in ((length_name, T_b), ("target_lengths", U_b)):
            if lengths.shape != (B,):
                raise ValueError(f"{what} is {tuple(lengths.shape)}, but {name} asks for (B,) = {(B,)}")
        device = targets.device
        T_b, U_b = T_b.to(device, torch.long), U_b.to(device, torch.long)
        u = torch.arange(U1 - 1, device=device)
        real = u < U_b[:, None]
        spans = None
        if on_xla(targets):
            if T == 0:
                raise ValueError(f"{name} has no frames")
        else:
            bad = real & ((targets < 0) | (targets >= V) | (targets == blank))
            # everything a GPU must tell, in one message
            *spans, bad = torch.cat([T_b, U_b, bad.any()[None]]).tolist()
            spans = spans[:B], spans[B:]
            if min(spans[0], default=0) < 0 or max(spans[0], default=0) > T:
                check_lengths(length_name, T_b, T, "frames")
            if min(spans[1], default=0) < 0 or max(spans[1], default=0) >= U1:
                check_lengths("target_lengths", U_b, U1 - 1, "columns of targets")
            if bad:
                check_labels(targets, U_b, V, blank)
        labels = F.pad(torch.where(real, targets, blank).long(), (0, 1), value=blank)
        return cls(labels, T_b, U_b, spans, blank)

    def inside(self, T: int) -> Tensor:
        """(B, T, U+1): True for the nodes of each utterance, False in its padding."""
        t = torch.arange(T, device=self.T_b.device)[:, None]
        u = torch.arange(self.labels.shape[1], device=self.T_b.device)
        return (t < self.T_b[:, None, None]) & (u <= self.U_b[:, None, None])

    def fill(self, log_blank: Tensor, log_label: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (B, T, U+1), the padding of any content, as lattices (B, T+1, U+1); differentiable."""
        _, T, U1 = log_blank.shape
        inside = F.pad(self.inside(T), (0, 0, 0, 1))
        emitting = inside & (torch.arange(U1, device=self.U_b.device) < self.U_b[:, None, None])
        on, along = new_lattice(self.T_b, self.U_b, T, U1, log_blank.dtype)
        log_blank, log_label = F.pad(log_blank, (0, 0, 0, 1)), F.pad(log_label, (0, 0, 0, 1))
        return torch.where(inside, log_blank, on), torch.where(emitting, log_label, along)

    def blocks(self, V: int, elements: int) -> Iterator[tuple[tuple[slice, slice, slice], Tensor]]:
        """(utterances, frames, labels out) of some `elements` logits each, no padding; labels (b, t, U_b, 1).

        Few large blocks, utterances of equal lengths together: each block is a hand-over between threads.
        """
        first = 0
        for (T, U), run in itertools.groupby(zip(*self.spans, strict=True)):
            behind = first + len(list(run))
            together = max(1, elements // max(1, T * (U + 1) * V))
            frames = max(1, elements // ((U + 1) * V))
            for b, t in itertools.product(range(first, behind, together), range(0, T, frames)):
                utterances, frame = slice(b, min(b + together, behind)), slice(t, min(t + frames, T))
                labels = self.labels[utterances, None, :U, None].expand(-1, frame.stop - t, -1, -1)
                yield (utterances, frame, slice(0, U + 1)), labels
            first = behind


class _RNNTLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, batch, clamp, fused):
        log_blank, log_label, lse = _read(logits, batch, fused)
        wanted = ctx.needs_input_grad[0]
        log_p, blank_flow, label_flow = forward_backward(log_blank, log_label, batch.T_b, wanted)
        dtype = log_blank.dtype
        if blank_flow is not None:
            ctx.save_for_backward(logits, lse, blank_flow.to(dtype), label_flow.to(dtype))
            ctx.arguments = batch, clamp, fused
        return -log_p.to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_losses):
        logits, lse, blank_flow, label_flow = ctx.saved_tensors
        batch, clamp, fused = ctx.arguments
        if lse is not None:
            scale = grad_losses.to(blank_flow.dtype)
            arguments = logits, lse, blank_flow, label_flow, scale, batch, clamp
            if on_xla(logits):
                return rnnt_xla.gradient(*arguments, fused), None, None, None
            return _kernels(logits).gradient(*arguments), None, None, None
        if clamp <= 0:
            scale = grad_losses[:, None, None].to(blank_flow.dtype)
            blank_flow, label_flow = blank_flow * scale, label_flow * scale
        grad = torch.empty_like(logits, memory_format=torch.contiguous_format)
        _write_gradient(grad, logits, blank_flow, label_flow, batch, fused)
        if clamp > 0:
            grad.clamp_(-clamp, clamp).mul_(grad_losses[:, None, None, None])
        return grad, None, None, None


def _read(logits, batch, fused):
    """∅(t, u) and y(t, u), eq. 12-15, as lattices (B, T+1, U+1); from some paths logsumexp over V, too."""
    if on_xla(logits):
        *scores, lse = rnnt_xla.read(logits, batch, fused)
        return *batch.fill(*scores), lse
    kernels = _kernels(logits) if fused else None
    if kernels:
        *scores, lse = kernels.read(logits, batch)
        log_blank, log_label = batch.fill(*scores)
        sound = True
    elif not values_checked(logits):
        return *_read_blocks(logits, batch, fused), None
    else:
        log_blank, log_label = _read_blocks(logits, batch, fused)
        lse = None
        # a sum is NaN or infinite if one of its terms is: -inf as a logit shows nowhere else
        sound = not fused or logits.sum(dtype=log_blank.dtype).isfinite()
    # NaN or +inf among a node's logits has made its scores NaN; one look at the lattice finds it
    if values_checked(logits) and not ((log_blank < math.inf).all() & (log_label < math.inf).all() & sound):
        _complain(logits, batch, fused)
    return log_blank, log_label, lse


def _read_blocks(logits, batch, fused):
    B, T, U1, V = logits.shape
    dtype = torch.promote_types(logits.dtype, torch.float32)
    log_blank, log_label = new_lattice(batch.T_b, batch.U_b, T, U1, dtype)
    scratch = _scratch(logits, dtype)
    for here, labels in batch.blocks(V, len(scratch)):
        x = logits[here].to(dtype)
        if fused:
            x = torch.log_softmax(x, -1, out=scratch[: x.numel()].view(x.shape))
        log_blank[here] = x[..., batch.blank]
        log_label[here][..., :-1] = x[:, :, :-1].gather(3, labels)[..., 0]
    return log_blank, log_label


def _write_gradient(grad, logits, blank_flow, label_flow, batch, fused):
    """∂(-ln Pr)/∂logit k = γ(t, u) Pr(k | t, u) - the flow that leaves (t, u) by k: eq. 20 and softmax."""
    occupancy = blank_flow + label_flow
    scratch = _scratch(logits, occupancy.dtype)
    for b, (T, U) in enumerate(zip(*batch.spans, strict=True)):
        grad[b, T:] = 0
        grad[b, :T, U + 1 :] = 0
    for here, labels in batch.blocks(logits.shape[-1], len(scratch)):
        x = logits[here].to(occupancy.dtype)
        p = scratch[: x.numel()].view(x.shape)
        g = grad[here] if grad.dtype == p.dtype else p
        if fused:
            torch.softmax(x, -1, out=p)
            torch.mul(p, occupancy[here][..., None], out=g)
        else:
            g.zero_()
        g[..., batch.blank] -= blank_flow[here]
        g[:, :, :-1].scatter_add_(3, labels, -label_flow[here][:, :, :-1, None])
        if g is p:
            grad[here] = p


def _scratch(logits: Tensor, dtype: torch.dtype) -> Tensor:
    """Room for one block of logits, used again by the next: fresh memory costs more than the arithmetic."""
    _, _, U1, V = logits.shape
    most = BLOCK_ELEMENTS if logits.device.type == "cpu" else GPU_BUDGET // 4
    return logits.new_empty(max(min(most, logits.numel()), U1 * V), dtype=dtype)


def _complain(logits, batch, fused):
    """ValueError for the first logit, if any, that is NaN or infinite (log probabilities: NaN or +inf)."""
    for here, _ in batch.blocks(logits.shape[-1], BLOCK_ELEMENTS):
        bad = ~(logits[here].isfinite() if fused else logits[here] < math.inf)
        if bad.any():
            first = bad.nonzero()[0].tolist()
            b, t, u, v = (part.start + i for part, i in zip((*here, slice(0, None)), first, strict=True))
            raise ValueError(f"logits[{b}, {t}, {u}, {v}] is {float(logits[b, t, u, v])}")


def check_finite(name: str, x: Tensor, inside: Tensor | None = None) -> None:
    """ValueError for the first item of `x` that is NaN or infinite; `inside` (B, N, ...): which count."""
    if not values_checked(x):
        return
    bad = ~x.detach().isfinite()
    if inside is not None:
        bad &= inside[(...,) + (None,) * (x.ndim - inside.ndim)]
    if bad.any():
        where = tuple(bad.nonzero()[0].tolist())
        raise ValueError(f"{name}[{', '.join(map(str, where))}] is {float(x.detach()[where])}")


def within(lengths: Int[Tensor, "B"], longest: int) -> Bool[Tensor, "B N"]:
    """True for the first lengths[b] of `longest` places."""
    return torch.arange(longest, device=lengths.device) < lengths[:, None]


def reduce_losses(losses: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return losses
    if reduction == "mean":
        return losses.mean()
    if reduction == "sum":
        return losses.sum()
    raise ValueError(f"reduction must be 'none', 'mean' or 'sum', not {reduction!r}")


# ---- alignment -------------------------------------------------------------------------------------------


def _lattice(logits, targets, T_b, U_b, blank):
    B, T, U1, _ = logits.shape
    T_b = torch.full((B,), T, device=logits.device) if T_b is None else T_b
    U_b = torch.full((B,), U1 - 1, device=logits.device) if U_b is None else U_b
    batch = Batch.check("logits", logits.shape, "logit_lengths", T_b, U_b, targets, blank)
    return batch, *_read(logits.detach(), batch, fused=True)[:2]


def _trace(best: Tensor, log_blank: Tensor, log_label: Tensor, T: int, labels: Tensor) -> Alignment:
    """From (T, U) back to (0, 0), at each node the way `best` came."""
    U = len(labels)
    score = float(best[T, U])
    none = labels.new_full((U,), -1)
    if score == NEG_INF:
        return Alignment(labels, none, none, none.to(best.dtype), labels.new_empty(0, 2), score)
    best, log_blank, y = best.tolist(), log_blank.tolist(), log_label.to(best.dtype)
    t, u, path, starts = T, U, [(T, U)], []
    while t or u:
        by_blank = best[t - 1][u] + log_blank[t - 1][u] if t else NEG_INF
        # the last step is a blank: no label comes out at (T, U)
        by_label = best[t][u - 1] + float(y[t, u - 1]) if u and t < T else NEG_INF
        if by_blank >= by_label:
            t -= 1
        else:
            u -= 1
            starts.append(t)
        path.append((t, u))
    starts = torch.tensor(starts[::-1], dtype=torch.long, device=labels.device)
    scores = y[starts, torch.arange(U, device=labels.device)]
    path = torch.tensor(path[::-1], device=labels.device)
    return Alignment(labels, starts, starts + 1, scores, path, score)
