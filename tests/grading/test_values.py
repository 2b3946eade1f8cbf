"""What crosses the socket, and that it crosses unchanged."""

import socket

import pytest
import torch
from grading import sandbox
from grading.sandbox import channel, clock, values


@pytest.fixture(scope="module")
def session():
    with sandbox.Sandbox() as server, server.session() as session:
        yield session


def test_sending_leaves_no_time_limit_behind():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        channel.send(ours, {"isolation": "none"})
        assert ours.gettimeout() is None
        assert channel.receive(theirs, clock.WallClock(5)) == {"isolation": "none"}


@pytest.mark.parametrize(
    "value",
    [
        None, True, 3, 2.5, "text", [1, [2]], (1, "a"), {"a": (1, 2)}, {1, 2}, {(1, 2): None},
        torch.randn(2, 3), torch.tensor(3), torch.zeros(0, 2), torch.tensor([True]),
        torch.randn(2, dtype=torch.complex64), torch.randn(3).bfloat16(), torch.randn(3, 2).T,
        torch.zeros(2, 4)[:1, 0], torch.zeros(2, 4).T[1:2, 1:], torch.tensor([1, 2], dtype=torch.uint16),
        2 + 1j, {frozenset({1}), frozenset({2, "b"})}, {"e", "d", "c", "b", "a"},
    ],
)  # fmt: skip
def test_values_cross_unchanged(session, value):
    session.run("def same(x): return x")
    came = session.function("same")(value)
    if isinstance(value, torch.Tensor):
        assert came.dtype == value.dtype and torch.equal(came, value)
    else:
        assert came == value and type(came) is type(value)


def test_infinite_and_not_a_number_cross(session):
    session.run("def same(x): return x")
    assert session.function("same")(float("-inf")) == float("-inf")
    assert session.function("same")(torch.tensor([torch.nan])).isnan().all()


@pytest.mark.parametrize(
    "forged",
    [
        {"tensor": ["float32", [10**9, 10**9], ""]},
        {"tensor": ["float32", [2], "AAAA"]},
        {"tensor": ["__class__", [0], ""]},
        {"tensor": ["float32", [-1], ""]},
        {"list": 3},
        [1],
        {},
    ],
)  # fmt: skip
def test_a_forged_value_is_refused(forged):
    with pytest.raises((ValueError, TypeError)):
        values.decode(forged)


def test_what_cannot_cross_is_named(session):
    session.run("def f(): return f")
    assert repr(session.function("f")()) == "a function"
    assert session.function("nothing") is None
