"""The work of an answer is counted, and autograd is kept out of it."""

import sys

import pytest
import torch
from torch.autograd import forward_ad

from asrlib.losses import textbook
from asrlib.teaching.check.conditions import Work, count_work, is_autograd_error, no_autograd


def loop(x):
    total = 0
    for value in x:
        total += value
    return total


def sum_of_all(x):
    return x.sum()


def test_lines_and_operations_are_counted():
    x = torch.ones(50)
    value, work = count_work(loop, (x,), {})
    assert value == 50 and 100 <= work.lines <= 110 and 50 <= work.operations <= 55
    assert count_work(sum_of_all, (x,), {})[1] == Work(lines=1, operations=1, elements=1)


def test_elements_are_those_of_all_tensors_that_operations_return():
    x = torch.ones(30, 10)
    assert count_work(lambda: (x @ x.T, x.max(0), x.tolist()), (), {})[1].elements == 300 + 900 + 2 * 10


@pytest.mark.parametrize(
    "function",
    [
        lambda n: [i for i in range(n)],
        lambda n: sum(i for i in range(n)),
        lambda n: list(map(lambda i: i, range(n))),
    ],
)
def test_a_loop_in_one_line_counts_each_time(function):
    assert 100 <= count_work(function, (100,), {})[1].lines <= 110


def test_lines_of_libraries_do_not_count_and_those_of_asrlib_do():
    assert count_work(lambda x: torch.einsum("i,i->", x, x), (torch.ones(3),), {})[1].lines == 1
    lattice = torch.zeros(4, 3), torch.zeros(4, 2)
    assert count_work(lambda *a: textbook.rnnt_alphas(*a), lattice, {})[1].lines > 12


def test_a_count_is_the_same_again():
    counts = [count_work(loop, (torch.ones(20),), {})[1] for _ in range(3)]
    assert counts[0] == counts[1] == counts[2]


def test_exceptions_pass_and_a_debugger_stays():
    def trace(*_):
        return None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with pytest.raises(ZeroDivisionError):
            count_work(lambda: 1 / 0, (), {})
        assert sys.gettrace() is trace
    finally:
        sys.settrace(before)


def test_an_answer_that_stops_the_count_is_refused():
    with pytest.raises(RuntimeError, match=r"calls sys\.settrace"):
        count_work(lambda: sys.settrace(None), (), {})


def loss(z):
    return -z.log_softmax(-1)[:, 0].logsumexp(0)


def with_grad(z):
    z = z.clone().requires_grad_()
    return torch.autograd.grad(loss(z), z)[0]


def with_grad_again(z):
    with torch.enable_grad():
        return with_grad(z)


def with_dual_numbers(z):
    with forward_ad.dual_level():
        return loss(forward_ad.make_dual(z, torch.ones_like(z)))


WAYS = [
    with_grad,
    with_grad_again,
    with_dual_numbers,
    torch.func.grad(loss),
    torch.func.jacfwd(loss),
    lambda z: torch.autograd.functional.jacobian(loss, z),
]


@pytest.mark.parametrize("way", WAYS)
def test_no_way_leads_to_autograd(way):
    with pytest.raises(RuntimeError) as raised, no_autograd():
        way(torch.randn(3, 4))
    assert is_autograd_error(str(raised.value))


def test_autograd_is_back_afterwards():
    z = torch.randn(3, 4)
    with no_autograd():
        assert not loss(z).requires_grad
    torch.testing.assert_close(with_grad(z), torch.autograd.functional.jacobian(loss, z))
    assert not is_autograd_error("IndexError: list index out of range")
