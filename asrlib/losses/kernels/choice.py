"""Whether the Triton kernels run where a tensor is: asked here, and nowhere else."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import warnings
from types import ModuleType

import torch
from torch import Tensor


def transducer_kernels(x: Tensor) -> ModuleType | None:
    """Return the transducer's kernels where they run: on a GPU, or on a CPU through Triton's interpreter."""
    if x.is_cuda or os.environ.get("TRITON_INTERPRET") == "1":
        with contextlib.suppress(ImportError):
            from asrlib.losses.kernels import rnnt

            return rnnt if kernels_work(rnnt, x.device) else None
    return None


@functools.cache
def kernels_work(kernels: ModuleType, device: torch.device) -> bool:
    """Return whether Triton can compile here; it needs a C compiler, and Python's headers."""
    try:
        kernels.sweep(*(torch.zeros(1, 2, 2, device=device) for _ in range(2)), turned=False)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        reason = " ".join(str(error).split())[:200]
        warnings.warn(
            f"Triton cannot compile the transducer loss for the GPU ({reason}): a slower way is taken."
            " Install a C compiler and Python's headers (python3-dev)",
            stacklevel=2,
        )
        return False
    return True
