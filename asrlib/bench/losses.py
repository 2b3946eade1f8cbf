"""Compare speed and memory of losses with other libraries in one run on one machine. Lesson 07b.

``asrlib bench losses`` calls `bench_losses`. All implementations run in one process and take turns. Times are
medians over repetitions, denormals are flushed to zero, and no run can reuse the result of another. Errors
are relative to the same loss in float64, which the tests compare with the sum over all paths.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from asrlib import backend
from asrlib.bench.measure import (
    PATIENCE_S,
    default_device,
    describe_machine,
    megabytes,
    optional_module,
    peak_megabytes,
    reset_peak,
    timed,
    torchaudio_rnnt_loss,
)
from asrlib.losses.ctc import ctc_loss
from asrlib.losses.joint import joint_rnnt_loss
from asrlib.losses.pruned import prune_prediction, pruned_rnnt_loss, pruning_bounds, simple_rnnt_loss
from asrlib.losses.rnnt import rnnt_loss

# (B, T, U, V): the first two are typical of training on a laptop, the third is a long utterance of characters
LOSS_SHAPES = [(8, 186, 50, 1000), (4, 100, 20, 128), (1, 1500, 300, 50)]
CTC_SHAPES = [(8, 186, 50, 1000), (4, 500, 60, 128)]
# (B, T, U, V, D): the training shape of TensorFlowASR's ContextNet on LibriSpeech
JOINT_SHAPES = [(8, 372, 202, 1000, 512)]
QUICK = [(2, 20, 5, 30)], [(2, 20, 5, 30, 16)], [(2, 20, 5, 30)]
PRUNED = "pruned, 5 labels (approximate)"


class Row(NamedTuple):
    """One row of the table: median seconds of forward + backward, peak MB, and errors against float64.

    Errors are maximum differences divided by the largest entry in float64; None if not measured.
    """

    shape: str
    name: str
    seconds: float
    megabytes: float | None
    loss_error: float | None
    gradient_error: float | None


@dataclass
class Contest:
    """Implementations of one loss on the same data.

    ``implementations`` maps names to functions of ``inputs`` that return the loss. ``exact`` is the one that
    is evaluated in float64.
    """

    shape: str
    inputs: list[Tensor]
    implementations: dict[str, Callable[..., Tensor]]
    exact: Callable[..., Tensor]
    seconds: dict[str, list[float]] = field(default_factory=dict)
    megabytes: dict[str, float | None] = field(default_factory=dict)
    errors: dict[str, tuple[float, float] | tuple[None, None]] = field(default_factory=dict)


def bench_losses(*, repeats: int = 5, device: str | None = None, quick: bool = False) -> list[Row]:
    """Print a table for each of transducer loss, joint network with loss, and CTC; return all rows.

    All run forward and backward in float32 with full lengths.

    repeats  runs per implementation; the table has medians. An implementation that takes more than 10 s
             runs once
    device   "cpu" or "cuda"; None selects a GPU if there is one
    quick    use toy shapes, to check that everything runs

    The columns are seconds; the speed relative to the first line of the shape; peak MiB above the memory
    of the process before the shape's data was made (the data counts; on a CPU only under Linux); and the
    largest errors of loss and gradient against float64, relative to the largest entry. torchaudio and
    warprnnt_numba are left out if they are not installed.
    """
    device = device or default_device()
    backend.usable_device(device)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    shapes = QUICK if quick else (LOSS_SHAPES, JOINT_SHAPES, CTC_SHAPES)
    print(describe_machine(device))
    header = f"{'loss + gradient':34}{'s':>9}{'faster':>8}{'peak MB':>9}{'loss err':>10}{'grad err':>10}"
    rows = []
    for title, make, some, (toy,) in zip(
        ("transducer loss alone (B, T, U, V)", "joint + transducer loss (B, T, U, V, D)", "CTC (B, T, U, V)"),
        (_loss_contest, _joint_contest, _ctc_contest),
        shapes,
        QUICK,
        strict=True,
    ):
        print(f"\n{title}\n{header}")
        # warm up with a toy shape: load libraries, compile kernels
        _run(lambda make=make, toy=toy: make(toy, device), 1, device)
        for shape in some:
            found = _run(lambda make=make, shape=shape: make(shape, device), repeats, device)
            print(f"{found[0].shape}")
            for row in found:
                print(_line(row, found[0].seconds))
            rows += found
    return rows


def _line(row: Row, reference: float) -> str:
    memory = "-" if row.megabytes is None else f"{row.megabytes:.0f}"
    errors = ("-" if e is None else f"{e:.1e}" for e in (row.loss_error, row.gradient_error))
    return f"  {row.name:32}{row.seconds:9.4f}{reference / row.seconds:7.1f}x{memory:>9}" + "".join(
        f"{e:>10}" for e in errors
    )


def _loss_contest(shape, device) -> Contest:
    B, T, U, V = shape
    logits = torch.randn(B, T, U + 1, V, device=device)
    targets, T_b, U_b = _targets(B, T, U, V, device)

    def plain(loss):
        return lambda x: loss(x, targets, T_b, U_b, blank=0, reduction="sum")

    implementations = {}
    if theirs := torchaudio_rnnt_loss():
        implementations["torchaudio.functional.rnnt_loss"] = plain(theirs)
    if numba := optional_module("warprnnt_numba"):
        theirs = numba.RNNTLossNumba(blank=0, reduction="sum")
        implementations["warprnnt_numba"] = lambda x: theirs(x, targets, T_b, U_b).sum()
    implementations["asrlib.rnnt_loss"] = plain(rnnt_loss)
    return Contest(str(shape), [logits], implementations, plain(rnnt_loss))


def _joint_contest(shape, device) -> Contest:
    B, T, U, V, D = shape
    encoder, prediction = torch.randn(B, T, D, device=device), torch.randn(B, U + 1, D, device=device)
    weight, bias = torch.randn(V, D, device=device) / D**0.5, torch.zeros(V, device=device)
    # the two layers of the simple joint network that pruning needs
    simple_weights = torch.randn(2, V, D, device=device) / D**0.5
    targets, T_b, U_b = _targets(B, T, U, V, device)

    def together(encoder, prediction, weight, bias):
        return joint_rnnt_loss(encoder, prediction, weight, bias, targets, T_b, U_b, reduction="sum")

    def plain(encoder, prediction, weight, bias):
        logits = F.linear(torch.tanh(encoder[:, :, None] + prediction[:, None]), weight, bias)
        return theirs(logits, targets, T_b, U_b, blank=0, reduction="sum")

    def pruned(encoder, prediction, weight, bias):
        x, y = encoder @ simple_weights[0].T, prediction @ simple_weights[1].T
        simple, occupancy = simple_rnnt_loss(x, y, targets, T_b, U_b, reduction="sum")
        bounds = pruning_bounds(occupancy, T_b, U_b)
        band = torch.tanh(encoder[:, :, None] + prune_prediction(prediction, bounds))
        # computing the simple loss counts, but it is not part of the result
        loss = pruned_rnnt_loss(F.linear(band, weight, bias), bounds, targets, T_b, U_b, reduction="sum")
        return loss + 0 * simple

    theirs = torchaudio_rnnt_loss()
    implementations = {"plain joint + torchaudio": plain} if theirs else {}
    implementations |= {"asrlib.joint_rnnt_loss": together, PRUNED: pruned}
    return Contest(str(shape), [encoder, prediction, weight, bias], implementations, together)


def _ctc_contest(shape, device) -> Contest:
    B, T, U, V = shape
    logits = torch.randn(T, B, V, device=device)
    targets, T_b, U_b = _targets(B, T, U, V, device)

    def plain(loss):
        return lambda x: loss(x.log_softmax(-1), targets, T_b, U_b, reduction="sum")

    implementations = {"torch.nn.functional.ctc_loss": plain(F.ctc_loss), "asrlib.ctc_loss": plain(ctc_loss)}
    return Contest(str(shape), [logits], implementations, plain(ctc_loss))


def _targets(B, T, U, V, device):
    # torchaudio accepts only int32
    targets = torch.randint(1, V, (B, U), dtype=torch.int32, device=device)
    return targets, *(torch.full((B,), n, dtype=torch.int32, device=device) for n in (T, U))


def _run(make: Callable[[], Contest], repeats: int, device: str) -> list[Row]:
    reset_peak(device)
    before = megabytes(device)
    contest = make()
    for x in contest.inputs:
        x.requires_grad_()
    exact = _exact(contest)
    for turn in range(repeats):
        for name, loss in contest.implementations.items():
            taken = contest.seconds.setdefault(name, [])
            if turn and taken[0] > PATIENCE_S:
                continue
            gc.collect()
            reset_peak(device)
            seconds, result = _once(loss, contest.inputs, device)
            peak = peak_megabytes(device)
            taken.append(seconds)
            if turn == 0:
                contest.megabytes[name] = None if peak is None else peak - before
                # the error of pruning with an untrained simple joint network is meaningless
                contest.errors[name] = (None, None) if name == PRUNED else _errors(result, exact)
            del result
    return [
        Row(contest.shape, name, statistics.median(taken), contest.megabytes[name], *contest.errors[name])
        for name, taken in contest.seconds.items()
    ]


def _once(loss: Callable, inputs: list[Tensor], device: str) -> tuple[float, tuple[Tensor, Tensor]]:
    """Return the seconds of forward + backward, and the loss with its gradient by the first input."""
    seconds: dict[str, float] = {}
    with timed(seconds, "all", device):
        value = loss(*inputs)
        gradient = torch.autograd.grad(value, inputs, allow_unused=True)[0]
    return seconds["all"], (value.detach(), gradient)


def _exact(contest: Contest) -> tuple[Tensor, Tensor]:
    # store the gradient in float32: more digits are not compared, and large shapes need the memory
    inputs = [x.detach().double().requires_grad_() for x in contest.inputs]
    value = contest.exact(*inputs)
    return value.detach(), torch.autograd.grad(value, inputs[:1])[0].float()


def _errors(result: tuple[Tensor, Tensor], exact: tuple[Tensor, Tensor]) -> tuple[float, float]:
    loss, gradient = (
        float((mine - true).abs().max() / true.abs().max()) for mine, true in zip(result, exact, strict=True)
    )
    return loss, gradient
