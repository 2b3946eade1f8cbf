"""Joint network and loss through the kernels against the plain path in float64."""

import functools
import math

import kernels
import lattices
import pytest
import torch

from asrlib.losses.arguments import values_unchecked
from asrlib.losses.joint import SLOPES, joint_rnnt_loss

pytestmark = [*kernels.RUN, pytest.mark.usefixtures("seed")]
loss = functools.partial(joint_rnnt_loss, reduction="none")


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """So that a toy lattice has several tiles."""
    from asrlib.losses.kernels import joint

    for name, value in dict(LABELS=2, WIDTH=4, FRAMES=2).items():
        monkeypatch.setattr(joint, name, value)


def draw(B=2, T=3, U=2, V=4, D=5, **kwargs):
    parts, *rest = lattices.joint_parts(D, B, T, U, V, **kwargs)
    return [x.detach() for x in parts], rest


@pytest.mark.parametrize("activation", sorted(SLOPES))
def test_every_activation(agree, activation):
    parts, rest = draw()
    agree(functools.partial(loss, activation=activation), parts, rest)


@pytest.mark.parametrize("chunk_frames", [1, 2])
def test_in_chunks(agree, chunk_frames):
    """Frames of one utterance at a time; all utterances at once is what the others test."""
    parts, rest = draw(blank=2)
    agree(functools.partial(loss, chunk_frames=chunk_frames, blank=2), parts, rest)


def test_without_bias_and_with_frozen_weight(agree):
    (encoder, prediction, weight, _), rest = draw()
    frozen = weight.to(kernels.DEVICE)

    def function(encoder, prediction, *rest):
        return loss(encoder, prediction, frozen.to(encoder.device), None, *rest)

    agree(function, [encoder, prediction], rest)


def test_nothing_of_the_padding_is_read(agree):
    parts, (targets, T_b, U_b) = draw()
    T_b[1], U_b[1] = 2, 1
    expected = agree(loss, parts, [targets, T_b, U_b])
    parts[0][1, 2:] = math.nan
    parts[1][1, 2:] = math.nan
    targets[1, 1:] = -100
    torch.testing.assert_close(agree(loss, parts, [targets, T_b, U_b]), expected)


def test_no_frames(agree):
    parts, (targets, T_b, U_b) = draw()
    T_b[1], U_b[1] = 0, 0
    losses = agree(loss, parts, [targets, T_b, U_b])[0]
    assert losses[1] == 0


def test_under_autocast(both_ways):
    parts, rest = draw(T=4, D=8, dtype=torch.float32)

    def function(encoder, *rest):
        with torch.autocast(encoder.device.type, torch.bfloat16, enabled=encoder.dtype == torch.float32):
            return loss(encoder, *rest)

    low, exact = both_ways(function, parts, rest)
    torch.testing.assert_close(low[0].double(), exact[0], rtol=1e-2, atol=0)
    for a, b in zip(low[1:], exact[1:], strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a.double(), b, rtol=0, atol=3e-2 * float(b.abs().max()))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda a: a[0].__setitem__((0, 1, 2), math.inf), r"encoder_out\[0, 1, 2\] is inf"),
        (lambda a: a[1].__setitem__((0, 2, 0), math.nan), r"prediction_out\[0, 2, 0\] is nan"),
        (lambda a: a[2].__setitem__((1, 1), -math.inf), r"weight\[1, 1\] is -inf"),
        (lambda a: a[3].__setitem__(3, math.nan), r"bias\[3\] is nan"),
        (lambda a: a[2].fill_(1e308), r"logits overflow"),
        (lambda a: a[4].__setitem__((0, 1), 9), r"targets\[0, 1\] is 9"),
        (lambda a: a[5].__setitem__(1, 9), r"frame_lengths\[1\] is 9, but there are 3"),
    ],
)
def test_bad_arguments_are_named(change, message):
    parts, rest = draw()
    arguments = [*parts, *rest]
    change(arguments)
    with pytest.raises(ValueError, match=message):
        joint_rnnt_loss(*(x.to(kernels.DEVICE) for x in arguments))


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_unchecked_values_make_a_loss_that_is_no_number(activation):
    parts, rest = draw()
    parts[0][0, 1, 2] = math.nan
    with values_unchecked():
        losses = loss(*(x.to(kernels.DEVICE) for x in (*parts, *rest)), activation=activation)
    assert losses.isfinite().tolist() == [False, True]
