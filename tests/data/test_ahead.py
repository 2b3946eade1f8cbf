"""asrlib.data.ahead: the same items in the same order, one of them made beforehand."""

import threading

import pytest

from asrlib.data.ahead import one_ahead


@pytest.mark.parametrize("count", [0, 1, 5])
def test_the_items_come_in_their_order(count):
    assert list(one_ahead(iter(range(count)))) == list(range(count))


def test_the_next_item_is_made_while_one_is_used():
    made = [threading.Event() for _ in range(3)]

    def items():
        for number, event in enumerate(made):
            event.set()
            yield number

    ahead = one_ahead(items())
    assert next(ahead) == 0
    assert made[1].wait(10) and not made[2].is_set()
    ahead.close()


def test_an_error_is_raised_when_its_turn_has_come():
    def items():
        yield 1
        raise ValueError("broken")

    ahead = one_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="broken"):
        next(ahead)


def test_who_stops_early_leaves_no_thread_behind():
    before = threading.active_count()
    for _ in one_ahead(iter(range(100))):
        break
    ahead = one_ahead(iter(range(100)))
    next(ahead)
    ahead.close()
    assert threading.active_count() == before
