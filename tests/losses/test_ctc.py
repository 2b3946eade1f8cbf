"""Three witnesses for the CTC loss: all paths by brute force, finite differences, PyTorch."""

import math

import pytest
import torch
import torch.nn.functional as F
from lattices import draw_ctc as draw
from lattices import feasible

from asrlib.losses.ctc import ctc_loss, ctc_posteriors
from asrlib.losses.textbook import ctc_brute_force

pytestmark = pytest.mark.usefixtures("seed")


# ---- the first witness: all paths ------------------------------------------------------------------------


@pytest.mark.parametrize("blank", [0, 2, 3])
def test_loss_and_gradient_are_the_sum_over_all_paths(blank):
    logits, targets, T_b, U_b = draw(blank=blank)
    log_probs = logits.log_softmax(-1).requires_grad_()
    ours = ctc_loss(log_probs, targets, T_b, U_b, blank=blank, reduction="none")
    theirs = torch.stack(
        [-ctc_brute_force(log_probs[: T_b[b], b], targets[b, : U_b[b]], blank) for b in range(len(T_b))]
    )
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
    possible = ours.isfinite()
    weights = torch.randn(5, dtype=logits.dtype)
    (a,) = torch.autograd.grad((ours * weights)[possible].sum(), log_probs)
    (b,) = torch.autograd.grad((theirs * weights)[possible].sum(), log_probs)
    torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


# ---- the second witness: finite differences --------------------------------------------------------------


@pytest.mark.parametrize("blank", [0, 3])
def test_gradient_by_finite_differences(blank):
    logits, targets, T_b, U_b = draw(B=3, T=5, blank=blank)
    T_b = feasible(targets, T_b, U_b)
    log_probs = logits.log_softmax(-1).requires_grad_()

    def loss(x):
        return ctc_loss(x, targets, T_b, U_b, blank=blank, reduction="none")

    assert torch.autograd.gradcheck(loss, log_probs, eps=1e-5, atol=1e-8, rtol=1e-8)


# ---- the third witness: PyTorch --------------------------------------------------------------------------


@pytest.mark.parametrize("blank", [0, 5, 19])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_pytorch_agrees(blank, reduction):
    logits, targets, T_b, U_b = draw(B=6, T=40, U=9, V=20, blank=blank)
    T_b = feasible(targets, T_b, U_b)
    logits.requires_grad_()
    results = []
    for loss in ctc_loss, F.ctc_loss:
        value = loss(logits.log_softmax(-1), targets, T_b, U_b, blank=blank, reduction=reduction)
        results.append((value, *torch.autograd.grad(value.sum(), logits)))
    torch.testing.assert_close(*results, rtol=0, atol=1e-10)


def test_float32_agrees_with_pytorch():
    logits, targets, T_b, U_b = draw(B=6, T=80, U=20, V=30, dtype=torch.float32)
    T_b = feasible(targets, T_b, U_b)
    logits.requires_grad_()
    results = []
    for loss in ctc_loss, F.ctc_loss:
        value = loss(logits.log_softmax(-1), targets, T_b, U_b)
        results.append((value, *torch.autograd.grad(value, logits)))
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-6)


def test_every_form_of_arguments_that_pytorch_takes():
    logits, targets, T_b, U_b = draw(B=3, T=8)
    log_probs = logits.log_softmax(-1)
    expected = F.ctc_loss(log_probs, targets, T_b, U_b, reduction="none", zero_infinity=True)
    behind = torch.cat([row[:n] for row, n in zip(targets, U_b.tolist(), strict=True)])
    forms = [
        (targets, T_b, U_b),
        (targets.int(), T_b.int(), U_b.int()),
        (behind, T_b, U_b),
        (targets, tuple(T_b.tolist()), tuple(U_b.tolist())),
        (behind, T_b.tolist(), U_b.tolist()),
    ]
    for form in forms:
        torch.testing.assert_close(ctc_loss(log_probs, *form, reduction="none", zero_infinity=True), expected)
    for lengths in ((T_b[0], U_b[0]), (int(T_b[0]), int(U_b[0])), ((int(T_b[0]),), (int(U_b[0]),))):
        one = ctc_loss(log_probs[:, 0], targets[0], *lengths, reduction="none")
        assert one.shape == ()
        torch.testing.assert_close(one, expected[0])


@pytest.mark.parametrize("zero_infinity", [False, True])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_targets_without_a_path(zero_infinity, reduction):
    log_probs = torch.randn(3, 3, 4, dtype=torch.float64).log_softmax(-1).requires_grad_()
    targets = torch.tensor([[1, 1, 2], [1, 2, 3], [2, 2, 2]])
    lengths = torch.tensor([3, 3, 3]), torch.tensor([3, 3, 1])
    loss = ctc_loss(log_probs, targets, *lengths, reduction=reduction, zero_infinity=zero_infinity)
    theirs = F.ctc_loss(log_probs, targets, *lengths, reduction=reduction, zero_infinity=zero_infinity)
    torch.testing.assert_close(loss, theirs)
    (grad,) = torch.autograd.grad(loss.sum(), log_probs)
    assert not grad[:, 0].any() and grad.isfinite().all()
    assert grad[:, 1:].any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_loses_only_its_own_digits(dtype):
    logits, targets, T_b, U_b = draw(T=20, dtype=torch.float32)
    low = logits.log_softmax(-1).to(dtype).requires_grad_()
    same = low.detach().double().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        ours = ctc_loss(low, targets, T_b, U_b, zero_infinity=True)
    exact = ctc_loss(same, targets, T_b, U_b, zero_infinity=True)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours.double(), exact, rtol=1e-6, atol=0)
    (a,), (b,) = torch.autograd.grad(ours, low), torch.autograd.grad(exact, same)
    assert a.dtype == dtype
    torch.testing.assert_close(a.double(), b, rtol=0.01, atol=1e-6)


