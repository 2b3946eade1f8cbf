"""The whole model: encoder, prediction network, joint network, and a CTC head.

    encoder(features)      -> (B, T, D_enc)      from the sound
    prediction(labels)     -> (B, U + 1, D_pred) from the labels so far
    joint(t, u)            -> (V,) scores        of the next label, or of blank: next frame

Graves 2012, sections 2.2 and 2.3. Lesson 07.
"""

from __future__ import annotations

from typing import cast

from jaxtyping import Float, Int
from torch import Tensor, nn

from asrlib.losses.objective import LossConfig
from asrlib.models.encoder import Encoder
from asrlib.models.joint import JointNetwork
from asrlib.models.prediction import PredictionNetwork


class Transducer(nn.Module):
    """Encoder, prediction network and joint network, with a CTC head beside the joint. Lesson 07.

    ``ctc_weight`` weighs the losses of the two heads: 0 is a pure transducer, 1 is pure CTC. ``objective``
    defines the two losses; None means CTC and RNN-T as in their papers. ``intermediate_weight`` is the share
    of the CTC loss that goes to the mean CTC loss between the encoder's layers (Nozaki & Komatsu 2021, eq. 8,
    with 0.5).
    """

    encoder: Encoder
    prediction: PredictionNetwork | None
    joint: JointNetwork | None
    ctc_head: nn.Linear | None

    def __init__(
        self,
        encoder: nn.Module,
        prediction: nn.Module | None,
        joint: nn.Module | None,
        ctc_head: nn.Module | None,
        blank: int = 0,
        ctc_weight: float = 0.0,
        objective: LossConfig | None = None,
        intermediate_weight: float = 0.0,
    ):
        super().__init__()
        # substitutes with the same methods are allowed, and nn.Identity() for a part that is not called
        self.encoder = cast(Encoder, encoder)
        self.prediction = cast("PredictionNetwork | None", prediction)
        self.joint = cast("JointNetwork | None", joint)
        self.ctc_head = cast("nn.Linear | None", ctc_head)
        self.blank, self.ctc_weight, self.intermediate_weight = blank, ctc_weight, intermediate_weight
        self.objective = objective or LossConfig()

    def forward(
        self,
        features: Float[Tensor, "batch frames mels"],
        lengths: Int[Tensor, "batch"],
        targets: Int[Tensor, "batch U"],
        target_lengths: Int[Tensor, "batch"],
    ) -> Float[Tensor, ""]:
        """Return the mean loss per utterance, in nats.

        ``lengths`` are in frames, ``target_lengths`` in labels. An utterance with fewer frames than CTC needs
        for its labels adds nothing to the CTC part.
        """
        intermediate: list[Tensor] = []
        if self.intermediate_weight > 0:
            encoder_out, frame_lengths, intermediate = self.encoder.forward_with_intermediate(
                features, lengths
            )
        else:
            encoder_out, frame_lengths = self.encoder(features, lengths)
        loss = features.new_zeros(())
        if self.ctc_head is not None and self.ctc_weight > 0:
            arguments = targets, frame_lengths, target_lengths, self.blank
            log_probs = self.ctc_head(encoder_out).float().log_softmax(-1)
            ctc = self.objective.ctc(log_probs.transpose(0, 1), *arguments)
            if intermediate:
                between = [self.objective.ctc(each.transpose(0, 1), *arguments) for each in intermediate]
                share = self.intermediate_weight
                ctc = (1 - share) * ctc + share * sum(between) / len(between)
            loss = loss + self.ctc_weight * ctc
        if self.joint is not None and self.prediction is not None and self.ctc_weight < 1:
            prediction_out = self.prediction(targets)
            sides = encoder_out, prediction_out
            rnnt = self.objective.transducer(
                self.joint, *sides, targets, frame_lengths, target_lengths, self.blank
            )
            loss = loss + (1 - self.ctc_weight) * rnnt
        return loss / features.shape[0]
