"""Everything that depends on the processor or the backend, in one place.

    linear, linear_weight_grad       matrix products by whichever library is faster on this CPU
    on_xla                           whether a tensor is on a TPU, where shapes must not depend on values
    is_traced                        whether a graph is being recorded, when tensors have no values yet
    asking_nothing, asks_nothing     whether code may read values from the device
    in_processes, over_processes     whether several processes train the same weights; sums over processes
    runs_triton                      whether Triton kernels run on a device
    usable_device                    a device by its name, if there is one here

Nothing here changes a result beyond rounding.
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import warnings
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from asrlib.errors import InputError, first_line

# for smaller products oneDNN costs more than it saves; for smaller inputs PyTorch does not call oneDNN
ONEDNN_PRODUCTS, ONEDNN_NUMBERS = 1 << 23, 20480
# dilation has no effect on a kernel of 1, but single-threaded PyTorch uses oneDNN only for dilated kernels
ONEDNN_DILATION = (2, 1)


def on_xla(x: Tensor) -> bool:
    """Return whether ``x`` is on an XLA device: a TPU, or XLA's CPU backend."""
    return x.device.type == "xla"


def is_traced() -> bool:
    """Return whether operations are being recorded (export, ``torch.compile``) on tensors without values."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


# not a context variable: the backward pass runs in other threads
_may_ask = True


@contextlib.contextmanager
def asking_nothing() -> Iterator[None]:
    """Forbid reading values from a device inside the block.

    Use it while a CUDA graph is recorded, or where the host must not wait for the device. Check arguments
    before entering the block: functions skip the checks that would read values.
    """
    global _may_ask
    before, _may_ask = _may_ask, False
    try:
        yield
    finally:
        _may_ask = before


def usable_device(device: str | torch.device) -> torch.device:
    """Return the device of this name. Raises ``InputError`` if there is none here."""
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError, ImportError) as error:
        here = "cpu or cuda" if torch.cuda.is_available() else "cpu"
        name = repr(str(device))
        raise InputError(f"device {name} cannot be used: {first_line(error)[:80]}; use {here}") from None
    return found


def asks_nothing(x: Tensor) -> bool:
    """Return whether the values of ``x`` must not be read, so that no shape or branch may depend on them.

    True on XLA devices and inside ``asking_nothing``.
    """
    return not _may_ask or on_xla(x)


def in_processes() -> bool:
    """Return whether this process trains together with others (``torch.distributed`` is initialized)."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def over_processes(x: Tensor) -> Tensor:
    """Sum ``x`` over all processes in place and return it. With a single process, return ``x`` unchanged."""
    if in_processes():
        torch.distributed.all_reduce(x)
    return x


def runs_triton(device: torch.device, trial: Callable[[torch.device], object]) -> bool:
    """Return whether Triton kernels run on ``device``.

    They run on CUDA, and on the CPU through Triton's interpreter if the environment has TRITON_INTERPRET=1.
    ``trial`` runs a small kernel on the device; its outcome is cached. If Triton cannot compile the kernel,
    warn once and return False. Without Triton, return False.
    """
    interpreted = device.type == "cpu" and os.environ.get("TRITON_INTERPRET") == "1"
    return (device.type == "cuda" or interpreted) and _compiles(device, trial)


@functools.cache
def _compiles(device: torch.device, trial: Callable[[torch.device], object]) -> bool:
    try:
        trial(device)
    except ImportError:
        return False
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        reason = " ".join(str(error).split())[:200]
        warnings.warn(
            f"Triton cannot compile for the GPU ({reason}): using a slower implementation."
            " Install a C compiler and Python's headers (python3-dev)",
            stacklevel=4,
        )
        return False
    return True


def linear(
    x: Float[Tensor, "*rows cin"],
    weight: Float[Tensor, "cout cin"],
    bias: Float[Tensor, "cout"] | None = None,
) -> Float[Tensor, "*rows cout"]:
    """Return x @ weight.T + bias, computed by the faster library."""
    if not _faster_as_convolution(x, len(weight)):
        return F.linear(x, weight, bias)
    out = F.conv2d(_image(x), weight[:, :, None, None], bias, dilation=ONEDNN_DILATION)
    return out.permute(0, 2, 3, 1).reshape(*x.shape[:-1], len(weight))


def linear_weight_grad(
    x: Float[Tensor, "*rows cin"], grad: Float[Tensor, "*rows cout"]
) -> Float[Tensor, "cout cin"]:
    """Return the gradient of ``linear`` with respect to its weight: grad.T @ x, summed over rows."""
    if not _faster_as_convolution(x, grad.shape[-1]):
        return grad.flatten(0, -2).T @ x.flatten(0, -2)
    shape = grad.shape[-1], x.shape[-1], 1, 1
    gradient = torch.nn.grad.conv2d_weight(_image(x), shape, _image(grad), dilation=ONEDNN_DILATION)
    return gradient[:, :, 0, 0]


def _faster_as_convolution(x: Tensor, channels_out: int) -> bool:
    """Return whether a 1x1 convolution is faster than a matrix product.

    In float32 on a CPU, PyTorch multiplies matrices with MKL, which uses half of the vector unit on AMD
    processors. It convolves with oneDNN, which uses the full unit on every processor.
    """
    if x.device.type != "cpu" or x.dtype != torch.float32 or torch.compiler.is_compiling():
        return False
    large = x.numel() > ONEDNN_NUMBERS and x.numel() * channels_out >= ONEDNN_PRODUCTS
    return large and torch.backends.mkldnn.is_available()


def _image(x: Tensor) -> Tensor:
    """View (..., C) as one image of height 1 in channels-last memory, without a copy."""
    return x.reshape(1, 1, -1, x.shape[-1]).permute(0, 3, 1, 2)
