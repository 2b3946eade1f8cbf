"""The exponential moving average of the weights: what is evaluated and kept. Lesson 09."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of all weights and running statistics, in ``weights`` by state-dict key."""

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.weights: dict[str, Tensor] = {
            name: value.detach().clone() for name, value in model.state_dict().items()
        }

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move the average towards ``model`` as step ``step``, from 0, has left it.

        The decay is min(decay, (1 + step) / (10 + step)): a young average soon forgets its random start.
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        state = model.state_dict()
        moving = [name for name, value in state.items() if value.is_floating_point()]
        # one call for all: on a GPU, a thousand small ones take longer than their arithmetic
        averages, values = ([held[name] for name in moving] for held in (self.weights, state))
        torch._foreach_lerp_(averages, values, 1 - decay)
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
