"""The transducer's kernels against the plain path in float64."""

import functools
import math

import kernels
import lattices
import pytest
import torch

from asrlib.losses.arguments import values_unchecked
from asrlib.losses.rnnt import rnnt_loss, rnnt_posteriors

pytestmark = [*kernels.RUN, pytest.mark.usefixtures("seed")]
loss = functools.partial(rnnt_loss, blank=0, reduction="none")


def draw(B=2, T=3, U=2, V=5, **kwargs):
    logits, *rest = lattices.draw(B, T, U, V, **kwargs)
    return logits, rest


@pytest.mark.parametrize("blank", [0, 3, -1])
def test_random_lengths(agree, blank):
    logits, rest = draw(B=3, blank=blank)
    agree(functools.partial(loss, blank=blank), [logits], rest)


@pytest.mark.parametrize("shape", [(1, 1, 0, 2), (1, 1, 3, 3), (1, 4, 0, 5), (1, 2, 1, 1030)])
def test_odd_shapes(agree, shape):
    logits, rest = draw(*shape)
    agree(loss, [logits], rest)


def test_no_frames(agree):
    logits, (targets, T_b, U_b) = draw(B=3)
    T_b[1:], U_b[1], U_b[2] = 0, 0, 2
    losses, _ = agree(loss, [logits], [targets, T_b, U_b])
    assert losses.tolist()[1:] == [0, math.inf]


def test_strides(agree):
    logits, rest = draw()
    agree(loss, [logits.transpose(1, 2).contiguous().transpose(1, 2)], rest)


def test_clamp(agree):
    logits, rest = draw()
    # the bound itself reaches the kernel as a float32
    agree(functools.partial(loss, clamp=0.05), [logits], rest, atol=1e-7)


def test_log_probabilities(agree):
    logits, (targets, *lengths) = draw()
    log_probs = logits.log_softmax(-1)
    log_probs[0, 0, 0, targets[0, 0]] = -math.inf
    agree(functools.partial(loss, fused_log_softmax=False), [log_probs], [targets, *lengths])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_lower_precision(both_ways, dtype):
    logits, rest = draw()
    (losses, grad), (plain, plain_grad) = both_ways(loss, [logits.to(dtype)], rest)
    assert grad.dtype == dtype and losses.dtype == torch.float32
    torch.testing.assert_close(losses.double(), plain, rtol=1e-6, atol=0)
    tolerance = 1e-2 if dtype.itemsize == 2 else 1e-5
    torch.testing.assert_close(grad.double(), plain_grad, rtol=tolerance, atol=1e-6)


def test_nothing_of_the_padding_is_read(agree):
    logits, (targets, T_b, U_b) = draw()
    T_b[1], U_b[1] = 2, 1
    expected = agree(loss, [logits], [targets, T_b, U_b])
    logits[1, 2:] = math.nan
    logits[1, :, 2:] = math.nan
    targets[1, 1:] = -100
    torch.testing.assert_close(agree(loss, [logits], [targets, T_b, U_b]), expected)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_logit_that_is_no_number_is_named(value):
    logits, rest = draw(B=1)
    logits[0, 2, 1, 3] = value
    logits, *rest = (x.to(kernels.DEVICE) for x in (logits, *rest))
    with pytest.raises(ValueError, match=r"logits\[0, 2, 1, 3\] is -?(nan|inf)"):
        rnnt_loss(logits, *rest, blank=0)
    with values_unchecked():
        assert not rnnt_loss(logits, *rest, blank=0).isfinite()


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda targets, T_b, U_b: targets.__setitem__((0, 1), 0), r"targets\[0, 1\] is 0, the blank"),
        (lambda targets, T_b, U_b: targets.__setitem__((0, 1), -1), r"targets\[0, 1\] is -1, outside"),
        (lambda targets, T_b, U_b: T_b.__setitem__(1, 7), r"logit_lengths\[1\] is 7, but there are 3"),
        (lambda targets, T_b, U_b: U_b.__setitem__(1, -1), r"target_lengths\[1\] is -1"),
    ],
)
@pytest.mark.parametrize("unchecked", [False, True])
def test_bad_arguments_are_named(change, message, unchecked):
    logits, rest = draw()
    change(*rest)
    logits, *rest = (x.to(kernels.DEVICE) for x in (logits, *rest))
    with values_unchecked() if unchecked else torch.no_grad(), pytest.raises(ValueError, match=message):
        rnnt_loss(logits, *rest, blank=0)


def test_posteriors(agree):
    logits, rest = draw(B=3)
    t = torch.arange(3, dtype=torch.float64)

    def function(x, *rest):
        gamma = rnnt_posteriors(x, *rest, blank=0)
        return (gamma.sum(2) @ t.to(x.device) + gamma[:, :, 0].sum(1)) + 0 * x.sum((1, 2, 3))

    agree(function, [logits], rest)
