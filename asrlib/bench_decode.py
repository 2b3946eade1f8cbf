"""Decoding speed beside torchaudio's beam search, on the same encoder output (Lesson 11)."""

from __future__ import annotations

from torch import Tensor, nn

from asrlib.transducer import Transducer


class ForTorchaudio(nn.Module):
    """A transducer as ``torchaudio.models.RNNTBeamSearch`` calls one: what it is given is encoder
    output already, and blank is the last label instead of ours (label l becomes l - 1, for blank 0).
    """

    def __init__(self, model: Transducer):
        super().__init__()
        self.model = model

    def transcribe(self, encoder_out: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return encoder_out, lengths

    def predict(
        self, tokens: Tensor, lengths: Tensor, state: list[list[Tensor]] | None
    ) -> tuple[Tensor, Tensor, list[list[Tensor]]]:
        # torchaudio's states have the batch first
        ours = None if state is None else tuple(part.transpose(0, 1) for part in state[0])
        V = self.model.joint.output.out_features
        out, after = self.model.prediction.step((tokens[:, 0] + 1) % V, ours)
        return out[:, None], lengths, [[part.transpose(0, 1) for part in after]]

    def join(
        self, encoder_out: Tensor, lengths: Tensor, prediction_out: Tensor, prediction_lengths: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        scores = self.model.joint(encoder_out[:, :, None], prediction_out[:, None])
        return scores.roll(-1, dims=-1), lengths, prediction_lengths
