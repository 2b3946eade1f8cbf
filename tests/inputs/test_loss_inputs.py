"""Bad arguments of the losses and of log_mel. The numbers of entries are those of the review."""

import math
import re

import numpy as np
import pytest
import torch

from asrlib.errors import InputError
from asrlib.losses.alignment import ctc_align, rnnt_align
from asrlib.losses.ctc import ctc_loss, ctc_posteriors
from asrlib.losses.joint import joint_rnnt_loss
from asrlib.losses.rnnt import rnnt_loss, rnnt_posteriors
from asrlib.signal.features import log_mel

pytestmark = pytest.mark.usefixtures("unchecked_shapes")
B, T, U, V, D = 2, 5, 3, 4, 6


def rnnt():
    torch.manual_seed(0)
    targets = torch.tensor([[1, 2, 3], [1, 1, 2]])
    return {
        "logits": torch.randn(B, T, U + 1, V),
        "targets": targets,
        "logit_lengths": torch.tensor([5, 4]),
        "target_lengths": torch.tensor([3, 2]),
        "blank": 0,
    }


def joint():
    torch.manual_seed(0)
    parts = {
        "encoder_out": torch.randn(B, T, D),
        "prediction_out": torch.randn(B, U + 1, D),
        "weight": torch.randn(V, D),
        "bias": torch.randn(V),
    }
    given = rnnt()
    return parts | {
        "targets": given["targets"],
        "frame_lengths": given["logit_lengths"],
        "target_lengths": given["target_lengths"],
    }


def ctc():
    given = rnnt()
    return {
        "log_probs": torch.randn(T, B, V).log_softmax(-1),
        "targets": given["targets"],
        "input_lengths": given["logit_lengths"],
        "target_lengths": given["target_lengths"],
    }


LOSSES = {
    "rnnt_loss": (rnnt_loss, rnnt),
    "rnnt_posteriors": (rnnt_posteriors, rnnt),
    "rnnt_align": (rnnt_align, rnnt),
    "joint_rnnt_loss": (joint_rnnt_loss, joint),
    "ctc_loss": (ctc_loss, ctc),
    "ctc_posteriors": (ctc_posteriors, ctc),
    "ctc_align": (ctc_align, ctc),
}


def refused(name, argument, value, message):
    loss, arguments = LOSSES[name]
    given = arguments()
    loss(**given)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        loss(**given | {argument: value(given[argument])})
    assert "\n" not in str(error.value)


INTEGERS = [
    (name, argument)
    for name, (_, arguments) in LOSSES.items()
    for argument, value in arguments().items()
    if isinstance(value, torch.Tensor) and not value.is_floating_point()
]
FLOATS = [
    (name, argument)
    for name, (_, arguments) in LOSSES.items()
    for argument, value in arguments().items()
    if isinstance(value, torch.Tensor) and value.is_floating_point()
]


@pytest.mark.parametrize("name, argument", INTEGERS)
def test_entry_04_lengths_and_labels_are_integers(name, argument):
    """Relative lengths (1.0 for the longest) and fractions of labels are no integers."""
    refused(name, argument, lambda x: x / x.max(), f"{argument} must hold integers, not torch.float32")
    refused(name, argument, lambda x: x > 0, f"{argument} must hold integers, not torch.bool")


@pytest.mark.parametrize("name, argument", INTEGERS + FLOATS)
def test_find_numpy_arrays_and_lists_are_named(name, argument):
    if argument.endswith("lengths") and name.startswith("ctc"):
        loss, arguments = LOSSES[name]
        given = arguments()
        loss(**given | {argument: given[argument].tolist()})  # as for PyTorch's
        refused(name, argument, lambda x: [1.5, 2.5], f"{argument} must hold integers")
        refused(name, argument, lambda x: ["a"], f"{argument} must be a tensor or a sequence of integers")
        return
    refused(name, argument, lambda x: x.numpy(), f"{argument} must be a torch.Tensor, not numpy.ndarray")
    refused(name, argument, lambda x: x.tolist(), f"{argument} must be a torch.Tensor, not list")


@pytest.mark.parametrize("name, argument", FLOATS)
def test_entry_04_scores_are_floats_of_the_right_dimensions(name, argument):
    refused(name, argument, lambda x: x.long(), f"{argument} must hold floats, not torch.int64")
    refused(name, argument, lambda x: x[None, None], f"{argument} is (1, 1, ")
    refused(name, argument, lambda x: x.flatten()[0], f"{argument} is (), but must be (")


def test_entry_04_logits_of_three_dimensions():
    refused("rnnt_loss", "logits", lambda x: x[0], "logits is (5, 4, 4), but must be (B, T, U+1, V)")


def test_find_an_utterance_without_frames_has_only_the_empty_path():
    """As documented: its loss is 0 for the empty target and infinite for any other, with gradient 0."""
    given = rnnt()
    logits = given["logits"].requires_grad_()
    lengths = {"logit_lengths": torch.tensor([0, 0]), "target_lengths": torch.tensor([0, 2])}
    losses = rnnt_loss(**given | {"reduction": "none"} | lengths)
    assert losses.tolist() == [0.0, math.inf]
    losses.sum().backward()
    assert logits.grad.abs().max() == 0


@pytest.mark.parametrize(
    "waveform, message",
    [
        (np.zeros(8000, np.float32), "waveform is a ndarray; give a tensor"),
        ([0.0] * 8000, "waveform is a list; give a tensor"),
        (torch.zeros(8000, dtype=torch.int16), "waveform holds int16; give floats in [-1, 1]"),
        (torch.zeros(8000, dtype=torch.bool), "waveform holds bool"),
        (torch.zeros(2, 8000), "waveform has shape (2, 8000); give one channel"),
        (torch.zeros(0), "waveform is empty"),
        (torch.tensor(1.0), "waveform has shape ()"),
    ],
)
def test_find_log_mel_takes_one_float_tensor(waveform, message):
    with pytest.raises(InputError, match=re.escape(message)):
        log_mel(waveform, 8000)
