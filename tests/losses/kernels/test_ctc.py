"""CTC's kernels against the plain path in float64."""

import functools
import math

import kernels
import lattices
import pytest
import torch

from asrlib.losses.arguments import values_unchecked
from asrlib.losses.ctc import ctc_loss

pytestmark = [*kernels.RUN, pytest.mark.usefixtures("seed")]
loss = functools.partial(ctc_loss, reduction="none")


def draw(*shape, **kwargs):
    logits, *rest = lattices.draw_ctc(*shape, **kwargs)
    return logits.log_softmax(-1), rest


@pytest.mark.parametrize("shape", [(3, 6, 3, 4), (2, 1, 0, 3), (2, 1, 2, 3), (1, 12, 5, 3)])
def test_random_lengths(agree, shape):
    log_probs, rest = draw(*shape, blank=2)
    agree(functools.partial(loss, blank=2), [log_probs], rest)


def test_repeats_and_utterances_without_a_path(agree):
    log_probs, (targets, T_b, U_b) = draw(6, 7, 4, 3)
    targets[:] = torch.tensor([1, 1, 2, 2])
    T_b[:] = torch.tensor([7, 6, 5, 0, 0, 7])
    U_b[:] = torch.tensor([4, 4, 4, 0, 2, 0])
    losses, _ = agree(loss, [log_probs], [targets, T_b, U_b])
    assert losses.isinf().tolist() == [False, False, True, False, True, False]


def test_a_label_of_probability_zero(agree):
    log_probs, (targets, *lengths) = draw()
    log_probs[2:4, :, int(targets[0, 0])] = -math.inf
    log_probs[1, 2] = -math.inf
    agree(loss, [log_probs], [targets, *lengths])


def test_strides(agree):
    log_probs, rest = draw()
    # (B, T, V) transposed, as an encoder gives it, and a vocabulary that is not the last axis in memory
    for x in (log_probs.transpose(0, 1).contiguous().transpose(0, 1), log_probs.mT.contiguous().mT):
        losses, grad = agree(loss, [x], rest)
    assert losses.shape == (5,) and grad.shape == x.shape


def test_nothing_of_the_padding_is_read(agree):
    log_probs, (targets, T_b, U_b) = draw()
    T_b[1], U_b[1] = 4, 2
    expected = agree(loss, [log_probs], [targets, T_b, U_b])
    log_probs[4:, 1] = math.nan
    targets[1, 2:] = -100
    torch.testing.assert_close(agree(loss, [log_probs], [targets, T_b, U_b]), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_lower_precision(both_ways, dtype):
    log_probs, rest = draw(3, 5, 2)
    (losses, grad), (plain, plain_grad) = both_ways(loss, [log_probs.to(dtype)], rest)
    assert losses.dtype == torch.float32 and grad.dtype == dtype
    torch.testing.assert_close(losses.double(), plain, rtol=1e-6, atol=0)
    tolerance = 1e-2 if dtype.itemsize == 2 else 1e-5
    torch.testing.assert_close(grad.double(), plain_grad, rtol=tolerance, atol=1e-6)


def test_a_long_utterance_of_unlikely_labels(both_ways):
    """α ends near -5,000, where float32 has three decimals left."""
    log_probs, rest = draw(1, 100, 20, 5, dtype=torch.float32)
    by_kernels, plain = both_ways(loss, [50 * log_probs], rest)
    assert plain[0] > 2000
    for a, b in zip(by_kernels, plain, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda x, y, T_b, U_b: x.__setitem__((2, 0, 1), math.nan), r"nan at frame 2, utterance 0, label 1"),
        (lambda x, y, T_b, U_b: x.__setitem__((0, 0, 3), math.inf), r"inf at frame 0, utterance 0, label 3"),
        (lambda x, y, T_b, U_b: y.__setitem__((0, 2), 0), r"targets\[0, 2\] is 0, the blank"),
        (lambda x, y, T_b, U_b: y.__setitem__((0, 1), 4), r"targets\[0, 1\] is 4, outside"),
        (lambda x, y, T_b, U_b: T_b.__setitem__(2, 7), r"input_lengths\[2\] is 7, but there are 6"),
        (lambda x, y, T_b, U_b: U_b.__setitem__(1, -1), r"target_lengths\[1\] is -1"),
    ],
)
def test_bad_arguments_are_named(change, message):
    log_probs, rest = draw()
    change(log_probs, *rest)
    log_probs, *rest = (x.to(kernels.DEVICE) for x in (log_probs, *rest))
    with pytest.raises(ValueError, match=message):
        ctc_loss(log_probs, *rest)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_unchecked_values_make_a_loss_that_is_no_number(value):
    log_probs, (targets, T_b, U_b) = draw(3, 4, 1)
    T_b[0], U_b[0], U_b[1:] = 4, 1, 0
    log_probs[1, 0] = value
    targets, T_b, U_b = (x.to(kernels.DEVICE) for x in (targets, T_b, U_b))
    with values_unchecked():
        losses = loss(log_probs.to(kernels.DEVICE), targets, T_b, U_b, zero_infinity=True)
    assert losses.isfinite().tolist() == [False, True, True]


def test_every_form_of_lengths_and_targets():
    log_probs, (targets, T_b, U_b) = draw()
    expected = loss(log_probs.to(kernels.DEVICE), *(x.to(kernels.DEVICE) for x in (targets, T_b, U_b)))
    behind = torch.cat([row[:n] for row, n in zip(targets, U_b.tolist(), strict=True)])
    short = targets.int(), T_b.int(), U_b.int()
    for form in (targets, T_b, U_b), (behind, T_b.tolist(), U_b.tolist()), short:
        torch.testing.assert_close(loss(log_probs.to(kernels.DEVICE), *form), expected)
