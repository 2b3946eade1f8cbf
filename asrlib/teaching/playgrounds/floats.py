"""Arrays in the options of the playgrounds: 32-bit floats as text, for JSON holds no bytes."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import torch
from torch import Tensor


def as_text(values: Tensor) -> str:
    """Return numbers as 32-bit floats, little endian, in base64."""
    return base64.b64encode(values.detach().cpu().numpy().astype("<f4").tobytes()).decode()


def from_text(text: str) -> Tensor:
    """Return the numbers of ``as_text``, (n,), in float32."""
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), dtype="<f4").astype(np.float32))


def as_matrix(values: Tensor) -> dict[str, Any]:
    """Return a tensor as its shape and its numbers."""
    return {"shape": list(values.shape), "floats": as_text(values)}
