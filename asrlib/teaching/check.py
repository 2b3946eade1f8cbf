"""Exercise checkers: what was expected, what came, where to look (all assignments).

    check("06.collapse", collapse)

calls the student's function on cases chosen to tell the usual mistakes apart, then on random ones, and
prints a verdict: right, not right yet and why, or not done yet. It never raises unless asked to
(``strict``), so that an unfinished answer stops no notebook, and it never shows the solution.

A checker is written in ``asrlib.teaching.checks``, one module an assignment:

    @task("06.collapse", reference=textbook.collapse, draw=draw_path, look="lesson 06, 'The collapse rule'")
    def collapse(ask):
        ask([1, 0, 1]).equals([1, 1], "a blank keeps a doubled label apart: merge first, drop blanks then")

``ask`` calls the answer; what follows says what must come out and, if it does not, which mistake that is.
After these cases the answer is compared with ``reference`` on ``times`` random arguments of ``draw``.
"""

from __future__ import annotations

import copy
import importlib
import linecache
import math
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asrlib.errors import InputError

CHECKS = Path(__file__).parent / "checks"
# what a student writes before there is an answer
UNFINISHED = (NotImplementedError,)


class WrongAnswer(AssertionError):
    """A verdict: the message is written for the student."""


class Told(Exception):
    """What an answer did wrong in another process, in words for the student."""


class NotDone(WrongAnswer):
    """The task has not been started."""


@dataclass(frozen=True)
class Task:
    """``reference(*draw(generator))`` is right; ``probes`` asks for the cases that tell mistakes apart."""

    name: str
    probes: Callable[[Ask], None]
    reference: Callable | None
    draw: Callable[[torch.Generator], tuple] | None
    look: str
    times: int
    tolerance: float

    @property
    def function(self) -> str:
        return self.name.split(".", 1)[1]


_tasks: dict[str, Task] = {}


def task(
    name: str,
    look: str,
    reference: Callable | None = None,
    draw: Callable[[torch.Generator], tuple] | None = None,
    times: int = 20,
    tolerance: float = 1e-4,
) -> Callable[[Callable[[Ask], None]], Callable[[Ask], None]]:
    """Register the decorated function as the checker of task ``name``, "assignment.function"."""

    def register(probes):
        _tasks[name] = Task(name, probes, reference, draw, look, times, tolerance)
        return probes

    return register


def tasks() -> dict[str, Task]:
    """Every task of every assignment, by name."""
    for path in sorted(CHECKS.glob("[a-z]*.py")):
        importlib.import_module(f"asrlib.teaching.checks.{path.stem}")
    return dict(sorted(_tasks.items()))


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
    elif isinstance(verdict, NotDone):
        print(f"{name}: {verdict}")
    else:
        print(f"{name}: not right yet.\n{verdict}")


def judge(name: str, answer: Any, seed: int = 0) -> WrongAnswer | None:
    """None if ``answer`` is right, else why not."""
    found = _find(name)
    try:
        if isinstance(answer, type) or not callable(answer):
            raise WrongAnswer(f"  {found.function} must be a function, not {_show(answer)}.")
        ask = Ask(found, answer, seed)
        found.probes(ask)
        if found.reference:
            for _ in range(found.times):
                args = found.draw(ask.generator)
                ask(*args).equals(found.reference(*copy.deepcopy(args)))
    except WrongAnswer as verdict:
        return verdict
    return None


def _find(name: str) -> Task:
    if name not in _tasks and name not in tasks():
        raise InputError(f"there is no task {name!r}; there are {', '.join(_tasks)}")
    return _tasks[name]


