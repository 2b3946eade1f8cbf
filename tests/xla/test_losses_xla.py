"""The losses on an XLA device: the CPU's numbers, one compilation a shape, a program that T does not grow."""

import pytest
import torch
from lattices import draw, draw_ctc, joint_parts

from asrlib.losses.ctc import ctc_loss
from asrlib.losses.joint import joint_rnnt_loss
from asrlib.losses.rnnt import rnnt_loss

pytestmark = pytest.mark.usefixtures("seed")


def transducer(T=40, **kwargs):
    logits, *rest = draw(B=3, T=T, U=9, V=11, dtype=torch.float32, **kwargs)
    return lambda x, *rest: rnnt_loss(x, *rest, blank=0), [logits], rest


def joint(T=40, **kwargs):
    parts, *rest = joint_parts(B=3, T=T, U=9, V=11, D=8, dtype=torch.float32, **kwargs)
    # chunks of 4 frames of the batch: several steps of the scan, and a chunk that is not full
    return lambda *args: joint_rnnt_loss(*args, chunk_frames=12), parts, rest


def ctc(T=40, **kwargs):
    logits, *rest = draw_ctc(B=3, T=T, U=9, V=11, dtype=torch.float32, **kwargs)
    return lambda x, *rest: ctc_loss(x.log_softmax(-1), *rest, zero_infinity=True), [logits], rest


LOSSES = [transducer, joint, ctc]


def run(loss, inputs, rest, device):
    """The loss and its gradients by `inputs`, still on the device, as one program."""
    inputs = [x.detach().to(device).requires_grad_() for x in inputs]
    value = loss(*inputs, *(x.to(device) for x in rest))
    return [value, *torch.autograd.grad(value, inputs)]


def programs(results):
    import torch_xla

    return torch_xla._XLAC._get_xla_tensors_hlo([x.detach() for x in results])


@pytest.mark.parametrize("make", LOSSES)
def test_the_cpus_numbers(make, device):
    loss, inputs, rest = make()
    found = [x.detach().cpu() for x in run(loss, inputs, rest, device)]
    exact = run(loss, [x.double() for x in inputs], rest, "cpu")
    torch.testing.assert_close(found[0].double(), exact[0].detach(), rtol=1e-6, atol=0)
    for a, b in zip(found[1:], exact[1:], strict=True):
        torch.testing.assert_close(a.double(), b, rtol=0, atol=1e-5 * float(b.abs().max()))


@pytest.mark.parametrize("make", LOSSES)
def test_one_compilation_a_shape(make, device, compilations):
    import torch_xla

    def step(T=40):
        results = run(*make(T=T), device)
        torch_xla.sync()
        return [x.detach().cpu() for x in results]

    step()
    assert compilations() == 1
    values = {float(step()[0]) for _ in range(5)}
    assert compilations() == 0 and len(values) == 5
    step(T=33)
    assert compilations() == 1


@pytest.mark.parametrize("make", LOSSES)
def test_nothing_is_asked_of_the_device(make, device):
    import torch_xla.debug.metrics as metrics

    def asked():
        executions = metrics.metric_data("ExecuteTime")
        fallbacks = [name for name in metrics.counter_names() if name.startswith("aten::")]
        return (executions[0] if executions else 0), {n: metrics.counter_value(n) for n in fallbacks}

    before = asked()
    run(*make(), device)
    assert asked() == before


@pytest.mark.parametrize("make", LOSSES)
def test_the_program_does_not_grow_with_the_frames(make, device):
    sizes = [programs(run(*make(T=T), device)).count("\n") for T in (50, 400)]
    assert 100 < sizes[0] and sizes[1] < 1.05 * sizes[0]


def test_a_loss_that_is_no_number_shows(device):
    loss, (logits,), rest = transducer()
    logits[0, 0, 0, 0] = torch.nan
    assert run(loss, [logits], rest, device)[0].isnan().cpu()


def test_joint_under_bf16_autocast(device):
    loss, inputs, rest = joint()
    exact = run(loss, inputs, rest, "cpu")
    with torch.autocast("xla", torch.bfloat16):
        low = run(loss, inputs, rest, device)
    for a, b in zip(low, exact, strict=True):
        assert a.dtype == torch.float32
        a, b = a.detach().cpu(), b.detach()
        torch.testing.assert_close(a, b, rtol=0, atol=2e-2 * float(b.abs().max()))
