"""Argument checks and reductions that all losses share (Lessons 06 and 07)."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from asrlib import backend

Lengths = Int[Tensor, "..."] | Sequence[int] | int
REDUCTIONS = ("none", "mean", "sum")

_VALUES_CHECKED = contextvars.ContextVar("values_checked", default=True)


@contextlib.contextmanager
def values_unchecked() -> Iterator[None]:
    """Skip the losses' checks for NaN and infinity inside the block: such inputs then give a loss of NaN.

    A training loop uses this. It checks the loss itself, and must not wait for the GPU at every check.
    """
    token = _VALUES_CHECKED.set(False)
    try:
        yield
    finally:
        _VALUES_CHECKED.reset(token)


def values_checked(x: Tensor) -> bool:
    """Return whether a loss checks its values.

    It never does where device values must not be read, as on XLA.
    """
    return _VALUES_CHECKED.get() and not backend.asks_nothing(x)


def check_tensor(name: str, x: Any, form: str, *dimensions: int) -> None:
    """Raise ValueError unless ``x`` is a tensor with one of these numbers of dimensions: that of ``form``."""
    if not isinstance(x, Tensor):
        kind = f"{type(x).__module__}.{type(x).__name__}".removeprefix("builtins.")
        raise ValueError(f"{name} must be a torch.Tensor, not {kind}: convert it with torch.as_tensor")
    if dimensions and x.ndim not in dimensions:
        raise ValueError(f"{name} is {tuple(x.shape)}, but must be {form}")


def check_floats(name: str, x: Any, form: str, *dimensions: int) -> None:
    """Raise ValueError as ``check_tensor`` does, and for a tensor that does not hold floats."""
    check_tensor(name, x, form, *dimensions)
    if not x.dtype.is_floating_point:
        raise ValueError(f"{name} must hold floats, not {x.dtype}")


def check_integers(name: str, x: Any, form: str, *dimensions: int) -> None:
    """Raise ValueError as ``check_tensor`` does, and for a tensor that does not hold integers."""
    check_tensor(name, x, form, *dimensions)
    if x.dtype.is_floating_point or x.dtype.is_complex or x.dtype == torch.bool:
        raise ValueError(f"{name} must hold integers, not {x.dtype}")


def as_lengths(name: str, lengths: Lengths, B: int) -> Int[Tensor, "B"]:
    """Convert lengths, given as a tensor, a sequence or a single number, to a tensor (B,) on their device.

    Raises ValueError for floats and for a wrong number of lengths.
    """
    if isinstance(lengths, int) and not isinstance(lengths, bool):
        lengths = [lengths] * B
    try:
        lengths = torch.as_tensor(lengths)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} must be a tensor or a sequence of integers, or one integer") from None
    if lengths.numel():  # an empty list is a tensor of floats
        check_integers(name, lengths, "(B,)")
    if lengths.numel() != B:
        raise ValueError(f"{name} has {lengths.numel()} entries for {B} utterances")
    return lengths.reshape(B).long()


def check_lengths(name: str, lengths: Sequence[int], longest: int, what: str) -> None:
    """Raise ValueError if any of ``lengths`` is outside 0 .. ``longest``, naming the first one."""
    for b, length in enumerate(lengths):
        if not 0 <= length <= longest:
            raise ValueError(f"{name}[{b}] is {length}, but there are {longest} {what}")


def check_lengths_and_labels(
    length_name: str,
    T_b: Int[Tensor, "B"],
    T: int,
    U_b: Int[Tensor, "B"],
    targets: Int[Tensor, "B U"],
    V: int,
    blank: int,
) -> tuple[list[int], list[int]]:
    """Check lengths and labels; return T_b and U_b as lists, with a single transfer from the device.

    T    number of frames in the tensor
    V    number of labels, including ``blank``

    Raises ValueError, naming the argument and the first bad item, for a length beyond its tensor and a label
    that is blank or outside the vocabulary.
    """
    B, U = targets.shape
    bad = within(U_b, U) & ((targets < 0) | (targets >= V) | (targets == blank))
    # a single transfer for everything that is needed from a GPU
    *numbers, any_bad = torch.cat([T_b, U_b, bad.any()[None]]).tolist()
    frames, labels = numbers[:B], numbers[B:]
    check_lengths(length_name, frames, T, "frames")
    check_lengths("target_lengths", labels, U, "columns of targets")
    if any_bad:
        b, u = bad.nonzero()[0].tolist()
        label = int(targets[b, u])
        why = "the blank" if label == blank else f"outside the vocabulary of {V}"
        raise ValueError(f"targets[{b}, {u}] is {label}, {why}")
    return frames, labels


def check_finite(name: str, x: Tensor, inside: Tensor | None = None) -> None:
    """Raise ValueError if ``x`` contains NaN or infinity, naming the first such item.

    inside  (B, N, ...), True for the items to check; None: all
    """
    if not values_checked(x):
        return
    bad = ~x.detach().isfinite()
    if inside is not None:
        bad &= inside[(...,) + (None,) * (x.ndim - inside.ndim)]
    if bad.any():
        where = tuple(bad.nonzero()[0].tolist())
        raise ValueError(f"{name}[{', '.join(map(str, where))}] is {float(x.detach()[where])}")


def within(lengths: Int[Tensor, "B"], longest: int) -> Bool[Tensor, "B N"]:
    """Return a mask (B, longest) that is True for the first lengths[b] places."""
    return torch.arange(longest, device=lengths.device) < lengths[:, None]


def check_reduction(reduction: str) -> None:
    """Raise ValueError for an unknown reduction."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be 'none', 'mean' or 'sum', not {reduction!r}")


def reduce_losses(losses: Float[Tensor, "B"], reduction: str) -> Float[Tensor, "*reduced"]:
    """Return the losses as they are, their mean over the batch, or their sum.

    Raises ValueError for an unknown reduction.
    """
    check_reduction(reduction)
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()
