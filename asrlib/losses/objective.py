"""What training minimizes: the seam between the network's outputs and a scalar.

A new loss is one module with a `LossConfig`, one line in `asrlib.losses.registry`, and one YAML that says
``loss: {kind: ...}``. docs/extending.md walks through one. Lessons 06, 07 and 09.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from asrlib.losses.ctc import ctc_loss


@runtime_checkable
class LatticeLoss(Protocol):
    """A joint network, as far as losses know it: `asrlib.models.joint.JointNetwork` is one."""

    def loss(
        self,
        encoder_out: Tensor,
        prediction_out: Tensor,
        targets: Tensor,
        frame_lengths: Tensor,
        target_lengths: Tensor,
        blank: int,
    ) -> Tensor:
        """Return the RNN-T loss summed over the batch, in nats."""


@dataclass
class LossConfig:
    """The ``loss`` section of a configuration: CTC and RNN-T as their papers define them.

    A subclass gives ``kind`` its own name, adds fields, each with a default, and overrides ``ctc``,
    ``transducer`` or both. The model's loss is ``training.ctc_weight`` times the first plus
    (1 - ``training.ctc_weight``) times the second, divided by the number of utterances.
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

        ``log_probs`` are natural log probabilities. An utterance that no path explains counts 0.
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
        """Raise ``InputError``, naming the file ``where`` and the key, for values that make no sense."""
