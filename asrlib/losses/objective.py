"""The objective of training: from the network's outputs to a scalar. Lessons 06, 07 and 09.

A new loss is one module with a `LossConfig`, one line in `asrlib.losses.registry`, and one YAML file with
``loss: {kind: ...}``. docs/extending.md has a worked example.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from asrlib.losses.ctc import ctc_loss


@runtime_checkable
class LatticeLoss(Protocol):
    """The interface of a joint network that losses use. `asrlib.models.joint.JointNetwork` implements it."""

    def loss(
        self,
        encoder_out: Tensor,
        prediction_out: Tensor,
        targets: Tensor,
        frame_lengths: Tensor,
        target_lengths: Tensor,
        blank: int,
    ) -> Tensor:
        """Return the RNN-T loss summed over the batch, in nats.

        The arguments are those of ``LossConfig.transducer``.
        """


@dataclass
class LossConfig:
    """The ``loss`` section of a configuration: CTC and RNN-T as their papers define them.

    A subclass sets ``kind`` to its name, adds fields, each with a default, and overrides ``ctc``,
    ``transducer`` or both. The model's loss is ``training.ctc_weight`` times the first plus (1 -
    ``training.ctc_weight``) times the second, divided by the number of utterances.
    """

    kind: str = "standard"

    def ctc(
        self,
        log_probs: Float[Tensor, "T B V"],
        targets: Int[Tensor, "B U"],
        frame_lengths: Int[Tensor, "B"],
        target_lengths: Int[Tensor, "B"],
        blank: int,
    ) -> Float[Tensor, ""]:
        """Return the loss of the CTC head, summed over the batch, in nats.

        ``log_probs`` are natural log probabilities. An utterance without a path counts as 0.
        """
        lengths = frame_lengths, target_lengths
        return ctc_loss(log_probs, targets, *lengths, blank, reduction="sum", zero_infinity=True)

    def transducer(
        self,
        joint: LatticeLoss,
        encoder_out: Float[Tensor, "B T D_enc"],
        prediction_out: Float[Tensor, "B U1 D_pred"],
        targets: Int[Tensor, "B U"],
        frame_lengths: Int[Tensor, "B"],
        target_lengths: Int[Tensor, "B"],
        blank: int,
    ) -> Float[Tensor, ""]:
        """Return the loss of the joint network, summed over the batch, in nats."""
        return joint.loss(encoder_out, prediction_out, targets, frame_lengths, target_lengths, blank)

    def check(self, where: str) -> None:
        """Raise ``InputError``, naming the file ``where`` and the key, for invalid values."""
