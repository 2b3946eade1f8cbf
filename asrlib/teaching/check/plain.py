"""One form of each value, so that what is the same in another type compares as the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def to_plain(value: Any) -> Any:
    """Return NumPy's arrays and numbers as tensors, tensors detached on the CPU, tuples as lists."""
    if isinstance(value, np.ndarray | np.generic):
        value = torch.as_tensor(value)
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value
