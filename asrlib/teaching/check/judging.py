"""Judge a student's function: the chosen cases first, then the random ones."""

from __future__ import annotations

import copy
from typing import Any

from asrlib.teaching.check.answers import Examiner
from asrlib.teaching.check.display import show
from asrlib.teaching.check.registry import find_task
from asrlib.teaching.check.verdicts import Unfinished, WrongAnswer


def check(name: str, answer: Any, seed: int = 0, strict: bool = False) -> None:
    """Print the verdict on ``answer``, a student's function for the task ``name``.

    ``seed`` draws the random cases; with ``strict`` a wrong or missing answer is raised as ``WrongAnswer``.
    Raises ``InputError`` for a task that does not exist.
    """
    verdict = judge(name, answer, seed)
    if verdict is not None and strict:
        raise verdict
    if verdict is None:
        print(f"{name}: right.")
    elif isinstance(verdict, Unfinished):
        print(f"{name}: {verdict}")
    else:
        print(f"{name}: not right yet.\n{verdict}")


def judge(name: str, answer: Any, seed: int = 0) -> WrongAnswer | None:
    """Return None if ``answer`` is right, else why not. Raises ``InputError`` for an unknown task."""
    task = find_task(name)
    try:
        if isinstance(answer, type) or not callable(answer):
            raise WrongAnswer(f"  {task.function} must be a function, not {show(answer)}.")
        ask = Examiner(task, answer, seed)
        task.probes(ask)
        if task.reference:
            for _ in range(task.times):
                args = task.draw(ask.generator)
                ask(*args).equals(task.reference(*copy.deepcopy(args)))
    except WrongAnswer as verdict:
        return verdict
    return None
