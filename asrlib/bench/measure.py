"""Helpers of the benchmarks: time, memory, the machine, and optional libraries."""

from __future__ import annotations

import contextlib
import importlib
import platform
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

# an implementation that takes longer than this many seconds runs once
PATIENCE_S = 10.0


def default_device() -> str:
    """Return "cuda" if there is a GPU, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def describe_machine(device: str) -> str:
    """Return one line with the processor or GPU and the versions of Python, torch and torchaudio."""
    versions = [f"Python {platform.python_version()}", f"torch {torch.__version__}"]
    if torchaudio := optional_module("torchaudio"):
        versions.append(f"torchaudio {torchaudio.__version__}")
    if device == "cuda":
        where = torch.cuda.get_device_name()
    else:
        where = f"{platform.processor() or platform.machine()} CPU, {torch.get_num_threads()} threads"
    return f"{where}; {', '.join(versions)}"


@contextlib.contextmanager
def timed(seconds: dict[str, float], part: str, device: str = "cpu") -> Iterator[None]:
    """Store the duration of the block in ``seconds[part]``; synchronize the device before and after it."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    yield
    wait()
    seconds[part] = time.perf_counter() - start


def megabytes(device: str) -> float:
    """Return the memory in use by the process, or on the GPU, in MiB; 0 if it is not known."""
    if device == "cuda":
        return torch.cuda.memory_allocated() / 2**20
    return _process_status("VmRSS") or 0.0


def reset_peak(device: str) -> None:
    """Restart the measurement of ``peak_megabytes``."""
    clear = Path("/proc/self/clear_refs")
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif clear.exists():
        clear.write_text("5")  # sets the peak to the current value under Linux


def peak_megabytes(device: str) -> float | None:
    """Return the peak memory since the last reset, in MiB; None if it is not known."""
    return torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else _process_status("VmHWM")


def optional_module(name: str) -> ModuleType | None:
    """Import a module without warnings; return None if it cannot be imported."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except (ImportError, OSError):
        # torchaudio's wheel raises OSError if torch is of another build
        return None


def torchaudio_rnnt_loss() -> Callable[..., Tensor] | None:
    """Return ``torchaudio.functional.rnnt_loss`` with its warning silenced; None without torchaudio."""
    functional = optional_module("torchaudio.functional")
    if functional is None:
        return None

    def loss(*args, **kwargs):
        with warnings.catch_warnings():
            # torchaudio's loss is deprecated, but still the reference
            warnings.simplefilter("ignore")
            return functional.rnnt_loss(*args, **kwargs)

    return loss


def _process_status(key: str) -> float | None:
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    kilobytes = [line.split()[1] for line in status.read_text().splitlines() if line.startswith(key)]
    return int(kilobytes[0]) / 2**10
