"""The losses on a GPU at the sizes of a training: against float64 on the CPU, without waits, captured."""

import functools
import warnings

import kernels
import lattices
import pytest
import torch

from asrlib.backend import asking_nothing
from asrlib.losses.arguments import values_unchecked
from asrlib.losses.ctc import ctc_loss
from asrlib.losses.joint import joint_rnnt_loss
from asrlib.losses.rnnt import rnnt_loss

pytestmark = [*kernels.on_gpu, pytest.mark.usefixtures("seed")]


def ctc():
    logits, targets, T_b, U_b = lattices.draw_ctc(8, 300, 40, 64, dtype=torch.float32)
    T_b = lattices.feasible(targets, T_b, U_b).clamp(max=300)
    return functools.partial(ctc_loss, zero_infinity=True), [logits.log_softmax(-1)], [targets, T_b, U_b]


def rnnt():
    logits, *rest = lattices.draw(4, 100, 30, 500, dtype=torch.float32)
    return functools.partial(rnnt_loss, blank=0), [logits], rest


def joint():
    parts, *rest = lattices.joint_parts(128, 4, 100, 30, 500, dtype=torch.float32)
    return joint_rnnt_loss, [x.detach() * 0.3 for x in parts], rest


LOSSES = [ctc, rnnt, joint]


def on_gpu(inputs, rest):
    return [x.cuda().requires_grad_() for x in inputs], [x.cuda() for x in rest]


def results(loss, inputs, rest):
    value = loss(*inputs, *rest)
    return value, *torch.autograd.grad(value, inputs)


@pytest.mark.parametrize("make", LOSSES)
def test_against_float64_on_the_cpu(make):
    loss, inputs, rest = make()
    found = results(loss, *on_gpu(inputs, rest))
    exact = results(loss, [x.double().requires_grad_() for x in inputs], rest)
    torch.testing.assert_close(found[0].double().cpu(), exact[0], rtol=1e-5, atol=0)
    for a, b in zip(found[1:], exact[1:], strict=True):
        torch.testing.assert_close(a.double().cpu(), b, rtol=0, atol=1e-5 * float(b.abs().max()))


def waits(function) -> int:
    """How often the host waits for the GPU."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            seen.clear()
            function()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in seen)


@pytest.mark.parametrize("make", LOSSES)
def test_how_often_the_host_waits(make):
    loss, inputs, rest = make()
    inputs, placed = on_gpu(inputs, rest)
    results(loss, inputs, placed)  # compiles
    assert waits(lambda: results(loss, inputs, placed)) == 1
    with values_unchecked():
        assert waits(lambda: results(loss, inputs, placed)) == 1
        assert waits(lambda: results(loss, inputs, rest)) == 0  # targets on the host are checked there
    with asking_nothing():
        assert waits(lambda: results(loss, inputs, placed)) == 0


@pytest.mark.parametrize("make", LOSSES)
def test_a_captured_loss_is_the_loss(make):
    loss, inputs, rest = make()
    inputs, rest = on_gpu(inputs, rest)
    # without their graph, whose nodes would keep the stream they were made on
    expected = [x.detach().clone() for x in results(loss, inputs, rest)]
    with asking_nothing():
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            results(loss, inputs, rest)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = results(loss, inputs, rest)
    for x in captured:
        x.detach().zero_()
    graph.replay()
    torch.cuda.synchronize()
    for a, b in zip(captured, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6 * float(b.abs().max()))
