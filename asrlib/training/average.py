"""The exponential moving average of the weights, which is evaluated and saved. Lesson 09."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of a model's weights and running statistics.

    ``weights`` maps state-dict keys to averaged tensors. ``decay`` is the limit of the decay per step.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.weights: dict[str, Tensor] = {
            name: value.detach().clone() for name, value in model.state_dict().items()
        }

    def update(self, model: nn.Module, step: int) -> None:
        """Update the average with the weights of ``model`` after step ``step``, which counts from 0.

        The decay is min(decay, (1 + step) / (10 + step)), so that a young average quickly forgets the
        random initial weights.
        """
        self.move(model, self.weight_of(step))

    def weight_of(self, step: int) -> float:
        """Return the weight in the average, from 0 to 1, of the model after step ``step``."""
        return 1 - min(self.decay, (1 + step) / (10 + step))

    @torch.no_grad()
    def move(self, model: nn.Module, weight: float | Float[Tensor, ""]) -> None:
        """Move the average towards ``model`` by the fraction ``weight``.

        ``weight`` may be a tensor on the weights' device; its value is then not read on the host.
        """
        state = model.state_dict()
        moving = [name for name, value in state.items() if value.is_floating_point()]
        # one call for all tensors: launching a thousand small GPU kernels takes longer than running them
        averages, values = ([held[name] for name in moving] for held in (self.weights, state))
        if isinstance(weight, Tensor):
            way = torch._foreach_sub(values, averages)
            torch._foreach_mul_(way, weight)
            torch._foreach_add_(averages, way)
        else:
            torch._foreach_lerp_(averages, values, weight)
        for name in state.keys() - moving:
            # adding 0 keeps XLA from sharing the model's memory, for which it would compile again
            self.weights[name].copy_(state[name] + 0)

    @contextlib.contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Load the averaged weights into ``model`` within the block, and restore its own afterwards."""
        own = {name: value.detach().clone() for name, value in model.state_dict().items()}
        model.load_state_dict(self.weights)
        try:
            yield
        finally:
            model.load_state_dict(own)
