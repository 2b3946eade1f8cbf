"""The exponential moving average of the weights: what is evaluated and kept. Lesson 09."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of all weights and running statistics, in ``weights`` by state-dict key."""

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.weights: dict[str, Tensor] = {
            name: value.detach().clone() for name, value in model.state_dict().items()
        }

    def update(self, model: nn.Module, step: int) -> None:
        """Move the average towards ``model`` as step ``step``, from 0, has left it.

        The decay is min(decay, (1 + step) / (10 + step)): a young average soon forgets its random start.
        """
        self.move(model, self.weight_of(step))

    def weight_of(self, step: int) -> float:
        """Return the weight of the model after step ``step`` in the average."""
        return 1 - min(self.decay, (1 + step) / (10 + step))

    @torch.no_grad()
    def move(self, model: nn.Module, weight: float | Float[Tensor, ""]) -> None:
        """Move the average by ``weight`` of its way towards ``model``; as a tensor it lies beside them."""
        state = model.state_dict()
        moving = [name for name, value in state.items() if value.is_floating_point()]
        # one call for all: on a GPU, a thousand small ones take longer than their arithmetic
        averages, values = ([held[name] for name in moving] for held in (self.weights, state))
        if isinstance(weight, Tensor):
            way = torch._foreach_sub(values, averages)
            torch._foreach_mul_(way, weight)
            torch._foreach_add_(averages, way)
        else:
            torch._foreach_lerp_(averages, values, weight)
        for name in state.keys() - moving:
            # as a copy it would share the model's memory on XLA, which then compiles for that
            self.weights[name].copy_(state[name] + 0)

    @contextlib.contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Give ``model`` the averaged weights within the block, and its own ones back after it."""
        own = {name: value.detach().clone() for name, value in model.state_dict().items()}
        model.load_state_dict(self.weights)
        try:
            yield
        finally:
            model.load_state_dict(own)
