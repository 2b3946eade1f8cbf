"""Values as JSON, with tensors' bytes: what a message may carry."""

from __future__ import annotations

import base64
import math
from collections import Counter
from typing import Any

DTYPES = (
    "float32 float64 float16 bfloat16 int64 int32 int16 int8 uint64 uint32 uint16 uint8 bool"
    " complex64 complex128"
).split()
DEEPEST = 20
LARGEST_INT = 1 << 200
MOST_ENTRIES = 1 << 25
MOST_COLLISIONS = 1000
COLLECTIONS = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}


class Other:
    """Something that cannot cross: only what it is called."""

    def __init__(self, name: str):
        self.name = name

    def __repr__(self):
        return self.name


def encode(value: Any, depth: int = 0) -> Any:
    """JSON for numbers, text, tensors, arrays and collections of them; the type's name for anything else.

    Whatever is encoded can be decoded. Raises ValueError for what is nested too deep.
    """
    import numpy as np
    import torch

    if depth > DEEPEST:
        raise ValueError(f"nested more than {DEEPEST} deep")
    if value is None or isinstance(value, bool | int | float | str):
        return value if not isinstance(value, int) or abs(value) < LARGEST_INT else {"other": "a huge int"}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, np.generic) and value.dtype.kind in "biufcU" and value.dtype.itemsize <= 16:
        item = value.item()
        return encode(float(item) if isinstance(item, np.floating) else item)
    if isinstance(value, np.ndarray):
        return _encode_array(value)
    if isinstance(value, torch.Tensor):
        return _encode_tensor(value)
    for name, kind in COLLECTIONS.items():
        if isinstance(value, kind):
            return {name: [encode(item, depth + 1) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(key, depth + 1), encode(item, depth + 1)] for key, item in value.items()]}
    return {"other": f"a {type(value).__name__}"}


def encode_exactly(value: Any) -> Any:
    """``encode`` for arguments; TypeError for what would arrive as something else."""
    encoded = encode(value)
    _require_exact(value, encoded)
    return encoded


def _require_exact(value: Any, encoded: Any) -> None:
    import numpy as np
    import torch

    if isinstance(encoded, dict) and "other" in (encoded.get("array") or encoded):
        raise TypeError(f"{(encoded.get('array') or encoded)['other']} cannot be sent to an answer")
    exact = (type(None), bool, int, float, complex, str, dict, np.ndarray, torch.Tensor)
    if type(value) not in (*exact, *COLLECTIONS.values()) and not isinstance(value, np.generic):
        raise TypeError(f"a {type(value).__name__} cannot be sent to an answer")
    ((kind, inside),) = encoded.items() if isinstance(encoded, dict) else ((None, None),)
    if kind in COLLECTIONS:
        for pair in zip(value, inside, strict=True):
            _require_exact(*pair)
    elif kind == "dict":
        for (key, item), (encoded_key, encoded_item) in zip(value.items(), inside, strict=True):
            _require_exact(key, encoded_key)
            _require_exact(item, encoded_item)


def _encode_tensor(value) -> dict:
    import torch

    dtype = str(value.dtype).removeprefix("torch.")
    if dtype not in DTYPES or value.layout is not torch.strided:
        return {"other": f"a tensor of {value.dtype}, {value.layout}"}
    # one element counts as contiguous whatever its stride, and could then not be viewed as bytes
    plain = torch.empty(value.numel(), dtype=value.dtype)
    plain.copy_(value.detach().reshape(-1))
    data = plain.view(torch.uint8).numpy().tobytes() if plain.numel() else b""
    return {"tensor": [dtype, list(value.shape), base64.b64encode(data).decode()]}


def _encode_array(value) -> dict:
    import numpy as np
    import torch

    native = value.astype(value.dtype.newbyteorder("="))
    try:
        return {"array": _encode_tensor(torch.from_numpy(np.ascontiguousarray(native).reshape(value.shape)))}
    except TypeError:
        return {"other": f"an array of {value.dtype}"}


def decode(value: Any, depth: int = 0) -> Any:
    """The value; ValueError or TypeError for what ``encode`` does not write."""
    # a dict's pairs, an array's tensor: a level more than what was encoded
    if depth > DEEPEST + 2:
        raise ValueError("nested too deep")
    if not isinstance(value, dict):
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise ValueError("not a value")
    ((kind, inside),) = value.items()
    if kind == "tensor":
        return _decode_tensor(*inside)
    if kind == "array":
        return decode(inside, depth + 1).numpy()
    if kind == "complex":
        return complex(*inside)
    if kind in COLLECTIONS:
        items = [decode(item, depth + 1) for item in inside]
        return COLLECTIONS[kind](_spread(items) if "set" in kind else items)
    if kind == "dict":
        pairs = [(decode(key, depth + 1), decode(item, depth + 1)) for key, item in inside]
        _spread([key for key, _ in pairs])
        return dict(pairs)
    if kind != "other":
        raise ValueError("not a kind of value")
    return Other(str(inside)[:100])


def _spread(keys: list) -> list:
    """The keys; ValueError where so many different ones share a hash that a table of them takes minutes."""
    shared = Counter(map(hash, keys))
    if shared and max(shared.values()) > MOST_COLLISIONS:
        raise ValueError(f"more than {MOST_COLLISIONS} keys of one hash")
    return keys


def _decode_tensor(dtype: str, shape: list, data: str):
    import torch

    if dtype not in DTYPES or not all(isinstance(n, int) and 0 <= n < 1 << 32 for n in shape):
        raise ValueError("not a tensor")
    # as lists, a tensor without entries may be larger than any other
    if math.prod(max(n, 1) for n in shape) > MOST_ENTRIES or len(shape) > DEEPEST:
        raise ValueError("a tensor of too many entries or axes")
    dtype, data = getattr(torch, dtype), bytearray(base64.b64decode(data, validate=True))
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError("not the tensor's size")
    return (torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)).reshape(shape)
