"""What is asked of a returned value, and the hints that a wrong one gives."""

import math

import pytest
import torch

from asrlib.teaching import check
from asrlib.teaching.check.display import show

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


@pytest.mark.parametrize(
    "got, expected, says",
    [
        (torch.tensor([[0.0, -1e30]]), torch.tensor([[0.0, -math.inf]]), "right but where -inf is wanted"),
        (torch.tensor([1, 2]), torch.tensor([1, 2, 3]), "one entry too few"),
        (torch.tensor([3.0, 2.0, 1.5]), torch.tensor([1.5, 2.0, 3.0]), "why       reversed\n"),
    ],
)
def test_hints_name_what_students_do(got, expected, says):
    task = check.Task("00.f", lambda ask: ask().equals(expected), None, None, "here", 0, 1e-4)
    with pytest.raises(check.WrongAnswer, match=says):
        task.probes(check.Examiner(task, lambda: got))


def test_zeros_are_not_the_right_answer_times_0():
    task = check.Task("00.f", lambda ask: ask().equals(ROW), None, None, "here", 0, 1e-4)
    with pytest.raises(check.WrongAnswer) as raised:
        task.probes(check.Examiner(task, lambda: 0 * ROW))
    assert "times" not in str(raised.value)


def test_small_tables_are_printed():
    assert "tensor([[0, 1, 2]" in show(torch.arange(18).reshape(6, 3))
    assert "shape (6, 5)" in show(torch.arange(30).reshape(6, 5))


def test_autograd_can_be_switched_off():
    def derivative(x):
        x = x.clone().requires_grad_()
        return torch.autograd.grad(x.square().sum(), x)[0]

    x = torch.tensor([1.0, 2.0])
    for autograd in (True, False):
        task = check.Task("00.f", lambda ask: ask(x).equals(2 * x), None, None, "here", 0, 1e-4, autograd)
        if autograd:
            task.probes(check.Examiner(task, derivative))
        else:
            with pytest.raises(check.WrongAnswer, match="without autograd"):
                task.probes(check.Examiner(task, derivative))


def test_the_same_in_another_type_is_the_same():
    task = check.Task("00.f", None, None, None, "here", 0, 1e-4)
    for got in (ROW.float(), ROW.numpy(), ROW.tolist()):
        check.Examiner(task, lambda got=got: got)().equals(ROW)
    for got in ((1, 2), torch.tensor([1, 2])):
        check.Examiner(task, lambda got=got: got)().equals([1, 2])


def test_an_answer_of_several_values_is_counted():
    task = check.Task("00.f", None, None, None, "here", 0, 1e-4)
    for value in ((1, 2), [1, 2], torch.tensor([1, 2])):
        assert check.Examiner(task, lambda value=value: value)().items(2, "two are wanted") == [1, 2]
    for value in ((1, 2, 3), 1, None, torch.tensor(1)):
        with pytest.raises(check.WrongAnswer, match="two are wanted\\n  look at   here"):
            check.Examiner(task, lambda value=value: value)().items(2, "two are wanted")


def test_an_entry_of_a_dictionary_is_an_answer_of_its_own():
    task = check.Task("00.f", None, None, None, "here", 0, 1e-4)
    answer = check.Examiner(task, lambda: {"w": 2})()
    answer.entry("w", "no w").equals(2)
    for key, value in (("v", {"w": 2}), ("w", [2])):
        with pytest.raises(check.WrongAnswer, match="nothing there"):
            check.Examiner(task, lambda value=value: value)().entry(key, "nothing there")
