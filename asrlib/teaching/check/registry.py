"""The tasks of all assignments, by name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

import torch

from asrlib.errors import InputError
from asrlib.teaching.check.answers import Examiner, Task

# the package whose modules hold the checkers; named and not imported, for they import this one
CHECKS = "asrlib.teaching.checks"

_tasks: dict[str, Task] = {}


def task(
    name: str,
    look: str,
    reference: Callable | None = None,
    draw: Callable[[torch.Generator], tuple] | None = None,
    times: int = 20,
    tolerance: float = 1e-4,
    autograd: bool = True,
) -> Callable[[Callable[[Examiner], None]], Callable[[Examiner], None]]:
    """Register the decorated function as the checker of task ``name``, "assignment.function"."""

    def register(probes):
        _tasks[name] = Task(name, probes, reference, draw, look, times, tolerance, autograd)
        return probes

    return register


def tasks() -> dict[str, Task]:
    """Return every task of every assignment, by name."""
    package = importlib.import_module(CHECKS)
    for module in pkgutil.iter_modules(package.__path__, f"{CHECKS}."):
        importlib.import_module(module.name)
    return dict(sorted(_tasks.items()))


def find_task(name: str) -> Task:
    """Return the task called ``name``; ``InputError`` if there is none."""
    if name not in _tasks and name not in tasks():
        raise InputError(f"there is no task {name!r}; there are {', '.join(_tasks)}")
    return _tasks[name]
