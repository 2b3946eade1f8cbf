"""Three witnesses for the transducer loss: all paths by brute force, finite differences, torchaudio."""

import math

import pytest
import torch
from lattices import draw, gradients, torchaudio_loss

from asrlib.losses.rnnt import rnnt_loss, rnnt_posteriors
from asrlib.losses.textbook import rnnt_brute_force, rnnt_scores

pytestmark = pytest.mark.usefixtures("seed")


def one_by_one(logits, targets, T_b, U_b, blank):
    """-ln Pr of every utterance, by the sum over all paths."""
    losses = []
    for b in range(len(T_b)):
        T, U = int(T_b[b]), int(U_b[b])
        losses.append(-rnnt_brute_force(*rnnt_scores(logits[b, :T, : U + 1], targets[b, :U], blank)))
    return torch.stack(losses)


# ---- the first witness: all paths ------------------------------------------------------------------------


@pytest.mark.parametrize("blank", [0, 3, 6, -1])
def test_loss_and_gradient_are_the_sum_over_all_paths(blank):
    logits, *rest = draw(blank=blank)
    logits.requires_grad_()
    ours, theirs = rnnt_loss(logits, *rest, blank=blank, reduction="none"), one_by_one(logits, *rest, blank)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
    weights = torch.randn(4, dtype=logits.dtype)
    (a,), (b,) = gradients((ours * weights).sum(), [logits]), gradients((theirs * weights).sum(), [logits])
    torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize("T, U", [(1, 0), (1, 3), (5, 0), (2, 1)])
def test_small_lattices(T, U):
    logits, targets, _, _ = draw(B=2, T=T, U=U)
    T_b, U_b = torch.full((2,), T), torch.full((2,), U)
    ours = rnnt_loss(logits, targets, T_b, U_b, blank=0, reduction="none")
    torch.testing.assert_close(ours, one_by_one(logits, targets, T_b, U_b, 0), rtol=0, atol=1e-10)


def test_posteriors_ignore_the_padding():
    logits, targets, T_b, U_b = draw(B=5)
    gamma = rnnt_posteriors(logits, targets, T_b, U_b, blank=0)
    for b, (T, U) in enumerate(zip(T_b.tolist(), U_b.tolist(), strict=True)):
        alone = rnnt_posteriors(logits[b : b + 1, :T, : U + 1], targets[b : b + 1, :U], blank=0)[0]
        torch.testing.assert_close(gamma[b, :T, : U + 1], alone)
        assert gamma[b].sum().isclose(alone.sum())


# ---- the second witness: finite differences --------------------------------------------------------------


@pytest.mark.parametrize("fused", [True, False])
def test_gradient_by_finite_differences(fused):
    logits, targets, T_b, U_b = draw(B=2, T=3, U=2, V=4)
    if not fused:
        logits = logits.log_softmax(-1)
    logits.requires_grad_()

    def loss(x):
        return rnnt_loss(x, targets, T_b, U_b, blank=0, reduction="none", fused_log_softmax=fused)

    assert torch.autograd.gradcheck(loss, logits, eps=1e-5, atol=1e-8, rtol=1e-8)


# ---- the third witness: torchaudio -----------------------------------------------------------------------


@pytest.mark.parametrize("blank", [0, 11, -1])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_torchaudio_agrees(blank, reduction):
    logits, targets, T_b, U_b = draw(B=5, T=30, U=12, V=23, blank=blank, dtype=torch.float32)
    lengths = targets.int(), T_b.int(), U_b.int()
    logits.requires_grad_()
    ours = rnnt_loss(logits, *lengths, blank=blank, reduction=reduction)
    theirs = torchaudio_loss(logits, *lengths, blank=blank, reduction=reduction)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=0)
    (a,), (b,) = gradients(ours.sum(), [logits]), gradients(theirs.sum(), [logits])
    torch.testing.assert_close(a, b, rtol=0, atol=1e-4 * float(b.abs().max()))


