"""Training on XLA devices such as TPUs. Lesson 09.

XLA compiles the operations between two synchronizations into one program for one set of shapes. A step
consists of two programs: from features to the gradient, and the update. Between them the host reads
the loss and the norm of the gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from asrlib.config.schema import TrainingConfig
from asrlib.data import shar
from asrlib.errors import InputError
from asrlib.models.build import build_model
from asrlib.models.transducer import Transducer
from asrlib.training.step import TrainingStep

if TYPE_CHECKING:
    from lhotse import CutSet


class XlaStep(TrainingStep):
    """Training steps on XLA that read nothing from the device within a program.

    The host computes the features of a batch while the device runs.
    """

    few_shapes = True

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        settle(self.model, self.optimizer)
        finish()  # otherwise all earlier operations would be part of the first program

    @property
    def eager_device(self) -> torch.device:
        """Return the CPU, where shapes may vary without new programs."""
        return torch.device("cpu")

    def seed(self, seed: int) -> None:
        """Seed dropout and weight noise on the host and on the device."""
        super().seed(seed)
        manual_seed(seed)

    def adds_noise(self, amount: float) -> bool:
        """Return whether noise is configured; before its start it is 0, so that no program changes later."""
        return self.settings.weight_noise != 0

    def problem_before_backward(self, loss: Tensor) -> None:
        """Check nothing, as reading the loss would end the program here."""

    def end_program(self, *results: Tensor | None) -> tuple[Tensor | None, ...]:
        """End the program and return ``results`` on the CPU."""
        return finish(*results)

    def problem_after_backward(self, loss: Tensor, norm: Tensor | None) -> str | None:
        """Return the problem if the loss or the norm of the gradient is not finite, else None."""
        if not torch.isfinite(loss):
            return f"the loss is {float(loss)}"
        return super().problem_after_backward(loss, norm)

    def network_to_decode(self) -> Transducer:
        """Return a copy of the network on the CPU."""
        copied = build_model(self.config)
        copied.load_state_dict({name: value.cpu() for name, value in self.network.state_dict().items()})
        return copied


def check_supported(settings: TrainingConfig, cuts: CutSet) -> None:
    """Raise ``InputError`` if ``settings`` or ``cuts`` cannot be used on XLA."""
    if shar.shards_of(cuts) is not None:
        raise InputError(
            "training on XLA does not support Shar shards, as fixed shapes need the whole corpus"
        )
    if settings.chunk_seconds is not None:
        raise InputError("training on XLA does not support training.chunk_seconds: chunks have many shapes")
    if settings.checkpoint_blocks:
        raise InputError("training on XLA does not support training.checkpoint_blocks: set it to false")


def finish(*results: Tensor | None) -> tuple[Tensor | None, ...]:
    """End the current program and return ``results`` on the CPU."""
    import torch_xla

    torch_xla.sync()
    return tuple(None if x is None else x.cpu() for x in results)


@torch.no_grad()
def settle(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Bring Adam's state and the weights into the form in which a step leaves them.

    All later steps then reuse the programs of the first step, and nothing is compiled twice.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if not optimizer.state[parameter]:  # Adam would otherwise create it within its first step
                optimizer.state[parameter] = {
                    "step": torch.zeros((), device=parameter.device),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }
    # a program overwrites the results of earlier programs in place, but not tensors from the host
    for value in (*model.parameters(), *model.buffers()):
        value.add_(0)


def manual_seed(seed: int) -> None:
    """Seed the device's random numbers, which ``torch.manual_seed`` does not affect."""
    import torch_xla

    torch_xla.manual_seed(seed)
