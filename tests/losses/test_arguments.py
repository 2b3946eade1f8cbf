"""What all losses check, and what they leave unchecked when asked to."""

import math

import pytest
import torch
from lattices import draw, joint_parts

from asrlib.losses.arguments import as_lengths, check_lengths_and_labels, values_unchecked
from asrlib.losses.ctc import ctc_loss
from asrlib.losses.joint import joint_rnnt_loss
from asrlib.losses.rnnt import rnnt_loss

pytestmark = pytest.mark.usefixtures("seed")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_unchecked_values_make_a_loss_that_is_no_number(value):
    logits, targets, T_b, U_b = draw()
    logits[0, 2, 1, 3] = value
    log_probs = logits[:, :, 1].transpose(0, 1).log_softmax(-1)
    (encoder, *joint), *rest = joint_parts()
    with torch.no_grad():
        encoder[0, 2, 1] = math.nan  # the tangent of infinity is 1
    losses = (
        lambda: rnnt_loss(logits, targets, T_b, U_b, blank=0, reduction="none"),
        lambda: joint_rnnt_loss(encoder, *joint, *rest, reduction="none"),
        lambda: ctc_loss(log_probs, targets[:, :1], T_b, U_b.clamp(max=1), 0, "none", zero_infinity=True),
    )
    for loss in losses:
        with pytest.raises(ValueError, match="is (nan|inf)"):
            loss()
        with values_unchecked():
            found = loss()
        assert not found[0].isfinite() and found[1:].isfinite().all()


def test_lengths_in_every_form():
    for lengths in (3, [3, 3], (3, 3), torch.tensor([3, 3]), torch.tensor([[3], [3]], dtype=torch.int32)):
        found = as_lengths("input_lengths", lengths, 2)
        assert found.tolist() == [3, 3] and found.dtype == torch.long


def test_lengths_and_labels_are_asked_for_in_one_message(monkeypatch):
    targets = torch.tensor([[1, 2, 0], [3, -5, 9]])
    asked = []
    tolist = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda x: asked.append(x) or tolist(x))
    found = check_lengths_and_labels("frames", torch.tensor([4, 2]), 4, torch.tensor([2, 1]), targets, 4, 0)
    assert found == ([4, 2], [2, 1]) and len(asked) == 1
    with pytest.raises(ValueError, match=r"targets\[1, 1\] is -5, outside the vocabulary of 4"):
        check_lengths_and_labels("frames", torch.tensor([4, 2]), 4, torch.tensor([2, 2]), targets, 4, 0)
    with pytest.raises(ValueError, match=r"frames\[0\] is 4, but there are 3 frames"):
        check_lengths_and_labels("frames", torch.tensor([4, 2]), 3, torch.tensor([2, 1]), targets, 4, 0)
