"""The whole model: encoder, prediction network, joint network, and a CTC head.

    encoder(features)      -> (B, T, D_enc)      from the sound
    prediction(labels)     -> (B, U + 1, D_pred) from the labels so far
    joint(t, u)            -> (V,) scores        the next label, or blank: next frame

Graves 2012, sections 2.2 and 2.3. Lesson 07.
"""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from asrlib.losses.ctc import ctc_loss


class Transducer(nn.Module):
    """Encoder, prediction network, joint, and a CTC head beside the joint.

    ``loss`` weighs the two: ``ctc_weight`` 0 is a pure transducer, 1 pure CTC. Of the CTC part,
    ``intermediate_weight`` goes to the mean loss of what the encoder writes between its layers
    (Nozaki & Komatsu 2021, equation 8; theirs is 0.5).
    """

    def __init__(
        self,
        encoder: nn.Module,
        prediction: nn.Module | None,
        joint: nn.Module | None,
        ctc_head: nn.Module | None,
        blank: int = 0,
        ctc_weight: float = 0.0,
        intermediate_weight: float = 0.0,
    ):
        super().__init__()
        self.encoder, self.prediction, self.joint, self.ctc_head = encoder, prediction, joint, ctc_head
        self.blank, self.ctc_weight, self.intermediate_weight = blank, ctc_weight, intermediate_weight

    def forward(
        self,
        features: Float[Tensor, "batch frames mels"],
        lengths: Int[Tensor, "batch"],
        targets: Int[Tensor, "batch U"],
        target_lengths: Int[Tensor, "batch"],
    ) -> Float[Tensor, ""]:
        """Loss in nats an utterance, averaged over the batch.

        An utterance with fewer frames than CTC needs for its labels adds nothing to
        the CTC part.
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
            arguments = targets, frame_lengths, target_lengths
            ctc = self._ctc(self.ctc_head(encoder_out).float().log_softmax(-1), *arguments)
            if intermediate:
                share = self.intermediate_weight / len(intermediate)
                ctc = (1 - self.intermediate_weight) * ctc
                ctc = ctc + share * sum(self._ctc(log_probs, *arguments) for log_probs in intermediate)
            loss = loss + self.ctc_weight * ctc
        if self.joint is not None and self.ctc_weight < 1:
            prediction_out = self.prediction(targets)
            rnnt = self.joint.loss(
                encoder_out, prediction_out, targets, frame_lengths, target_lengths, self.blank
            )
            loss = loss + (1 - self.ctc_weight) * rnnt
        return loss / features.shape[0]

    def _ctc(
        self,
        log_probs: Float[Tensor, "batch frames_out V"],
        targets: Tensor,
        frame_lengths: Tensor,
        target_lengths: Tensor,
    ) -> Float[Tensor, ""]:
        return ctc_loss(
            log_probs.transpose(0, 1),
            targets,
            frame_lengths,
            target_lengths,
            blank=self.blank,
            reduction="sum",
            zero_infinity=True,
        )
