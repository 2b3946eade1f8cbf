"""Values as JSON, with tensors' bytes: what a message may carry."""

from __future__ import annotations

import base64
import math
from typing import Any

DTYPES = "float32 float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64 complex128".split()


def encode(value: Any) -> Any:
    """JSON for numbers, text, tensors, arrays and collections of them; the type's name for anything else."""
    import numpy as np
    import torch

    if value is None or isinstance(value, bool | int | float | str):
        return value if not isinstance(value, int) or abs(value) < 1 << 200 else {"other": "a huge int"}
    if isinstance(value, np.generic):
        return encode(value.item())
    if isinstance(value, np.ndarray):
        return {"array": encode(torch.from_numpy(np.ascontiguousarray(value)))}
    if isinstance(value, torch.Tensor):
        plain = value.detach().cpu().contiguous().resolve_conj().resolve_neg()
        data = plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b""
        return {
            "tensor": [
                str(plain.dtype).removeprefix("torch."),
                list(plain.shape),
                base64.b64encode(data).decode(),
            ]
        }
    for name, kind in (("list", list), ("tuple", tuple), ("set", (set, frozenset))):
        if isinstance(value, kind):
            return {name: [encode(item) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(item)] for key, item in value.items()]}
    return {"other": f"a {type(value).__name__}"}


class Other:
    """Something that cannot cross: only what it is called."""

    def __init__(self, name: str):
        self.name = name

    def __repr__(self):
        return self.name


def decode(value: Any, depth: int = 0) -> Any:
    """The value; ValueError for what ``encode`` does not write."""
    import torch

    if depth > 20:
        raise ValueError("nested too deep")
    if not isinstance(value, dict):
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise ValueError("not a value")
    ((kind, inside),) = value.items()
    if kind == "tensor":
        dtype, shape, data = inside
        if dtype not in DTYPES or not all(isinstance(n, int) and 0 <= n < 1 << 32 for n in shape):
            raise ValueError("not a tensor")
        dtype, data = getattr(torch, dtype), bytearray(base64.b64decode(data, validate=True))
        if len(data) != math.prod(shape) * dtype.itemsize:
            raise ValueError("not the tensor's size")
        return (torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)).reshape(shape)
    if kind == "array":
        return decode(inside, depth + 1).numpy()
    if kind in ("list", "tuple", "set"):
        items = [decode(item, depth + 1) for item in inside]
        return items if kind == "list" else tuple(items) if kind == "tuple" else set(items)
    if kind == "dict":
        return {decode(key, depth + 1): decode(item, depth + 1) for key, item in inside}
    return Other(str(inside)[:100])