# ---- padding, empty and impossible utterances ------------------------------------------------------------


@pytest.mark.parametrize("filler", [0.0, 1e9, math.nan, math.inf, -math.inf])
def test_padding_is_invisible(filler):
    logits, targets, T_b, U_b = draw(T=8)
    tight = logits.log_softmax(-1).requires_grad_()
    padded = torch.full((11, 5, 4), filler, dtype=logits.dtype)
    padded_targets = torch.full((5, 7), -100)
    with torch.no_grad():
        for b, (T, U) in enumerate(zip(T_b.tolist(), U_b.tolist(), strict=True)):
            padded[:T, b] = tight[:T, b]
            padded_targets[b, :U] = targets[b, :U]
    padded.requires_grad_()
    a = ctc_loss(padded, padded_targets, T_b, U_b, zero_infinity=True)
    b = ctc_loss(tight, targets, T_b, U_b, zero_infinity=True)
    torch.testing.assert_close(a, b)
    (da,), (db,) = torch.autograd.grad(a, padded), torch.autograd.grad(b, tight)
    torch.testing.assert_close(da[:8], db)
    assert not da[8:].any()
    gamma = ctc_posteriors(padded.detach(), padded_targets, T_b, U_b)
    torch.testing.assert_close(gamma[:8, :, :7], ctc_posteriors(tight.detach(), targets, T_b, U_b))


def test_an_utterance_without_frames():
    logits, targets, T_b, U_b = draw(B=3)
    T_b[1:], U_b[1], U_b[2] = 0, 0, 2
    losses = ctc_loss(logits.log_softmax(-1), targets, T_b, U_b, reduction="none")
    assert losses[0].isfinite() and losses[1] == 0 and losses[2] == math.inf
    nothing = ctc_loss(logits[:0], targets, T_b * 0, U_b * 0)
    assert nothing == 0


def test_an_impossible_label_stays_impossible():
    log_probs = torch.randn(4, 1, 3, dtype=torch.float64).log_softmax(-1)
    log_probs[2] = torch.tensor([0.0, -math.inf, -math.inf])
    log_probs.requires_grad_()
    loss = ctc_loss(log_probs, torch.tensor([[1, 2]]), (4,), (2,))
    torch.testing.assert_close(loss * 2, -ctc_brute_force(log_probs[:, 0], torch.tensor([1, 2])))
    assert torch.autograd.grad(loss, log_probs)[0].isfinite().all()


# ---- errors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda a: a["log_probs"].__setitem__((2, 0, 1), math.nan), r"nan at frame 2, utterance 0, label 1"),
        (lambda a: a["log_probs"].__setitem__((0, 0, 3), math.inf), r"inf at frame 0, utterance 0, label 3"),
        (lambda a: a["targets"].__setitem__((0, 2), 0), r"targets\[0, 2\] is 0, the blank"),
        (lambda a: a["targets"].__setitem__((0, 1), 4), r"targets\[0, 1\] is 4, outside the vocabulary of 4"),
        (lambda a: a["targets"].__setitem__((0, 1), -1), r"targets\[0, 1\] is -1, outside"),
        (lambda a: a["input_lengths"].__setitem__(2, 7), r"input_lengths\[2\] is 7, but there are 6"),
        (lambda a: a["input_lengths"].__setitem__(2, -1), r"input_lengths\[2\] is -1"),
        (lambda a: a["target_lengths"].__setitem__(1, 4), r"target_lengths\[1\] is 4, but there are 3"),
        (lambda a: a.update(targets=a["targets"][:3]), r"targets has 3 utterances, log_probs has 5"),
        (lambda a: a.update(targets=a["targets"].flatten()), r"targets has 15 labels .* sum to"),
        (lambda a: a.update(log_probs=a["log_probs"][None]), r"log_probs is .* must be \(T, B, V\)"),
        (lambda a: a.update(input_lengths=a["input_lengths"][:3]), r"input_lengths has 3 entries for 5"),
        (lambda a: a.update(target_lengths=(1, 2)), r"target_lengths has 2 entries for 5"),
        (lambda a: a.update(target_lengths=torch.ones(5)), r"target_lengths must hold integers"),
        (lambda a: a.update(blank=4), r"blank is 4, but log_probs has 4 labels"),
        (lambda a: a.update(reduction="average"), r"reduction must be .* not 'average'"),
    ],
)
def test_every_error_names_its_argument(change, message, unchecked_shapes):
    logits, *rest = draw()
    names = "log_probs", "targets", "input_lengths", "target_lengths"
    arguments = dict(zip(names, (logits.log_softmax(-1), *rest), strict=True))
    change(arguments)
    with pytest.raises(ValueError, match=message):
        ctc_loss(**arguments)