@pytest.mark.parametrize("clamp", [0.01, 0.2])
def test_clamp_is_torchaudios(clamp):
    logits, targets, T_b, U_b = draw(dtype=torch.float32)
    lengths = targets.int(), T_b.int(), U_b.int()
    logits.requires_grad_()
    (a,) = gradients(rnnt_loss(logits, *lengths, blank=0, clamp=clamp), [logits])
    (b,) = gradients(torchaudio_loss(logits, *lengths, blank=0, clamp=clamp), [logits])
    torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_log_probabilities_without_fused_log_softmax():
    logits, *rest = draw()
    logits.requires_grad_()
    fused = rnnt_loss(logits, *rest, blank=0)
    apart = rnnt_loss(logits.log_softmax(-1), *rest, blank=0, fused_log_softmax=False)
    torch.testing.assert_close(fused, apart)
    torch.testing.assert_close(*gradients(fused, [logits]), *gradients(apart, [logits]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_lose_only_their_own_digits(dtype):
    logits, *rest = draw(dtype=torch.float32)
    low = logits.to(dtype).requires_grad_()
    same = low.detach().double().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        ours = rnnt_loss(low, *rest, blank=0)
    exact = rnnt_loss(same, *rest, blank=0)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours.double(), exact, rtol=1e-6, atol=0)
    (a,), (b,) = gradients(ours, [low]), gradients(exact, [same])
    assert a.dtype == dtype
    torch.testing.assert_close(a.double(), b, rtol=0.01, atol=1e-6)


def test_long_lattice_in_float32_keeps_its_digits():
    logits, targets, _, _ = draw(B=1, T=300, U=100, V=20, dtype=torch.float32)
    lengths = torch.tensor([300]), torch.tensor([100])
    exact = logits.double().requires_grad_()
    logits.requires_grad_()
    (a,) = gradients(rnnt_loss(logits, targets, *lengths, blank=0), [logits])
    (b,) = gradients(rnnt_loss(exact, targets, *lengths, blank=0), [exact])
    torch.testing.assert_close(a.double(), b, rtol=0, atol=1e-5)


# ---- padding, empty and impossible utterances ------------------------------------------------------------


@pytest.mark.parametrize("filler", [0.0, 1e9, math.nan, math.inf, -math.inf])
def test_padding_is_invisible(filler):
    logits, targets, T_b, U_b = draw(B=5)
    tight = logits.clone().requires_grad_()
    padded = torch.full((5, 9, 8, 7), filler, dtype=logits.dtype)
    padded_targets = torch.full((5, 7), -100)
    for b, (T, U) in enumerate(zip(T_b.tolist(), U_b.tolist(), strict=True)):
        padded[b, :T, : U + 1] = logits[b, :T, : U + 1]
        padded_targets[b, :U] = targets[b, :U]
    padded.requires_grad_()
    a = rnnt_loss(padded, padded_targets, T_b, U_b, blank=0)
    b = rnnt_loss(tight, targets, T_b, U_b, blank=0)
    torch.testing.assert_close(a, b)
    (da,), (db,) = gradients(a, [padded]), gradients(b, [tight])
    torch.testing.assert_close(da[:, :6, :5], db)
    assert not da[:, 6:].any() and not da[:, :, 5:].any()


def test_an_utterance_without_frames():
    logits, targets, T_b, U_b = draw(B=3)
    T_b[1:], U_b[1], U_b[2] = 0, 0, 2
    logits.requires_grad_()
    losses = rnnt_loss(logits, targets, T_b, U_b, blank=0, reduction="none")
    assert losses[1] == 0 and losses[2] == math.inf
    (grad,) = gradients(losses[:1].sum() + losses[2], [logits])
    assert grad.isfinite().all() and not grad[1:].any()
    empty = rnnt_loss(logits[:, :0], targets, T_b * 0, U_b * 0, blank=0)
    assert empty == 0


def test_impossible_log_probabilities_give_an_infinite_loss_and_no_gradient():
    log_probs = torch.full((1, 2, 2, 3), -math.inf, dtype=torch.float64, requires_grad=True)
    one = torch.tensor([1])
    loss = rnnt_loss(log_probs, torch.tensor([[1]]), one * 2, one, blank=0, fused_log_softmax=False)
    assert loss == math.inf
    assert not gradients(loss, [log_probs])[0].any()


def test_no_gradient_no_beta():
    logits, *rest = draw()
    with torch.no_grad():
        quiet = rnnt_loss(logits, *rest, blank=0)
    torch.testing.assert_close(quiet, rnnt_loss(logits.requires_grad_(), *rest, blank=0))


# ---- errors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_logit_that_is_no_number_is_named(value):
    logits, targets, T_b, U_b = draw()
    logits[0, 2, 1, 3] = value
    with pytest.raises(ValueError, match=r"logits\[0, 2, 1, 3\] is -?(nan|inf)"):
        rnnt_loss(logits, targets, T_b, U_b, blank=0)


def test_log_probabilities_may_be_minus_infinity_but_not_nan():
    logits, targets, T_b, U_b = draw()
    log_probs = logits.log_softmax(-1)
    log_probs[0, 0, 0, targets[0, 0]] = -math.inf
    assert rnnt_loss(log_probs, targets, T_b, U_b, blank=0, fused_log_softmax=False).isfinite()
    log_probs[0, 0, 0, targets[0, 0]] = math.nan
    with pytest.raises(ValueError, match=r"logits\[0, 0, 0, \d\] is nan"):
        rnnt_loss(log_probs, targets, T_b, U_b, blank=0, fused_log_softmax=False)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda a: a["targets"].__setitem__((0, 2), 0), r"targets\[0, 2\] is 0, the blank"),
        (lambda a: a["targets"].__setitem__((0, 1), 7), r"targets\[0, 1\] is 7, outside the vocabulary of 7"),
        (lambda a: a["targets"].__setitem__((0, 1), -1), r"targets\[0, 1\] is -1, outside"),
        (lambda a: a["logit_lengths"].__setitem__(2, 7), r"logit_lengths\[2\] is 7, but there are 6"),
        (lambda a: a["logit_lengths"].__setitem__(2, -1), r"logit_lengths\[2\] is -1"),
        (lambda a: a["target_lengths"].__setitem__(1, 5), r"target_lengths\[1\] is 5, but there are 4"),
        (lambda a: a.update(targets=a["targets"][:, :3]), r"targets is \(4, 3\), .* \(4, 4\)"),
        (lambda a: a.update(targets=a["targets"][:3]), r"targets is \(3, 4\)"),
        (lambda a: a.update(logit_lengths=a["logit_lengths"][:3]), r"logit_lengths is \(3,\)"),
        (lambda a: a.update(target_lengths=a["target_lengths"][:3]), r"target_lengths is \(3,\)"),
        (lambda a: a.update(blank=7), r"blank is 7, but there are 7 labels"),
        (lambda a: a.update(reduction="average"), r"reduction must be .* not 'average'"),
    ],
)
def test_every_error_names_its_argument(change, message, unchecked_shapes):
    names = "logits", "targets", "logit_lengths", "target_lengths"
    arguments = dict(zip(names, draw(), strict=True), blank=0)
    change(arguments)
    with pytest.raises(ValueError, match=message):
        rnnt_loss(**arguments)
