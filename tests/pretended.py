"""A pretended device: an accelerator whose tensors are in the CPU's memory.

Code written on a CPU fails on a GPU mostly in one way: an operation gets tensors of both. Tensors here report
that they are on `DEVICE`, are computed on the CPU, and refuse to be mixed with CPU tensors, as CUDA's do.
With `x.device.type != "cpu"`, code paths for GPUs can be tested without one. The GPU's kernels, speed and
16-bit arithmetic cannot.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

if torch.cuda.is_available():
    # PyTorch keeps the streams of one kind of accelerator per process: with another one registered, gradients
    # on CUDA fail
    raise ImportError("a process has one kind of accelerator, and here it is CUDA")

aten = torch.ops.aten


class Backend(_DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


_setup_privateuseone_for_python_backend("pretended", Backend())
DEVICE = torch.device("pretended", 0)

# what takes tensors of both devices on CUDA, too
MIXED = {
    aten.copy_.default,
    aten._to_copy.default,
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
}
# where a GPU's host waits for the GPU
WAITS = {aten._local_scalar_dense.default, aten.nonzero.default}


class Pretended(torch.Tensor):
    """A tensor on `DEVICE`; ``inside`` is where its numbers really are."""

    inside: torch.Tensor

    @staticmethod
    def __new__(cls, inside: torch.Tensor) -> Pretended:
        layout = dict(strides=inside.stride(), storage_offset=inside.storage_offset())
        self = torch.Tensor._make_wrapper_subclass(
            cls, inside.size(), dtype=inside.dtype, device=DEVICE, **layout
        )
        self.inside = inside
        return self

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return _dispatch(func, args, kwargs or {})

    # what PyTorch does not do for subclasses, and safetensors asks for
    def tolist(self) -> list:
        return self.cpu().tolist()

    # checkpoints hold the numbers, as they do from a GPU
    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.inside.__reduce_ex__(protocol)

    def storage(self) -> Any:
        return self.inside.storage()

    def untyped_storage(self) -> Any:
        return self.inside.untyped_storage()


class _Mode(TorchDispatchMode):
    """For what makes tensors out of nothing."""

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return _dispatch(func, args, kwargs or {})


waits: Counter[str] = Counter()
# what was computed there
operations: Counter[str] = Counter()


def _dispatch(func: Any, args: tuple, kwargs: dict) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    here = any(isinstance(tensor, Pretended) for tensor in tensors)
    for tensor in tensors:
        if here and func not in MIXED and not isinstance(tensor, Pretended) and tensor.dim():
            shape = tuple(tensor.shape)
            raise RuntimeError(f"{func}: tensors on two devices, among them {shape} on the CPU")
    result_here, kwargs = here, dict(kwargs)
    if kwargs.get("device") is not None:
        result_here = torch.device(kwargs["device"]).type == DEVICE.type
        kwargs["device"] = torch.device("cpu")
    if result_here and kwargs.get("generator") is not None:
        raise RuntimeError(f"{func}: the generator is the CPU's, the result is not")
    if here and (func in WAITS or not result_here):
        waits[str(func)] += 1
    if here or result_here:
        operations[str(func)] += 1
    args_inside, kwargs_inside = tree_map(_inside, args), tree_map(_inside, kwargs)
    out = func(*args_inside, **kwargs_inside)
    returns = func._schema.returns
    if returns and all(one.alias_info is not None and one.alias_info.is_write for one in returns):
        if "out" in kwargs:
            return kwargs["out"]
        return args[0] if len(returns) == 1 else tuple(args[: len(returns)])
    return tree_map(_wrapped, out) if result_here else out


def _inside(x: Any) -> Any:
    return x.inside if isinstance(x, Pretended) else x


def _wrapped(x: Any) -> Any:
    return Pretended(x) if isinstance(x, torch.Tensor) and not isinstance(x, Pretended) else x


def _lstm(x: torch.Tensor, state: tuple, weights: list[torch.Tensor], *_: Any) -> tuple[torch.Tensor, ...]:
    """One layer of nn.LSTM, batch first: an accelerator has a kernel of its own for it, which is not here."""
    (h, c), (w_x, w_h, b_x, b_h) = (part[0] for part in state), weights
    out = []
    for step in x.unbind(1):
        i, f, g, o = (step @ w_x.T + b_x + h @ w_h.T + b_h).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        out.append(h)
    return torch.stack(out, 1), h[None], c[None]


@contextlib.contextmanager
def pretending() -> Iterator[Counter[str]]:
    """Within it tensors can be put on `DEVICE`. Gives what the host would have waited for, and how often."""
    waits.clear()
    operations.clear()
    lifted, lstm = torch._C._only_lift_cpu_tensors(), torch._VF.lstm
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=DEVICE) is made on the CPU first
    try:
        torch._VF.lstm = lambda x, *rest: (_lstm if isinstance(x, Pretended) else lstm)(x, *rest)
        with _Mode():
            yield waits
    finally:
        torch._VF.lstm = lstm
        torch._C._set_only_lift_cpu_tensors(lifted)
