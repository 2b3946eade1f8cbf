"""What the training loop needs on a TPU, that is, on XLA devices (Lesson 09)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def finish(*results: Tensor | None) -> tuple[Tensor | None, ...]:
    """End the program here, and return ``results`` (of the training loop) on the CPU."""
    import torch_xla

    torch_xla.sync()
    return tuple(None if x is None else x.cpu() for x in results)


@torch.no_grad()
def settle(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Bring Adam's state and the weights to where a step leaves them.

    The first step's programs are then those of all later steps, and nothing is compiled twice.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if not optimizer.state[parameter]:  # which Adam would make within its first step
                optimizer.state[parameter] = {
                    "step": torch.zeros((), device=parameter.device),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }
    # a program overwrites in place what an earlier one has made, and not what came from the host
    for value in (*model.parameters(), *model.buffers()):
        value.add_(0)


def manual_seed(seed: int) -> None:
    """Seed the random numbers of the device, which torch.manual_seed leaves alone."""
    import torch_xla

    torch_xla.manual_seed(seed)
