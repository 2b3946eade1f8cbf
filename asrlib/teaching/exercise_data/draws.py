"""Random numbers, log probabilities and labels, for the cases that the checkers draw."""

from __future__ import annotations

import torch
from torch import Tensor


def integer(g: torch.Generator, low: int, high: int) -> int:
    """Uniform in low .. high, both included."""
    return int(torch.randint(low, high + 1, (), generator=g))


def number(g: torch.Generator, low: float, high: float) -> float:
    """Draw a number in [low, high)."""
    return low + (high - low) * float(torch.rand((), generator=g, dtype=torch.float64))


def normal(g: torch.Generator, *shape: int) -> Tensor:
    """Draw normal numbers in float64."""
    return torch.randn(*shape, generator=g, dtype=torch.float64)


def log_probs(g: torch.Generator, *shape: int) -> Tensor:
    """Natural log probabilities over the last axis, float64."""
    return (1.5 * normal(g, *shape)).log_softmax(-1)


def labels(g: torch.Generator, U: int, V: int, blank: int) -> Tensor:
    """U labels of V without the blank; neighbors are often equal."""
    drawn: list[int] = []
    others = [k for k in range(V) if k != blank]
    for _ in range(U):
        again = drawn and integer(g, 0, 2) == 0
        drawn.append(drawn[-1] if again else others[integer(g, 0, len(others) - 1)])
    return torch.tensor(drawn, dtype=torch.long)
