"""A task, the call of a student's function, and what is asked of the value that it returned."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch

from asrlib.teaching.check.comparison import difference, first_difference, fits, is_unchanged
from asrlib.teaching.check.conditions import Work, count_work, is_autograd_error, no_autograd
from asrlib.teaching.check.display import describe_error, show, show_arguments
from asrlib.teaching.check.hints import find_hints
from asrlib.teaching.check.pace import pace
from asrlib.teaching.check.verdicts import Unfinished, WrongAnswer

NO_AUTOGRAD = "an error: this task is to be solved without autograd, which is switched off here"


@dataclass(frozen=True)
class Task:
    """``reference(*draw(generator))`` is right; ``probes`` asks for the cases that tell mistakes apart.

    Without ``autograd`` the answer is called with PyTorch's gradients switched off.
    """

    name: str
    probes: Callable[[Examiner], None]
    reference: Callable | None
    draw: Callable[[torch.Generator], tuple] | None
    look: str
    times: int
    tolerance: float
    autograd: bool = True

    @property
    def function(self) -> str:
        """The name of the function that the task asks for."""
        return self.name.split(".", 1)[1]


class Examiner:
    """Calls a student's function on copies of the arguments; ``generator`` draws the random cases."""

    def __init__(self, task: Task, function: Any, seed: int = 0):
        self.task, self.function = task, function
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, *args: Any, **kwargs: Any) -> Answer:
        """Call the function. ``WrongAnswer`` if it changes its arguments, ``Unfinished`` if it is a stub."""
        return self._ask(self._timed, args, kwargs)

    def count(self, *args: Any, **kwargs: Any) -> Answer:
        """Call the function as above, and count its ``work``; the call takes longer so."""
        # in the grader the function is in another process, which counts there
        return self._ask(getattr(self.function, "counted", self._counted), args, kwargs)

    def _timed(self, *args: Any, **kwargs: Any) -> tuple[Any, Work | None]:
        return self.function(*args, **kwargs), None

    def _counted(self, *args: Any, **kwargs: Any) -> tuple[Any, Work | None]:
        return count_work(self.function, args, kwargs)

    def _ask(self, function: Callable, args: tuple, kwargs: dict[str, Any]) -> Answer:
        given = copy.deepcopy((args, kwargs))
        call = f"{self.task.function}({show_arguments(args, kwargs)})"
        started = time.thread_time()
        try:
            with torch.enable_grad() if self.task.autograd else no_autograd():
                value, work = function(*given[0], **given[1])
        except WrongAnswer:
            raise
        except NotImplementedError:  # what stands there before there is an answer
            raise Unfinished(f"not done yet ({self.task.look}).") from None
        except Exception as error:
            text = describe_error(error)
            if not self.task.autograd and is_autograd_error(text):
                text = f"{NO_AUTOGRAD}\n            {text}"
            return Answer(self.task, call, None, text)
        if not is_unchanged(given, (args, kwargs)):
            raise WrongAnswer(
                f"  called    {call}\n  got       a changed argument: the function writes into what it was"
                " given.\n  look at   where it assigns in place, and work on a copy (clone) there"
            )
        seconds = getattr(self.function, "seconds", None) or time.thread_time() - started
        return Answer(self.task, call, value, seconds=seconds, work=work)

    def because(self, message: str) -> WrongAnswer:
        """Return a verdict in a checker's own words, to be raised."""
        return WrongAnswer(f"  {message}\n  look at   {self.task.look}")


class Answer:
    """What the function returned for one call. An exception waits until it is known what was expected.

    ``seconds`` are the calling thread's own, so that a busy machine makes no answer slow. ``work`` is None
    unless it was counted.
    """

    def __init__(
        self,
        task: Task,
        call: str,
        value: Any,
        error: str = "",
        seconds: float = 0.0,
        work: Work | None = None,
    ):
        self.task, self.call, self._value, self.error = task, call, value, error
        self.seconds, self.work = seconds, work

    @property
    def value(self) -> Any:
        """The value; ``WrongAnswer`` for an exception."""
        if self.error:
            self._reject(f"  got       {self.error}")
        return self._value

    def longer_than(self, seconds: float) -> bool:
        """Return whether the call took longer, allowing a slow machine proportionally more time."""
        return self.seconds > seconds and self.seconds > seconds * pace()

    def does_at_most(
        self, what: str, advice: str, lines: int, operations: int, elements: int | None = None
    ) -> None:
        """Raise ``WrongAnswer(advice)`` if more was counted; ``what`` says to what the call was applied."""
        if self.work is None:
            raise ValueError("the work of this call was not counted: ask.count")
        counted = (
            (self.work.operations, operations, "operations of PyTorch"),
            (self.work.lines, lines, "lines of Python"),
            (self.work.elements, elements, "elements of tensors"),
        )
        for done, limit, unit in counted:
            if limit is not None and done > limit:
                raise WrongAnswer(
                    f"  counted   {done:,} {unit} for {what}; at most {limit:,} will do\n"
                    f"  why       right, but too much work: {advice}\n  look at   {self.task.look}"
                )

    def items(self, count: int, otherwise: str) -> list:
        """Return the value as a list; ``WrongAnswer(otherwise)`` unless it is a sequence of ``count``."""
        value = self.value.tolist() if hasattr(self.value, "tolist") else self.value
        if not isinstance(value, tuple | list) or len(value) != count:
            raise WrongAnswer(f"  {otherwise}\n  look at   {self.task.look}")
        return list(value)

    def entry(self, key: str, otherwise: str) -> Answer:
        """Return the answer under ``key``; ``WrongAnswer(otherwise)`` unless it is in a dictionary."""
        value = self.value
        if not isinstance(value, dict) or key not in value:
            raise WrongAnswer(f"  {otherwise}\n  look at   {self.task.look}")
        return Answer(self.task, self.call, value[key])

    def equals(
        self,
        expected: Any,
        because: str = "",
        suspects: dict[str, Any] | None = None,
        tolerance: float | None = None,
    ) -> Any:
        """Return the value; ``WrongAnswer`` unless it is ``expected``, numbers up to a tolerance.

        ``because`` is what a wrong answer to just this case means; ``suspects`` are values that known
        mistakes give. Without either, or beside them, the values themselves are compared for hints.
        """
        tolerance = tolerance or self.task.tolerance
        if self.error:
            self._reject(
                f"  expected  {show(expected)}",
                f"  got       {self.error}",
                because=[because] * bool(because),
            )
        if (lines := difference(self._value, expected, tolerance)) is None:
            return self._value
        why = [text for text, value in (suspects or {}).items() if fits(self._value, value, tolerance)]
        why = why or [because] * bool(because)
        why = why or find_hints(*first_difference(self._value, expected, tolerance), tolerance)
        self._reject(*lines, because=why)

    def satisfies(self, true: bool, expected: str, because: str = "") -> Any:
        """Return the value; ``WrongAnswer`` unless ``true``. ``expected`` says in words what was expected."""
        if not true:
            got = f"  got       {show(self.value)}"
            self._reject(f"  expected  {expected}", got, because=[because] * bool(because))
        return self.value

    def _reject(self, *lines: str, because: Iterable[str] = ()) -> None:
        about = [f"  why       {text}" for text in because]
        raise WrongAnswer(
            "\n".join([f"  called    {self.call}", *lines, *about, f"  look at   {self.task.look}"])
        )
