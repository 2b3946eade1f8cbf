"""The frame of the checkers, and every task against plausible wrong answers."""

import importlib.util
import math
import re
from collections import Counter
from pathlib import Path

import assignments  # noqa: E402 (after the path)
import pytest
import torch
from answers import TASKS, answer

import asrlib
from asrlib.teaching import check
from asrlib.teaching.check import judge

WRONG = []
for path in sorted((Path(__file__).parents[1] / "wrong_answers").glob("*.py")):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    WRONG += module.WRONG


@pytest.mark.parametrize("name", TASKS)
def test_the_solution_is_right_whatever_the_random_cases(name):
    assert judge(name, answer(name), seed=0) is None
    assert judge(name, answer(name), seed=1) is None


@pytest.mark.parametrize("name", TASKS)
def test_the_hidden_tests_pass(name, capsys):
    task = TASKS[name]
    names = task.namespace()
    assignments.run(task.test, f"<test of {name}>", names)
    assert "not right" not in capsys.readouterr().out


@pytest.mark.parametrize("number", range(len(WRONG)), ids=[f"{i}-{w[0]}" for i, w in enumerate(WRONG)])
def test_a_wrong_answer_is_rejected_by_name(number):
    name, right, wrong, names_it = WRONG[number]
    source = wrong
    if right is not None:
        assert right in TASKS[name].solution, "the edit no longer fits the solution"
        source = TASKS[name].solution.replace(right, wrong)
    verdict = judge(name, answer(name, source))
    assert verdict is not None, "accepted"
    assert "look at" in str(verdict)
    assert re.search(names_it, reasons(verdict)), f"names another reason, or none:\n{verdict}"


def reasons(verdict):
    """Return a verdict without what any verdict has: the call, what was expected and got, where to look."""
    frame = r"  (called|in|expected|got|look at)  .*(\n            .*)*\n?"
    return re.sub(frame, "", str(verdict))


def test_what_a_verdict_must_name_is_a_reason():
    got = "  got       ValueError: no\n            in f, line 1: x\n"
    assert reasons(f"  called    f(1)\n  expected  2\n{got}  look at   there") == ""
    assert [name for name, *_, names_it in WRONG if re.search(names_it, "")] == []


def test_every_task_has_three_wrong_answers():
    counts = Counter(name for name, *_ in WRONG)
    assert {name for name in TASKS if counts[name] < 3} == set()


def test_every_task_has_a_checker_and_every_checker_a_task():
    assert set(check.tasks()) == set(TASKS)


# ---- the frame -------------------------------------------------------------------------------------------


def verdict_on(function):
    return str(judge("06.collapse", function))


def test_unfinished_is_not_wrong(capsys):
    def collapse(path, blank=0):
        raise NotImplementedError

    check.check("06.collapse", collapse)
    assert capsys.readouterr().out == "06.collapse: not done yet (lesson 06, 'The collapse rule').\n"
    with pytest.raises(check.Unfinished):
        check.check("06.collapse", collapse, strict=True)


def test_a_right_answer_is_told_so(capsys):
    check.check("06.collapse", answer("06.collapse"))
    assert capsys.readouterr().out == "06.collapse: right.\n"


def test_an_exception_becomes_a_message_with_the_line():
    def collapse(path, blank=0):
        return path[len(path)]

    message = verdict_on(collapse)
    assert "IndexError: list index out of range" in message
    assert "return path[len(path)]" in message and "called    collapse([3, 3, 3])" in message


@pytest.mark.parametrize(
    "value, says",
    [
        (None, "returns nothing"),
        ("3", "got       '3'"),
        (print, "a builtin_function"),
        ([3.0, 3.0], "[3.0, 3.0]"),
    ],
)
def test_anything_may_come_back(value, says):
    assert says in verdict_on(lambda path, blank=0: value)


def test_what_is_no_function_is_said():
    assert "must be a function, not [1]" in verdict_on([1])


def test_writing_into_the_argument_is_seen():
    def collapse(path, blank=0):
        path.clear()
        return [3]

    assert "changed argument" in verdict_on(collapse)


def test_an_unknown_task_is_an_input_error():
    with pytest.raises(ValueError, match="no task '06.no'"):
        check.check("06.no", print)


ROW = torch.tensor([[-1.0, -2.0, -4.0], [-3.0, -0.5, -2.5]], dtype=torch.float64)


@pytest.mark.parametrize(
    "got, says",
    [
        (-ROW, "wrong sign"),
        (ROW.exp(), "its exponential"),
        (ROW.T, "transpose"),
        (ROW.flip(1), "reversed along axis 1"),
        (ROW.roll(1, 1), "shifted by one along axis 1"),
        (ROW / math.log(10), "base 10"),
        (2 * ROW, "times 2"),
        (ROW + 3, "plus 3"),
        (ROW * float("nan"), "NaN"),
        (ROW * float("inf"), "infinite"),
        (ROW[:1], "off by one along axis 0"),
        (ROW.sum(0), "1 axes where 2 are wanted"),
        (ROW.reshape(3, 1, 2), "another arrangement|3 axes"),
        ("a", "expected  a tensor"),
    ],
)  # fmt: skip
def test_hints_name_how_numbers_are_related(got, says):
    task = check.Task("00.f", lambda ask: ask().equals(ROW), None, None, "here", 0, 1e-4)
    with pytest.raises(check.WrongAnswer, match=says):
        task.probes(check.Examiner(task, lambda: got))


def test_the_same_in_another_type_is_the_same():
    task = check.Task("00.f", None, None, None, "here", 0, 1e-4)
    for got in (ROW.float(), ROW.numpy(), ROW.tolist()):
        check.Examiner(task, lambda got=got: got)().equals(ROW)
    for got in ((1, 2), torch.tensor([1, 2])):
        check.Examiner(task, lambda got=got: got)().equals([1, 2])


def test_an_error_inside_asrlib_names_the_students_own_line():
    def collapse(path, blank=0):
        return asrlib.load_config("no-such-configuration")

    message = verdict_on(collapse)
    assert "InputError" in message and "in collapse, line" in message
    assert 'return asrlib.load_config("no-such-configuration")' in message
