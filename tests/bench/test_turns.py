"""Steps in processes of their own: in turns, with each one's memory, and an end in one line."""

import operator
from functools import partial

import pytest

from asrlib.bench.turns import take_turns
from asrlib.errors import InputError

pytestmark = pytest.mark.processes


def test_every_contender_performs_every_turn():
    (few, megabytes), (more, _) = take_turns([10, 20], partial(partial, operator.add), 3, "cpu")
    assert (few, more) == ([10, 11, 12], [20, 21, 22])
    assert megabytes is None or megabytes > 10


def test_a_process_that_ends_is_one_clear_error(capfd):
    with pytest.raises(InputError, match="a process of the benchmark has ended early"):
        take_turns([1], partial(partial, operator.truediv), 1, "cpu")
    assert "ZeroDivisionError" in capfd.readouterr().err
