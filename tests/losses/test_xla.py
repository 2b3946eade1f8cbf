"""The losses as XLA gets them, with fixed shapes and rescaled recursions, run on the CPU beside the others.

What only an XLA device can show, one compilation a shape, is in tests/xla.
"""

import math

import pytest
import torch
from lattices import draw, draw_ctc, gradients, joint_parts

from asrlib import backend
from asrlib.losses import ctc_lattice, rnnt_lattice
from asrlib.losses.ctc import ctc_loss, ctc_posteriors
from asrlib.losses.joint import SLOPES, joint_rnnt_loss
from asrlib.losses.pruned import simple_rnnt_loss
from asrlib.losses.rnnt import rnnt_loss, rnnt_posteriors
from asrlib.losses.rnnt_logits import read_lattice
from asrlib.losses.rnnt_xla import forward_backward

pytestmark = pytest.mark.usefixtures("seed")


@pytest.fixture
def both(monkeypatch):
    """A function that calls another one twice: as it is, and as if on XLA."""

    def call(function, *args, **kwargs):
        plain = function(*args, **kwargs)
        with monkeypatch.context() as patch:
            patch.setattr(backend, "on_xla", lambda x: True)
            return plain, function(*args, **kwargs)

    return call


def loss_and_gradients(loss, inputs, *args, **kwargs):
    losses = loss(*inputs, *args, reduction="none", **kwargs)
    weights = torch.arange(1, len(losses) + 1)
    finite = torch.where(losses.isfinite(), losses, 0.0)
    return losses.detach(), *gradients((finite * weights).sum(), inputs)


