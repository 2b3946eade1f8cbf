"""Exercise checkers: what was expected, what the answer returned, where to look (all assignments).

    check("06.collapse", collapse)

calls the student's function on cases chosen to tell the usual mistakes apart, then on random ones, and
prints a verdict: right, not right yet and why, or not done yet. It never raises unless asked to
(``strict``), so that an unfinished answer stops no notebook, and it never shows the solution.

A checker is written in ``asrlib.teaching.checks``, in a module of its assignment:

    @task("06.collapse", reference=textbook.collapse, draw=draw_path, look="lesson 06, 'The collapse rule'")
    def collapse(ask):
        ask([1, 0, 1]).equals([1, 1], "a blank keeps a doubled label apart: merge first, drop blanks then")

``ask`` calls the student's function; what follows says what it must return and, if it does not, which
mistake that is. After these cases the function is compared with ``reference`` on ``times`` random
arguments of ``draw``.
"""

from asrlib.teaching.check.answers import Answer, Examiner, Task
from asrlib.teaching.check.comparison import difference
from asrlib.teaching.check.display import describe_error
from asrlib.teaching.check.judging import check, judge
from asrlib.teaching.check.registry import task, tasks
from asrlib.teaching.check.verdicts import AnswerError, Unfinished, WrongAnswer

__all__ = [
    "Answer",
    "AnswerError",
    "Examiner",
    "Task",
    "Unfinished",
    "WrongAnswer",
    "check",
    "describe_error",
    "difference",
    "judge",
    "task",
    "tasks",
]