class Ask:
    """Calls the answer on copies of the arguments; ``generator`` draws the random cases."""

    def __init__(self, task: Task, answer: Any, seed: int = 0):
        self.task, self.answer = task, answer
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, *args: Any, **kwargs: Any) -> Came:
        given = copy.deepcopy((args, kwargs))
        call = f"{self.task.function}({_arguments(args, kwargs)})"
        started = time.thread_time()
        try:
            came = self.answer(*given[0], **given[1])
        except WrongAnswer:
            raise
        except UNFINISHED:
            raise NotDone(f"not done yet ({self.task.look}).") from None
        except Exception as error:
            return Came(self.task, call, None, where(error))
        if not _same(given, (args, kwargs)):
            raise WrongAnswer(
                f"  asked     {call}\n  came      a changed argument: the function writes into what it was"
                " given.\n  look at   where it assigns in place, and work on a copy (clone) there"
            )
        seconds = getattr(self.answer, "seconds", None) or time.thread_time() - started
        return Came(self.task, call, came, seconds=seconds)

    def because(self, message: str) -> WrongAnswer:
        """A verdict in a checker's own words."""
        return WrongAnswer(f"  {message}\n  look at   {self.task.look}")


class Came:
    """What the answer returned, and what it should have been. An exception waits until that is known.

    ``seconds`` are the calling thread's own, so that a busy machine makes no answer slow.
    """

    def __init__(self, task: Task, call: str, value: Any, error: str = "", seconds: float = 0.0):
        self.task, self.call, self._value, self.error, self.seconds = task, call, value, error, seconds

    @property
    def value(self) -> Any:
        """What came; WrongAnswer for an exception."""
        if self.error:
            self._reject(f"  came      {self.error}")
        return self._value

    def _reject(self, *lines: str, because: Iterable[str] = ()) -> None:
        about = [f"  why       {text}" for text in because]
        raise WrongAnswer(
            "\n".join([f"  asked     {self.call}", *lines, *about, f"  look at   {self.task.look}"])
        )

    def equals(
        self, expected: Any, because: str = "", suspects: dict[str, Any] | None = None, tolerance=None
    ) -> Any:
        """WrongAnswer unless the same came, numbers up to a tolerance.

        ``because`` is what a wrong answer to just this case means; ``suspects`` are values that known
        mistakes give. Without either, or beside them, the values themselves are compared for hints.
        """
        tolerance = tolerance or self.task.tolerance
        if self.error:
            self._reject(
                f"  expected  {_show(expected)}",
                f"  came      {self.error}",
                because=[because] * bool(because),
            )
        if (lines := difference(self._value, expected, tolerance)) is None:
            return self._value
        hints = [text for text, value in (suspects or {}).items() if _fits(self._value, value, tolerance)]
        hints = hints or [because] * bool(because)
        hints = hints or _hints(*_apart(self._value, expected, tolerance), tolerance)
        self._reject(*lines, because=hints)

    def satisfies(self, true: bool, expected: str, because: str = "") -> Any:
        """WrongAnswer unless ``true``; ``expected`` says in words what should have come."""
        if not true:
            came = f"  came      {_show(self.value)}"
            self._reject(f"  expected  {expected}", came, because=[because] * bool(because))
        return self.value


# ---- comparing ---------------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """One form of each value: arrays and numbers become tensors, tuples become lists."""
    if isinstance(value, np.ndarray | np.generic):
        value = torch.as_tensor(value)
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def difference(came: Any, expected: Any, tolerance: float) -> list[str] | None:
    """The lines that say how two values differ, numbers by more than ``tolerance``; None if they do not."""
    came, expected = _plain(came), _plain(expected)
    if came is None and expected is not None:
        return [f"  expected  {_show(expected)}", "  came      None: the function returns nothing"]
    if isinstance(came, list) and isinstance(expected, Tensor):
        try:
            came = torch.tensor(came)
        except (TypeError, ValueError, RuntimeError):
            return [f"  expected  a tensor, {_show(expected)}", f"  came      {_show(came)}"]
    if isinstance(came, Tensor) and not isinstance(expected, Tensor):
        came = came.tolist()
    if _number(came) and isinstance(expected, Tensor) and expected.ndim == 0:
        expected = expected.item()
    if isinstance(expected, Tensor):
        if not isinstance(came, Tensor):
            return [f"  expected  a tensor, {_show(expected)}", f"  came      {_show(came)}"]
        return _tensor_difference(came, expected, tolerance)
    if _number(expected):
        if _number(came) and _near(float(came), float(expected), tolerance):
            return None
    elif isinstance(expected, list) and isinstance(came, list):
        if len(came) == len(expected):
            lines = [difference(c, e, tolerance) for c, e in zip(came, expected, strict=True)]
            if not any(lines):
                return None
            if any(isinstance(item, Tensor | list) for item in expected):
                at = next(i for i, line in enumerate(lines) if line)
                return [f"  in        number {at} of the {len(expected)} that came, from 0", *lines[at]]
    elif isinstance(expected, dict) and isinstance(came, dict):
        if came.keys() == expected.keys() and all(
            difference(came[k], e, tolerance) is None for k, e in expected.items()
        ):
            return None
    elif type(came) is type(expected) and came == expected:
        return None
    return [f"  expected  {_show(expected)}", f"  came      {_show(came)}"]


