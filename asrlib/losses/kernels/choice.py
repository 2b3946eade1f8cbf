"""The only place that decides whether the losses' kernels run on a tensor's device."""

from __future__ import annotations

import torch
from torch import Tensor

from asrlib import backend

# a program holds a row of the lattice in its registers
LONGEST_ROW = 2048


def runs_kernels(x: Tensor, U1: int) -> bool:
    """Return whether kernels compute a loss of ``x`` for targets of ``U1`` - 1 labels.

    They do on a GPU, and on a CPU through Triton's interpreter. If Triton cannot compile, warn once and
    return False.
    """
    return 0 < U1 <= LONGEST_ROW and backend.runs_triton(x.device, _trial)


def _trial(device: torch.device) -> None:
    """Run a recursion over a single node."""
    from asrlib.losses.kernels.diagonals import sweep

    scores = torch.zeros(1, 1, 1, device=device)
    one = torch.ones(1, dtype=torch.long, device=device)
    sweep(scores, scores, one, one - 1, turned=False)
