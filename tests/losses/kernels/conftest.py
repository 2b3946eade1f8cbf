import pytest
import torch
from kernels import DEVICE


@pytest.fixture
def both_ways(monkeypatch):
    """A function that runs another one with kernels, and without them on the CPU in float64.

    ``function(*inputs, *rest)`` returns losses (B,). Each way returns those, on the CPU, and the gradients by
    the inputs of a weighted sum over the finite ones.
    """
    from asrlib.losses.kernels import choice

    def run(function, inputs, rest, device):
        inputs = [x.detach().to(device).requires_grad_() for x in inputs]
        losses = function(*inputs, *(x.to(device) for x in rest))
        weights = torch.arange(1, len(losses) + 1, device=device)
        losses.backward(torch.where(losses.isfinite(), weights, 0).to(losses.dtype))
        return [x.detach().cpu() for x in (losses, *(x.grad for x in inputs))]

    def call(function, inputs, rest):
        by_kernels = run(function, inputs, rest, DEVICE)
        with monkeypatch.context() as patch:
            patch.setattr(choice, "runs_kernels", lambda x, U1: False)
            plain = run(function, [x.double() for x in inputs], rest, "cpu")
        return by_kernels, plain

    return call


@pytest.fixture
def agree(both_ways):
    """The same, and the two must agree to rounding in float64."""

    def call(function, inputs, rest, atol=1e-10):
        by_kernels, plain = both_ways(function, inputs, rest)
        torch.testing.assert_close(by_kernels, plain, rtol=0, atol=atol)
        return by_kernels

    return call