def _apart(came: Any, expected: Any, tolerance: float) -> tuple[Any, Any]:
    """Of two lists of the same length, the first items that differ; else the two themselves."""
    came, expected = _plain(came), _plain(expected)
    if isinstance(came, list) and isinstance(expected, list) and len(came) == len(expected):
        for c, e in zip(came, expected, strict=True):
            if isinstance(e, Tensor | list) and difference(c, e, tolerance):
                return _apart(c, e, tolerance)
    return came, expected


def _tensor_difference(came: Tensor, expected: Tensor, tolerance: float) -> list[str] | None:
    if came.shape != expected.shape:
        return [f"  expected  the shape {tuple(expected.shape)}", f"  came      {tuple(came.shape)}"]
    wrong = ~_close(came, expected, tolerance)
    if not wrong.any():
        return None
    if expected.ndim == 0:
        return [f"  expected  {_show(expected)}", f"  came      {_show(came)}"]
    at = tuple(wrong.nonzero()[0].tolist())
    place = f"at [{', '.join(map(str, at))}], the first of {int(wrong.sum())} of {wrong.numel()} that differ"
    return [f"  expected  {_show(expected[at])} {place}", f"  came      {_show(came[at])}"]


def _close(came: Tensor, expected: Tensor, tolerance: float) -> Tensor:
    if came.is_complex() or expected.is_complex():
        came, expected = (torch.view_as_real(x.to(torch.complex128)) for x in (came, expected))
        return torch.isclose(came, expected, rtol=tolerance, atol=tolerance / 10, equal_nan=True).all(-1)
    return torch.isclose(
        came.double(), expected.double(), rtol=tolerance, atol=tolerance / 10, equal_nan=True
    )


def _near(came: float, expected: float, tolerance: float) -> bool:
    if math.isnan(came) or math.isnan(expected):
        return math.isnan(came) and math.isnan(expected)
    return math.isclose(came, expected, rel_tol=tolerance, abs_tol=tolerance / 10)


def _fits(came: Any, value: Any, tolerance: float) -> bool:
    return difference(came, value, tolerance) is None


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())
    if isinstance(a, np.ndarray):
        return a.shape == b.shape and bool((a == b).all())
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    return a is b or bool(a == b) or not _data(a)


def _data(value: Any) -> bool:
    return isinstance(value, int | float | str | bool | bytes | type(None) | set)


# ---- hints -------------------------------------------------------------------------------------------------

LN10 = math.log(10)


