"""What is asked of a returned value, and the hints that a wrong one gives."""

import math

import pytest
import torch

from asrlib.teaching import check

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
