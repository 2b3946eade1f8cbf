"""Every task of every assignment against its solution and plausible wrong answers."""

import importlib.util
import re
from collections import Counter
from pathlib import Path

import assignments  # noqa: E402 (after the path)
import pytest
from answers import TASKS, answer

from asrlib.teaching import check
from asrlib.teaching.check import judge
from asrlib.teaching.check.answers import NO_AUTOGRAD

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
    frame = r"  (called|in|expected|got|counted|look at)  .*(\n            .*)*\n?"
    said = str(verdict)
    # the one error that names its own reason
    return (NO_AUTOGRAD if NO_AUTOGRAD in said else "") + re.sub(frame, "", said)


def test_what_a_verdict_must_name_is_a_reason():
    got = "  got       ValueError: no\n            in f, line 1: x\n"
    assert reasons(f"  called    f(1)\n  expected  2\n{got}  look at   there") == ""
    assert [name for name, *_, names_it in WRONG if re.search(names_it, "")] == []


def test_every_task_has_three_wrong_answers():
    counts = Counter(name for name, *_ in WRONG)
    assert {name for name in TASKS if counts[name] < 3} == set()


def test_every_task_has_a_checker_and_every_checker_a_task():
    assert set(check.tasks()) == set(TASKS)
