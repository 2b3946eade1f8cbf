"""What an answer is called under: with its work counted, or without autograd."""

from __future__ import annotations

import contextlib
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any, no_type_check

import torch
from torch.autograd import forward_ad
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import TorchFunctionMode

_LIBRARIES = (*sysconfig.get_paths().values(), str(Path(torch.__file__).parents[1]), "<frozen ")
_ASRLIB = str(Path(__file__).parents[2])
_AGAIN = "autograd is switched on again"


@dataclass
class Work:
    """What a call has done: ``lines`` of Python executed, ``operations`` of PyTorch, and their ``elements``.

    A line in a loop counts each time it is executed. Lines of libraries do not count, those of asrlib do.
    Elements are those of all tensors that operations returned, views included.
    """

    lines: int = 0
    operations: int = 0
    elements: int = 0


def count_work(function: Callable, args: tuple, kwargs: dict[str, Any]) -> tuple[Any, Work]:
    """Call the function; return its value, and the work done by this thread.

    A count is the same on every machine, however busy it is, while a time is not. Raises what the function
    raises, and ``RuntimeError`` if it replaces Python's trace function, which counts the lines.
    """
    work = Work()

    def count(frame: FrameType, event: str, _: Any):
        work.lines += event == "line"
        return count

    def enter(frame: FrameType, event: str, _: Any):
        return count if _is_counted(frame.f_code.co_filename) else None

    before = sys.gettrace()
    with _Operations(work):
        sys.settrace(enter)
        try:
            value = function(*args, **kwargs)
            replaced = sys.gettrace() is not enter
        finally:
            sys.settrace(before)
    if replaced:
        raise RuntimeError("the function calls sys.settrace, by which its lines are counted")
    return value, work


@lru_cache(maxsize=1000)
def _is_counted(filename: str) -> bool:
    if filename.startswith(_ASRLIB):
        return filename != __file__
    return not filename.startswith(_LIBRARIES)


class _Operations(TorchFunctionMode):
    def __init__(self, work: Work):
        super().__init__()
        self.work = work

    @no_type_check  # while asrlib is tested, checks of arguments would be counted, too
    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.work.operations += 1
        for made in result if isinstance(result, tuple | list) else (result,):
            self.work.elements += made.numel() if isinstance(made, torch.Tensor) else 0
        return result


@contextlib.contextmanager
def no_autograd() -> Iterator[None]:
    """Switch gradients off in the block; switching them on again there and using them is an error."""

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError(_AGAIN)

    make_dual, forward_ad.make_dual = forward_ad.make_dual, refuse
    try:
        with torch.no_grad(), saved_tensors_hooks(refuse, refuse):
            yield
    finally:
        forward_ad.make_dual = make_dual


def is_autograd_error(message: str) -> bool:
    """Return whether an exception's message is one of those that ``no_autograd`` leads to."""
    return any(text in message for text in (_AGAIN, "does not require grad", "support saved tensor hooks"))
