"""Every official solution earns its points through the sandbox, whatever the hidden tests draw."""

import dataclasses
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


LOOP = """
def greedy_step(log_probs, last, blank=0):
    labels = []
    for frame in log_probs:
        label = int(frame.argmax())
        labels += [label] * (label not in (last, blank))
        last = label
    return labels, last
"""
WITH_AUTOGRAD = """
def gradient(log_probs, targets, blank=0):
    with torch.enable_grad():
        z = log_probs.clone().requires_grad_()
        loss = F.ctc_loss(z.log_softmax(-1)[:, None], targets[None], [len(z)], [len(targets)], blank, "sum")
        return torch.autograd.grad(loss, z)[0]
"""
TRACING = LOOP.replace("    labels = []", "    import sys\n    sys.settrace(None)\n    labels = []")


@pytest.mark.parametrize(
    "name, answer, said",
    [
        ("12.greedy_step", LOOP, "operations of PyTorch for a chunk"),
        ("12.greedy_step", TRACING, "calls sys.settrace"),
        ("06.gradient", WITH_AUTOGRAD, "to be solved without autograd"),
    ],
)
def test_how_a_task_is_solved_is_seen_in_the_answers_process(server, name, answer, said):
    task = dataclasses.replace(TASKS[name], solution=answer)
    # the beginning of a verdict shows the arguments; the rest is told only in part
    test = f"from asrlib.teaching import check\nassert 0, str(check.judge('{name}', {task.function}))[-290:]"
    assert said in failure_of(server, task, [test])
