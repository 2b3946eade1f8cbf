"""The joint with the loss in parts against the joint as a whole, and finite differences."""

import math

import pytest
import torch
from lattices import gradients, joint_parts, plain_joint

from asrlib.losses.joint import SLOPES, joint_rnnt_loss
from asrlib.losses.rnnt import rnnt_loss

pytestmark = pytest.mark.usefixtures("seed")


@pytest.mark.parametrize("activation", sorted(SLOPES))
@pytest.mark.parametrize("chunk_frames", [None, 1, 3, 100])
def test_joint_is_the_plain_joint(activation, chunk_frames):
    parts, *rest = joint_parts(blank=2)
    ours = joint_rnnt_loss(*parts, *rest, blank=2, activation=activation, chunk_frames=chunk_frames)
    plain = rnnt_loss(plain_joint(*parts, activation), *rest, blank=2)
    torch.testing.assert_close(ours, plain)
    for a, b in zip(gradients(ours, parts), gradients(plain, parts), strict=True):
        torch.testing.assert_close(a, b)


def test_joint_without_bias_and_with_frozen_weight():
    (encoder, prediction, weight, _), *rest = joint_parts()
    weight.requires_grad_(False)
    loss = joint_rnnt_loss(encoder, prediction, weight, None, *rest)
    plain = rnnt_loss(plain_joint(encoder, prediction, weight, None), *rest, blank=0)
    inputs = [encoder, prediction]
    torch.testing.assert_close(gradients(loss, inputs), gradients(plain, inputs))


def test_nodes_left_out_of_the_backward_pass_change_no_digit(library):
    parts, *rest = joint_parts(B=2, T=40, U=20, V=11, D=8, dtype=torch.float32)
    # confident logits: few nodes carry the paths, as in a trained model
    parts[2].data *= 4
    ours = gradients(joint_rnnt_loss(*parts, *rest), parts)
    exact = [p.detach().double().requires_grad_() for p in parts]
    plain = gradients(rnnt_loss(plain_joint(*exact), *rest, blank=0), exact)
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=0, atol=3e-6 * float(b.abs().max()))


@pytest.mark.parametrize("halves", [0, 2])
def test_joint_under_bf16_autocast(halves):
    parts, *rest = joint_parts(T=20, U=8, D=16, dtype=torch.float32)
    exact = joint_rnnt_loss(*parts, *rest)
    # encoder and prediction come as bfloat16 where a linear layer under autocast made them
    given = [p.bfloat16() for p in parts[:halves]] + parts[halves:]
    with torch.autocast("cpu", torch.bfloat16):
        low = joint_rnnt_loss(*given, *rest)
    assert low.dtype == torch.float32
    # bfloat16 has 8 bits: 2**-8 a product; loss within 0.5 %, gradients within 3 % of the largest
    torch.testing.assert_close(low, exact, rtol=5e-3, atol=0)
    for a, b in zip(gradients(low, parts), gradients(exact, parts), strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a, b, rtol=0, atol=3e-2 * float(b.abs().max()))


@pytest.mark.parametrize("activation", ["linear", "relu", "swish", "tanh"])
def test_joint_gradient_by_finite_differences(activation):
    parts, *rest = joint_parts(B=2, T=2, U=2, V=3, D=2)

    def loss(*parts):
        return joint_rnnt_loss(*parts, *rest, reduction="none", activation=activation, chunk_frames=1)

    assert torch.autograd.gradcheck(loss, parts, eps=1e-5, atol=1e-8, rtol=1e-8)


def test_padding_is_invisible_to_the_joint():
    (encoder, prediction, weight, bias), targets, T_b, U_b = joint_parts()
    before = joint_rnnt_loss(encoder, prediction, weight, bias, targets, T_b, U_b)
    expected = gradients(before, [encoder, prediction, weight])
    with torch.no_grad():
        for b in range(len(T_b)):
            encoder[b, T_b[b] :] = math.nan
            prediction[b, U_b[b] + 1 :] = math.nan
            targets[b, U_b[b] :] = -1
    after = joint_rnnt_loss(encoder, prediction, weight, bias, targets, T_b, U_b)
    torch.testing.assert_close(after, before)
    for a, b in zip(gradients(after, [encoder, prediction, weight]), expected, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda a: a["encoder_out"].__setitem__((0, 1, 2), math.nan), r"encoder_out\[0, 1, 2\] is nan"),
        (lambda a: a["prediction_out"].__setitem__((0, 0, 0), math.inf), r"prediction_out\[0, 0, 0\] is inf"),
        (lambda a: a["weight"].__setitem__((1, 1), math.nan), r"weight\[1, 1\] is nan"),
        (lambda a: a["bias"].__setitem__(3, -math.inf), r"bias\[3\] is -inf"),
        (lambda a: a["weight"].fill_(1e308), r"logits overflow"),
        (lambda a: a["frame_lengths"].__setitem__(1, 9), r"frame_lengths\[1\] is 9, but there are 6"),
        (lambda a: a["targets"].__setitem__((0, 1), 9), r"targets\[0, 1\] is 9"),
        (lambda a: a.update(prediction_out=a["prediction_out"][:3]), r"prediction_out is \(3, 5, 5\)"),
        (lambda a: a.update(prediction_out=a["prediction_out"][:, :4]), r"targets is \(4, 4\), .* \(4, 3\)"),
        (lambda a: a.update(weight=a["weight"][:, :4]), r"weight is \(7, 4\)"),
        (lambda a: a.update(bias=a["bias"][:4]), r"bias \(4,\)"),
        (lambda a: a.update(activation="tan"), r"activation is 'tan'; use one of linear, relu"),
        (lambda a: a.update(chunk_frames=0), r"chunk_frames is 0"),
        (lambda a: a.update(reduction="average"), r"reduction must be .* not 'average'"),
    ],
)
def test_every_error_of_the_joint_names_its_argument(change, message, unchecked_shapes):
    parts, targets, T_b, U_b = joint_parts()
    names = "encoder_out", "prediction_out", "weight", "bias", "targets", "frame_lengths", "target_lengths"
    arguments = dict(zip(names, [*(p.detach() for p in parts), targets, T_b, U_b], strict=True))
    change(arguments)
    with pytest.raises(ValueError, match=message):
        joint_rnnt_loss(**arguments)
