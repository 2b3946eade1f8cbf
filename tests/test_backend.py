"""asrlib.backend: whichever library multiplies, the numbers are the same."""

import pytest
import torch
import torch.nn.functional as F

from asrlib import backend


@pytest.mark.parametrize("rows", [(), (1,), (7,), (3, 5), (2, 3, 4)])
@pytest.mark.parametrize("biased", [True, False])
def test_linear_is_torchs(library, rows, biased):
    x, weight = torch.randn(*rows, 6, requires_grad=True), torch.randn(4, 6, requires_grad=True)
    leaves = [x, weight] + ([torch.randn(4, requires_grad=True)] if biased else [])
    grad = torch.randn(*rows, 4)
    out, expected = backend.linear(*leaves), F.linear(*leaves)
    torch.testing.assert_close(out, expected)
    found, gradients = (torch.autograd.grad(y, leaves, grad) for y in (out, expected))
    torch.testing.assert_close(found, gradients)
    if rows:
        torch.testing.assert_close(backend.linear_weight_grad(x.detach(), grad), gradients[1])


def test_linear_is_a_convolution_in_float32_alone(library, monkeypatch):
    convolved, conv2d = [], F.conv2d
    monkeypatch.setattr(F, "conv2d", lambda x, *a, **k: convolved.append(x.dtype) or conv2d(x, *a, **k))
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        backend.linear(torch.randn(9, 6, dtype=dtype), torch.randn(4, 6, dtype=dtype))
    assert convolved == [torch.float32] * (library == "convolution")


def test_where_triton_cannot_compile_a_warning_says_so_once():
    calls = []

    def trial(device):
        calls.append(device)
        raise RuntimeError("no C compiler")

    with pytest.warns(UserWarning, match="cannot compile for the GPU .no C compiler"):
        assert not backend.runs_triton(torch.device("cuda"), trial)
    assert not backend.runs_triton(torch.device("cuda"), trial)
    assert not backend.runs_triton(torch.device("meta"), trial)
    assert len(calls) == 1


def test_without_triton_nothing_is_said():
    def trial(device):
        raise ImportError("No module named 'triton'")

    assert not backend.runs_triton(torch.device("cuda"), trial)
