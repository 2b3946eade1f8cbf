"""Training on a TPU, that is, on XLA devices (Lesson 09).

XLA compiles the operations between two synchronisations into one program, for one set of shapes. A step here
is two programs: features to gradient, and the update. Between them the host reads loss and norm.
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
    """Performs training steps on XLA, asking nothing of the device within a program.

    Features are computed on the host, while the device computes.
    """

    few_shapes = True

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        settle(self.model, self.optimizer)
        finish()  # or all that came before would be part of the first step's program

    @property
    def eager_device(self) -> torch.device:
        return torch.device("cpu")

    def seed(self, seed: int) -> None:
        super().seed(seed)
        manual_seed(seed)

    def adds_noise(self, amount: float) -> bool:
        """Noise of 0 before it starts: without it, each shape's program would be compiled again then."""
        return self.settings.weight_noise != 0

    def problem_before_backward(self, loss: Tensor) -> None:
        """Ask nothing: the program would end here."""

    def end_program(self, *results: Tensor | None) -> tuple[Tensor | None, ...]:
        return finish(*results)

    def problem_after_backward(self, loss: Tensor, norm: Tensor | None) -> str | None:
        if not torch.isfinite(loss):
            return f"the loss is {float(loss)}"
        return super().problem_after_backward(loss, norm)

    def network_to_decode(self) -> Transducer:
        copied = build_model(self.config)
        copied.load_state_dict({name: value.cpu() for name, value in self.network.state_dict().items()})
        return copied


def check_supported(settings: TrainingConfig, cuts: CutSet) -> None:
    """Raise ``InputError`` for what cannot be trained on XLA."""
    if shar.shards_of(cuts) is not None:
        raise InputError("Shar shards cannot be trained on XLA, whose buckets need the whole corpus")
    if settings.checkpoint_blocks:
        raise InputError("training.checkpoint_blocks cannot be had on XLA: set it to false")


def finish(*results: Tensor | None) -> tuple[Tensor | None, ...]:
    """End the program here, and return ``results`` on the CPU."""
    import torch_xla

    torch_xla.sync()
    return tuple(None if x is None else x.cpu() for x in results)


@torch.no_grad()
def settle(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Bring Adam's state and the weights to where a step leaves them.

    The first step's programs are then all later ones', and nothing is compiled twice.
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
    """Seed the device's random numbers, which torch.manual_seed leaves alone."""
    import torch_xla

    torch_xla.manual_seed(seed)
