"""Faults that a lesson makes on purpose, to watch how training copes with them. Lesson 10.

with nan_losses({3}): train(...)              the loss of step 3 is nan
with dictated_dev_wer([40.0, 30.0]): train(...)   the dev WER is what is written here
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Container, Iterator, Sequence
from types import SimpleNamespace
from typing import Any
from unittest import mock

from asrlib.models.transducer import Transducer


@contextlib.contextmanager
def nan_losses(steps: Container[int]) -> Iterator[None]:
    """Make the loss nan in the forward passes of these numbers, counted from 0, inside the ``with`` block."""
    count, forward = itertools.count(), Transducer.forward

    def broken(*args: Any, **options: Any) -> Any:
        return forward(*args, **options) * (float("nan") if next(count) in steps else 1.0)

    with mock.patch.object(Transducer, "forward", broken):
        yield


@contextlib.contextmanager
def dictated_dev_wer(rates: Sequence[float]) -> Iterator[None]:
    """Let training's evaluations of the dev set return these WERs, in percent, one after another."""
    answers = iter(rates)

    def pretended(recognizer: Any, cuts: Any) -> tuple[Any, Any, list]:
        rate = SimpleNamespace(rate=next(answers))
        return rate, rate, []

    with mock.patch("asrlib.training.loop.evaluate", pretended):
        yield
