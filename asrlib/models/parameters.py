"""Count the parameters of a network as Keras does. Lesson 04b."""

from __future__ import annotations

from torch import nn


def count_parameters(module: nn.Module) -> tuple[int, int]:
    """Return the numbers of trainable and non-trainable parameters, as Keras counts them. Lesson 04b.

    The running mean and variance of batch norm are non-trainable. PyTorch's LSTM has two bias vectors where
    Keras's has one, so the second is not counted. Keras's GRU has two as well (``reset_after``, its default).
    """
    lstms = [part for part in module.modules() if isinstance(part, nn.LSTM)]
    second = {p for lstm in lstms for n, p in lstm.named_parameters() if n.startswith("bias_hh")}
    trainable = sum(p.numel() for p in module.parameters() if p not in second)
    running = sum(
        b.numel()
        for n, b in module.named_buffers()
        if n.rsplit(".", 1)[-1] in ("running_mean", "running_var")
    )
    return trainable, running
