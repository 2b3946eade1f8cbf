"""Prediction network, joint network, and the whole model.

    encoder(features)      -> (B, T, D_enc)      what was heard
    prediction(labels)     -> (B, U + 1, D_pred) what was said so far
    joint(t, u)            -> (V,) scores        the next label, or blank: next frame

Graves 2012, sections 2.2 and 2.3. Lesson 07.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from asrlib.conv import ACTIVATIONS
from asrlib.ctc import ctc_loss
from asrlib.errors import InputError
from asrlib.rnnt_joint import joint_rnnt_loss

LSTMState = tuple[Tensor, Tensor]


class PredictionNetwork(nn.Module):
    """Embedding, LSTM, layer norm. The sequence starts with blank, as TensorFlowASR's does."""

    def __init__(
        self,
        vocabulary: int,
        blank: int = 0,
        embed_dim: int = 640,
        units: int = 640,
        layers: int = 1,
        layer_norm: bool = True,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.blank = blank
        self.embedding = nn.Embedding(vocabulary, embed_dim)
        self.dropout = nn.Dropout(dropout)
        self.rnn = nn.LSTM(embed_dim, units, num_layers=layers, batch_first=True)
        self.norm = nn.LayerNorm(units, eps=1e-3) if layer_norm else nn.Identity()
        self.dim = units

    def forward(self, targets: Int[Tensor, "batch U"]) -> Float[Tensor, "batch U1 dim"]:
        """All U + 1 prefixes of each target at once; values past its length do not matter."""
        labels = F.pad(targets, (1, 0), value=self.blank)
        return self.norm(self.rnn(self.dropout(self.embedding(labels)))[0])

    def step(
        self, labels: Int[Tensor, "batch"], state: LSTMState | None = None
    ) -> tuple[Float[Tensor, "batch dim"], LSTMState]:
        """One more label; ``state`` None starts (give blank). For decoders."""
        out, state = self.rnn(self.embedding(labels)[:, None], state)
        return self.norm(out[:, 0]), state


class JointNetwork(nn.Module):
    """activation(W_e · encoder + W_p · prediction) · W_v: scores of V labels at (t, u)."""

    def __init__(
        self, encoder_dim: int, prediction_dim: int, dim: int, vocabulary: int, activation: str = "tanh"
    ):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise InputError(
                f"joint activation is {activation!r}; use one of {', '.join(sorted(ACTIVATIONS))}"
            )
        self.activation = activation
        self.encoder_linear = nn.Linear(encoder_dim, dim)
        self.prediction_linear = nn.Linear(prediction_dim, dim, bias=False)
        self.output = nn.Linear(dim, vocabulary)

    def forward(
        self, encoder_out: Float[Tensor, "*#lattice D_enc"], prediction_out: Float[Tensor, "*#lattice D_pred"]
    ) -> Float[Tensor, "*#lattice V"]:
        """Broadcasts: give (B, T, 1, D_enc) and (B, 1, U + 1, D_pred) for the whole lattice."""
        return self.scores(self.encoder_linear(encoder_out), self.prediction_linear(prediction_out))

    def scores(
        self, encoder_hidden: Float[Tensor, "*#lattice D"], prediction_hidden: Float[Tensor, "*#lattice D"]
    ) -> Float[Tensor, "*#lattice V"]:
        """The same from projections made before: decoders project each frame only once."""
        return self.output(ACTIVATIONS[self.activation](encoder_hidden + prediction_hidden))

    def loss(
        self,
        encoder_out: Tensor,
        prediction_out: Tensor,
        targets: Tensor,
        frame_lengths: Tensor,
        target_lengths: Tensor,
        blank: int,
    ) -> Tensor:
        """RNN-T loss summed over the batch, nats, without the whole (B, T, U + 1, V) lattice of scores."""
        return joint_rnnt_loss(
            self.encoder_linear(encoder_out),
            self.prediction_linear(prediction_out),
            self.output.weight,
            self.output.bias,
            targets,
            frame_lengths,
            target_lengths,
            blank=blank,
            reduction="sum",
            activation=self.activation,
        )


class Transducer(nn.Module):
    """Encoder, prediction network, joint, and a CTC head beside the joint.

    ``loss`` weighs the two: ``ctc_weight`` 0 is a pure transducer, 1 pure CTC.
    """

    def __init__(
        self,
        encoder: nn.Module,
        prediction: nn.Module | None,
        joint: nn.Module | None,
        ctc_head: nn.Module | None,
        blank: int = 0,
        ctc_weight: float = 0.0,
    ):
        super().__init__()
        self.encoder, self.prediction, self.joint, self.ctc_head = encoder, prediction, joint, ctc_head
        self.blank, self.ctc_weight = blank, ctc_weight

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
        encoder_out, frame_lengths = self.encoder(features, lengths)
        loss = features.new_zeros(())
        if self.ctc_head is not None and self.ctc_weight > 0:
            log_probs = self.ctc_head(encoder_out).float().log_softmax(-1).transpose(0, 1)
            ctc = ctc_loss(
                log_probs,
                targets,
                frame_lengths,
                target_lengths,
                blank=self.blank,
                reduction="sum",
                zero_infinity=True,
            )
            loss = loss + self.ctc_weight * ctc
        if self.joint is not None and self.ctc_weight < 1:
            prediction_out = self.prediction(targets)
            rnnt = self.joint.loss(
                encoder_out, prediction_out, targets, frame_lengths, target_lengths, self.blank
            )
            loss = loss + (1 - self.ctc_weight) * rnnt
        return loss / features.shape[0]


def count_parameters(module: nn.Module) -> tuple[int, int]:
    """(trainable, non-trainable) as Keras counts them. Lesson 04.

    Batch norm's running mean and variance are Keras' non-trainable weights. PyTorch's
    LSTM and GRU have two bias vectors where Keras' LSTM has one; the second is not counted.
    """
    trainable = sum(p.numel() for n, p in module.named_parameters() if ".bias_hh_l" not in f".{n}")
    running = sum(
        b.numel()
        for n, b in module.named_buffers()
        if n.rsplit(".", 1)[-1] in ("running_mean", "running_var")
    )
    return trainable, running
