"""Checks of arguments by kernels: what they find, and what they leave for the other kernels to read."""

import math

import kernels
import pytest
import torch
from kernels import DEVICE

from asrlib.backend import asking_nothing

pytest.importorskip("triton")

from asrlib.losses.kernels import arguments  # noqa: E402

pytestmark = kernels.RUN


def prepare(targets, T_b, U_b, dtype=torch.long):
    given = (torch.tensor(x, device=DEVICE, dtype=dtype) for x in (T_b, U_b, targets))
    T_b, U_b, targets = given
    return arguments.prepare("frames", T_b, 4, U_b, targets, 5, 0, torch.zeros((), device=DEVICE))


@pytest.mark.parametrize("dtype", [torch.int32, torch.long])
def test_sound_targets_are_padded_with_the_blank(dtype):
    found = prepare([[1, 2, 3], [4, 9, -7]], [4, 0], [3, 1], dtype)
    assert found.labels.tolist() == [[1, 2, 3, 0], [4, 0, 0, 0]]
    assert found.T_b.tolist() == [4, 0] and found.U_b.tolist() == [3, 1]
    assert found.status.tolist() == [0, 0] and not found.suspicious()


@pytest.mark.parametrize(
    "targets, T_b, U_b",
    [
        ([[1, 2], [3, 5]], [4, 4], [2, 2]),
        ([[1, 2], [3, -1]], [4, 4], [2, 2]),
        ([[1, 2], [0, 1]], [4, 4], [2, 2]),
        ([[1, 2], [3, 4]], [4, 5], [2, 2]),
        ([[1, 2], [3, 4]], [4, -1], [2, 2]),
        ([[1, 2], [3, 4]], [4, 4], [2, 3]),
        ([[1, 2], [3, 4]], [4, 4], [2, -2]),
    ],
)
def test_bad_targets_are_marked_and_made_readable(targets, T_b, U_b):
    found = prepare(targets, T_b, U_b)
    assert found.status.tolist() == [0, 1] and found.suspicious()
    assert ((found.labels >= 0) & (found.labels < 5)).all()
    assert ((found.T_b >= 0) & (found.T_b <= 4) & (found.U_b >= 0) & (found.U_b <= 2)).all()
    with asking_nothing():
        assert not found.suspicious()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("minus_infinity", [False, True])
def test_bad_rows_are_marked(monkeypatch, value, minus_infinity):
    monkeypatch.setattr(arguments, "BLOCK_ROW", 4)
    x = torch.zeros(3, 2, 6)
    x[0, 1, 5], x[2, 0, 0] = value, value
    bad = value != -math.inf or not minus_infinity
    for lengths, expected in ((None, [1, 0, 1]), ([1, 2, 1], [0, 0, 1]), ([2, 2, 0], [1, 0, 0])):
        for form in (x, x.transpose(1, 2).contiguous().transpose(1, 2), x.half()):
            status = torch.zeros(3, dtype=torch.int32, device=DEVICE)
            given = None if lengths is None else torch.tensor(lengths, device=DEVICE)
            arguments.mark_bad_rows(status, form.to(DEVICE), given, minus_infinity=minus_infinity)
            assert status.tolist() == [mark * bad for mark in expected]
