"""Arithmetic of the recursions."""

import math

import torch

from asrlib.losses import recursion


def test_scan_is_a_loop():
    def step(state, x):
        (total,) = state
        return (total + x[0],), (total * x[1],)

    a, b = torch.arange(4.0), torch.ones(4) * 2
    (end,), (ys,) = recursion.scan(step, (torch.zeros(()),), (a, b))
    assert end == 6 and ys.tolist() == [0, 0, 2, 6]


def test_sums_of_logarithms():
    a, b = torch.tensor([0.0, -3.0, -math.inf, -math.inf]), torch.tensor([-1.0, -math.inf, -2.0, -math.inf])
    torch.testing.assert_close(recursion.add_logs(a, b), torch.logaddexp(a, b))
    x = torch.tensor([[0.0, 1.0], [-math.inf, -math.inf]])
    scaled, largest = recursion.rescale(x, 1)
    assert largest.tolist() == [1, 0] and scaled.tolist() == [[-1, 0], [-math.inf, -math.inf]]
    torch.testing.assert_close(recursion.shares(x, 1), torch.stack([x[0].softmax(0), torch.zeros(2)]))


def test_shift():
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert recursion.shift(x, 1, 0).tolist() == [[-math.inf] * 2, [1, 2]]
    assert recursion.shift(x, -1, -1).tolist() == [[2, -math.inf], [4, -math.inf]]