@pytest.mark.parametrize("blank", [0, 3, -1])
@pytest.mark.parametrize("T, U", [(6, 4), (1, 3), (5, 0), (1, 0), (2, 9)])
def test_rnnt_loss(both, blank, T, U):
    logits, *rest = draw(T=T, U=U, blank=blank)
    plain, static = both(loss_and_gradients, rnnt_loss, [logits.requires_grad_()], *rest, blank=blank)
    torch.testing.assert_close(static, plain, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kwargs", [{"clamp": 0.05}, {"fused_log_softmax": False}])
def test_rnnt_loss_with_options(both, kwargs):
    logits, *rest = draw()
    logits = logits.log_softmax(-1).requires_grad_()
    plain, static = both(loss_and_gradients, rnnt_loss, [logits], *rest, blank=0, **kwargs)
    torch.testing.assert_close(static, plain, rtol=0, atol=1e-10)


@pytest.mark.parametrize("activation", sorted(SLOPES))
@pytest.mark.parametrize("chunk_frames", [None, 1, 9, 100])
def test_joint_rnnt_loss(both, activation, chunk_frames):
    parts, *rest = joint_parts(blank=2)
    options = dict(blank=2, activation=activation, chunk_frames=chunk_frames)
    plain, static = both(loss_and_gradients, joint_rnnt_loss, parts, *rest, **options)
    # the plain path leaves nodes out that hardly any path goes through
    torch.testing.assert_close(static, plain, rtol=0, atol=1e-10)


def test_joint_without_bias(both):
    (*parts, _), *rest = joint_parts()

    def loss(encoder, prediction, weight, *args, **kwargs):
        return joint_rnnt_loss(encoder, prediction, weight, None, *args, **kwargs)

    plain, static = both(loss_and_gradients, loss, parts, *rest)
    torch.testing.assert_close(static, plain, rtol=0, atol=1e-10)


def test_joint_under_bf16_autocast(both):
    parts, *rest = joint_parts(T=20, U=8, D=16, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        plain, static = both(loss_and_gradients, joint_rnnt_loss, parts, *rest)
    for a, b in zip(static, plain, strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a, b, rtol=0, atol=1e-2 * float(b.abs().max()))


@pytest.mark.parametrize("blank", [0, 2])
@pytest.mark.parametrize("T, U", [(6, 3), (1, 1), (5, 0), (9, 4)])
def test_ctc_loss(both, blank, T, U):
    logits, *rest = draw_ctc(T=T, U=U, blank=blank)
    inputs = [logits.log_softmax(-1).requires_grad_()]
    plain, static = both(loss_and_gradients, ctc_loss, inputs, *rest, blank=blank)
    torch.testing.assert_close(static, plain, rtol=0, atol=1e-10)


def test_posteriors(both):
    logits, *rest = draw()
    plain, static = both(rnnt_posteriors, logits, *rest, blank=0)
    torch.testing.assert_close(static, plain)
    logits, *rest = draw_ctc()
    log_probs = logits.log_softmax(-1)
    plain, static = both(ctc_posteriors, log_probs, *rest)
    torch.testing.assert_close(static, plain)


def test_simple_loss_of_pruning(both):
    (encoder, prediction, *_), *rest = joint_parts(D=7)
    plain, static = both(simple_rnnt_loss, encoder, prediction, *rest)
    torch.testing.assert_close(static, plain)


def test_padding_is_invisible(both):
    logits, targets, T_b, U_b = draw(B=5)
    expected = loss_and_gradients(rnnt_loss, [logits.requires_grad_()], targets, T_b, U_b, blank=0)
    with torch.no_grad():
        for b in range(5):
            logits[b, T_b[b] :] = math.nan
            logits[b, :, U_b[b] + 1 :] = math.nan
            targets[b, U_b[b] :] = -100
    _, static = both(loss_and_gradients, rnnt_loss, [logits], targets, T_b, U_b, blank=0)
    torch.testing.assert_close(static, expected)
    parts, targets, T_b, U_b = joint_parts()
    expected = loss_and_gradients(joint_rnnt_loss, parts, targets, T_b, U_b)
    with torch.no_grad():
        for b in range(4):
            parts[0][b, T_b[b] :] = math.nan
            parts[1][b, U_b[b] + 1 :] = math.nan
    _, static = both(loss_and_gradients, joint_rnnt_loss, parts, targets, T_b, U_b)
    torch.testing.assert_close(static, expected)


def test_impossible_targets_have_an_infinite_loss_and_no_gradient(both):
    log_probs = torch.full((1, 2, 2, 3), -math.inf, dtype=torch.float64, requires_grad=True)
    one = torch.tensor([1])
    arguments = torch.tensor([[1]]), one * 2, one
    _, (loss, grad) = both(
        loss_and_gradients, rnnt_loss, [log_probs], *arguments, blank=0, fused_log_softmax=False
    )
    assert loss == math.inf and not grad.any()
    log_probs = torch.randn(3, 2, 4).log_softmax(-1).requires_grad_()
    targets, three = torch.tensor([[1, 1, 2], [1, 2, 3]]), torch.tensor([3, 3])
    _, (loss, grad) = both(loss_and_gradients, ctc_loss, [log_probs], targets, three, three)
    assert loss[0] == math.inf and loss[1].isfinite() and not grad[:, 0].any() and grad[:, 1].any()


def test_float32_is_enough_where_nothing_grows_with_the_frames(monkeypatch):
    logits, targets, _, _ = draw(B=2, T=600, U=150, V=20, dtype=torch.float32)
    lengths = torch.tensor([600, 500]), torch.tensor([150, 20])
    exact = rnnt_posteriors(logits.double(), targets, *lengths, blank=0)
    checked, *lattices = read_lattice(logits, targets, *lengths, blank=0)
    assert lattices[0].dtype == torch.float32
    log_p, *flows = forward_backward(*lattices, checked.T_b)
    losses = rnnt_loss(logits.double(), targets, *lengths, blank=0, reduction="none")
    torch.testing.assert_close(-log_p.double(), losses, rtol=1e-6, atol=0)
    assert (sum(flows) - exact).abs().max() < 1e-5
    # the recursion as it stands loses two digits more
    monkeypatch.setattr(rnnt_lattice, "recursion_dtype", lambda device: torch.float32)
    assert (rnnt_posteriors(logits, targets, *lengths, blank=0) - exact).abs().max() > 1e-4


def test_float32_is_enough_for_ctc(monkeypatch):
    log_probs = torch.randn(600, 3, 20).log_softmax(-1)
    arguments = torch.randint(1, 20, (3, 100)), torch.tensor([600, 400, 300]), torch.tensor([100, 30, 100])
    exact = ctc_posteriors(log_probs.double(), *arguments)
    monkeypatch.setattr(ctc_lattice, "recursion_dtype", lambda device: torch.float32)
    plain = ctc_posteriors(log_probs, *arguments)
    monkeypatch.setattr(backend, "on_xla", lambda x: True)
    static = ctc_posteriors(log_probs, *arguments)
    # what is summed lies some hundreds below the largest of its frame: rounded to 3e-5 at worst
    assert static.dtype == torch.float32 and (static - exact).abs().max() < 3e-5
    assert (plain - exact).abs().max() > 3e-4


def test_what_xla_cannot_take_is_refused(monkeypatch):
    monkeypatch.setattr(backend, "on_xla", lambda x: True)
    logits, targets, T_b, U_b = draw_ctc()
    with pytest.raises(ValueError, match=r"targets is \(15,\), but on XLA it must be \(B, U\)"):
        ctc_loss(logits.log_softmax(-1), targets.flatten(), T_b, U_b)
    logits, *rest = draw()
    with pytest.raises(ValueError, match="logits has no frames"):
        rnnt_loss(logits[:, :0], *rest, blank=0)