def _hints(came: Any, expected: Any, tolerance: float) -> list[str]:
    """What the two have to do with each other, where that names the mistake."""
    came, expected = _as_tensor(came), _as_tensor(expected)
    if came is None or expected is None:
        return []
    if came.shape != expected.shape:
        if came.shape == expected.shape[::-1] and came.ndim == 2:
            return ["the transpose: the axes are the wrong way round"]
        if came.ndim == expected.ndim:
            axis = next(i for i, (c, e) in enumerate(zip(came.shape, expected.shape, strict=True)) if c != e)
            if abs(came.shape[axis] - expected.shape[axis]) == 1:
                return [f"off by one along axis {axis}"]
        if came.numel() == expected.numel() and expected.numel() > 1:
            return ["the right number of entries in another arrangement of axes"]
        if came.ndim != expected.ndim:
            return [f"{came.ndim} axes where {expected.ndim} are wanted: which one was summed, which kept?"]
        return []
    if came.is_floating_point() and came.isnan().any() and not expected.isnan().any():
        return ["NaN: as from inf - inf, 0 * inf, 0 / 0 or the logarithm of a negative number"]
    if came.is_floating_point() and came.isinf().any() and not expected.isinf().any():
        return ["infinite: as from the logarithm of 0 or a division by 0"]
    fits = [text for text, value in _relations(expected) if _close(came, value, tolerance).all()]
    if fits or came.numel() < 2:
        return fits[:1]
    ratio = came / expected
    ratio = ratio[expected.isfinite() & (expected != 0)]
    if len(ratio) > 1 and bool(torch.isclose(ratio, ratio[0], rtol=tolerance).all()):
        return [f"the right answer times {float(ratio[0]):.5g}"]
    offset = (came - expected)[expected.isfinite()]
    if len(offset) > 1 and bool(torch.isclose(offset, offset[0], atol=tolerance, rtol=0).all()):
        return [f"the right answer plus {float(offset[0]):.5g}"]
    return []


def _relations(x: Tensor) -> Iterable[tuple[str, Tensor]]:
    yield "the right answer with the wrong sign", -x
    yield "its exponential: a probability where the logarithm is wanted", x.exp()
    yield "its logarithm: a logarithm where the number itself is wanted", x.log()
    yield "its exponential with the wrong sign", (-x).exp()
    yield "base 10 where the natural logarithm is wanted", x / LN10
    yield "base 2 where the natural logarithm is wanted", x / math.log(2)
    yield "its square", x.square()
    yield "its square root", x.abs().sqrt()
    yield "its reciprocal", 1 / x
    if x.ndim == 2 and x.shape[0] == x.shape[1]:
        yield "the transpose: the axes are the wrong way round", x.T
    for axis in range(x.ndim):
        if x.shape[axis] > 1:
            yield f"reversed along axis {axis}", x.flip(axis)
            for by in (1, -1):
                yield f"the right answer shifted by one along axis {axis}", x.roll(by, axis)


def _as_tensor(value: Any) -> Tensor | None:
    value = _plain(value)
    try:
        value = value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        return None
    return None if value.is_complex() else value.double()


# ---- words -------------------------------------------------------------------------------------------------


def _show(value: Any, longest: int = 70) -> str:
    """A value in a few characters."""
    value = _plain(value)
    if isinstance(value, Tensor):
        if value.ndim == 0:
            return _show(value.item())
        if value.numel() <= 12 and value.ndim <= 2:
            return f"tensor({_rounded(value.tolist())})"
        return f"tensor of shape {tuple(value.shape)}"
    if callable(value):
        return f"a {type(value).__name__}"
    if isinstance(value, list) and any(isinstance(item, Tensor | list) for item in value):
        text = f"[{', '.join(_show(item, longest) for item in value)}]"
        return text if len(text) <= 2 * longest else f"{text[: 2 * longest - 2]} …"
    text = str(_rounded(value)) if not isinstance(value, str) else repr(value)
    return text if len(text) <= longest else f"{text[: longest - 2]} …"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value


def _arguments(args: tuple, kwargs: dict) -> str:
    return ", ".join([*map(_show, args), *(f"{name}={_show(value)}" for name, value in kwargs.items())])


def where(error: BaseException, beside: str = "") -> str:
    """An exception and the student's own line it comes from; lines of ``beside`` are not the student's."""
    if isinstance(error, Told):
        return str(error)
    ours = str(Path(__file__).parent)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != beside]
    theirs = [f for f in frames if not f.filename.startswith(ours) and "site-packages" not in f.filename]
    first_line = (str(error).strip().splitlines() or [""])[0]
    text = f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
    if theirs:
        last = theirs[-1]
        code = (last.line or linecache.getline(last.filename, last.lineno or 0)).strip()
        text += f"\n            in {last.name}, line {last.lineno}: {code}" if code else f" (in {last.name})"
    return text
