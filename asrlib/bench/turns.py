"""Run contenders in turn, each in its own process with its own memory and settings."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from typing import Any

from asrlib.bench.measure import peak_megabytes
from asrlib.errors import InputError

Step = Callable[[int], Any]


def take_turns(
    names: Sequence[Any], make_step: Callable[[Any], Step], turns: int, device: str
) -> list[tuple[list[Any], float | None]]:
    """Return, for each name, the results of its steps and the peak memory of its process in MiB.

    ``make_step(name)`` creates the step function in each process. The processes then perform turn 0 one
    after another, then turn 1, and so on. ``make_step`` must be picklable. Raises ``InputError`` if a
    process ends early.
    """
    context = multiprocessing.get_context("spawn")
    pipes, workers = [], []
    for name in names:
        here, there = context.Pipe()
        workers.append(context.Process(target=_work, args=(there, name, make_step, device), daemon=True))
        workers[-1].start()
        there.close()
        pipes.append(here)
    try:
        results: list[list[Any]] = [[] for _ in names]
        for turn in range(turns):
            for pipe, result in zip(pipes, results, strict=True):
                pipe.send(turn)
                result.append(pipe.recv())
        return [(result, _finish(pipe)) for pipe, result in zip(pipes, results, strict=True)]
    except EOFError:
        raise InputError("a process of the benchmark has ended early: is there too little memory?") from None
    finally:
        for pipe in pipes:
            pipe.close()
        for worker in workers:
            worker.join(timeout=10)
            worker.kill()


def _finish(pipe: Any) -> float | None:
    pipe.send(None)
    return pipe.recv()


def _work(pipe: Any, name: Any, make_step: Callable[[Any], Step], device: str) -> None:
    """Answer each turn from ``pipe`` with the result of the step, and None with the peak memory."""
    step = make_step(name)
    while (turn := pipe.recv()) is not None:
        pipe.send(step(turn))
    pipe.send(peak_megabytes(device))
