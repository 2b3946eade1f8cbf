"""The verdicts of the checkers' frame, on one of the tasks."""

import pytest
from answers import answer

import asrlib
from asrlib.teaching import check
from asrlib.teaching.check import judge


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


def test_an_error_inside_asrlib_names_the_students_own_line():
    def collapse(path, blank=0):
        return asrlib.load_config("no-such-configuration")

    message = verdict_on(collapse)
    assert "InputError" in message and "in collapse, line" in message
    assert 'return asrlib.load_config("no-such-configuration")' in message
