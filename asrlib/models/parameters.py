"""How many numbers a network holds, counted as Keras counts them. Lesson 04."""

from __future__ import annotations

from torch import nn


def count_parameters(module: nn.Module) -> tuple[int, int]:
    """(trainable, non-trainable) as Keras counts them. Lesson 04.

    Batch norm's running mean and variance are Keras' non-trainable weights. PyTorch's
    LSTM has two bias vectors where Keras' has one: the second is not counted. Keras' GRU
    has two as well (``reset_after``, its default).
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
