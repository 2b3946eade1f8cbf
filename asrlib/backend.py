"""What a processor or a backend needs, in one place: the rest of the library asks here.

    linear, linear_weight_grad       a matrix product by whichever library is faster on this CPU
    on_xla                           whether a tensor lives on a TPU, where shapes must not depend on numbers
    is_traced                        whether a graph is being recorded, where tensors have no values yet
    asking_nothing, asks_nothing     whether code may look at numbers on the device, or must do without
    in_processes, over_processes     whether several processes train the same weights, and sums over them
    runs_triton                      whether Triton's kernels run on a device

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

# below so many multiplications oneDNN costs more than it saves; of fewer numbers PyTorch asks others
ONEDNN_PRODUCTS, ONEDNN_NUMBERS = 1 << 23, 20480
# a kernel of 1 has nothing to dilate, but with one thread PyTorch takes oneDNN for dilated kernels alone
ONEDNN_DILATION = (2, 1)


def on_xla(x: Tensor) -> bool:
    """Whether ``x`` lives on an XLA device (a TPU, or its stand-in on the CPU)."""
    return x.device.type == "xla"


def is_traced() -> bool:
    """Whether operations are recorded (export, ``torch.compile``), so that no tensor has a value yet."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


# not a context variable: the backward pass runs in threads of its own
_may_ask = True


@contextlib.contextmanager
def asking_nothing() -> Iterator[None]:
    """Within the block nothing may be read from a device: a CUDA graph is recorded, or the host should not
    wait. Arguments have been checked before.
    """
    global _may_ask
    before, _may_ask = _may_ask, False
    try:
        yield
    finally:
        _may_ask = before


def asks_nothing(x: Tensor) -> bool:
    """Whether code must do without the numbers in ``x``: no shape and no branch may depend on them.

    So on XLA, and within ``asking_nothing``.
    """
    return not _may_ask or on_xla(x)


def in_processes() -> bool:
    """Whether other processes compute gradients of the same weights at this moment."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def over_processes(x: Tensor) -> Tensor:
    """Return the sum of all processes' ``x``, in place; ``x`` itself if there is one process."""
    if in_processes():
        torch.distributed.all_reduce(x)
    return x


def runs_triton(device: torch.device, trial: Callable[[torch.device], object]) -> bool:
    """Whether Triton's kernels run on `device`: on CUDA, or on the CPU through Triton's interpreter, which
    TRITON_INTERPRET=1 in the environment chooses.

    `trial` runs a small kernel. Where Triton cannot compile it, a warning says so once; False without Triton.
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
            f"Triton cannot compile for the GPU ({reason}): a slower way is taken."
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
    """Return x @ weight.T + bias, by the faster library."""
    if not _faster_as_convolution(x, len(weight)):
        return F.linear(x, weight, bias)
    out = F.conv2d(_image(x), weight[:, :, None, None], bias, dilation=ONEDNN_DILATION)
    return out.permute(0, 2, 3, 1).reshape(*x.shape[:-1], len(weight))


def linear_weight_grad(
    x: Float[Tensor, "*rows cin"], grad: Float[Tensor, "*rows cout"]
) -> Float[Tensor, "cout cin"]:
    """Return the gradient of the weight of ``linear``: grad.T @ x, summed over rows."""
    if not _faster_as_convolution(x, grad.shape[-1]):
        return grad.flatten(0, -2).T @ x.flatten(0, -2)
    shape = grad.shape[-1], x.shape[-1], 1, 1
    gradient = torch.nn.grad.conv2d_weight(_image(x), shape, _image(grad), dilation=ONEDNN_DILATION)
    return gradient[:, :, 0, 0]


def _faster_as_convolution(x: Tensor, channels_out: int) -> bool:
    """In float32 on a CPU PyTorch multiplies matrices with MKL, which uses half of the vector unit of
    AMD's processors, and convolves with oneDNN, which uses all of any maker's.
    """
    if x.device.type != "cpu" or x.dtype != torch.float32 or torch.compiler.is_compiling():
        return False
    large = x.numel() > ONEDNN_NUMBERS and x.numel() * channels_out >= ONEDNN_PRODUCTS
    return large and torch.backends.mkldnn.is_available()


def _image(x: Tensor) -> Tensor:
    """(..., C) as one image of height 1 in channels-last memory: no copy."""
    return x.reshape(1, 1, -1, x.shape[-1]).permute(0, 3, 1, 2)
