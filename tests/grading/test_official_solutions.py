"""Every official solution earns its points through the sandbox, whatever the hidden tests draw."""

import re

import assignments
import pytest
from grading import sandbox
from grading.execution import failure_of

TASKS = assignments.every_task()


@pytest.fixture(scope="module")
def server():
    with sandbox.Sandbox(sandbox.Limits(hidden=tuple(sandbox.hidden_folders()))) as server:
        yield server


def with_seed(test, number):
    """The test with other random cases: the seeds of hidden tests are changed each year."""
    changed = re.sub(r"\bseed=(\d+)", lambda found: f"seed={int(found[1]) + 1000 * number}", test)
    assert changed != test
    return changed


@pytest.mark.parametrize("name", TASKS)
def test_the_official_solution_earns_its_points(server, name):
    assert failure_of(server, TASKS[name]) == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_the_official_solution_earns_its_points_with_ten_other_seeds(server, name):
    task = TASKS[name]
    assert failure_of(server, task, [with_seed(task.test, number) for number in range(1, 11)]) == ""


def test_a_solution_that_is_wrong_is_told(server):
    task = TASKS["05.encode"]
    assert "not right" in failure_of(server, task, ["assert encode('a', ['a']) == [2], 'not right'"])
