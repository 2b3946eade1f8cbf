"""Prediction network, joint network, and the whole model.

    encoder(features)      -> (B, T, D_enc)      what was heard
    prediction(labels)     -> (B, U + 1, D_pred) what was said so far
    joint(t, u)            -> (V,) scores        the next label, or blank: next frame

Graves 2012, sections 2.2 and 2.3. Lesson 07.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from asrlib.errors import InputError
from asrlib.losses.ctc import ctc_loss
from asrlib.losses.joint import joint_rnnt_loss
from asrlib.losses.rnnt import rnnt_loss
from asrlib.models.layers.activations import ACTIVATIONS

RNNS = {"lstm": nn.LSTM, "gru": nn.GRU}
ENCODINGS = ("embedding", "one_hot")
JOINT_MODES = {"add": torch.add, "mul": torch.mul}
State = tuple[Tensor, ...]


class OneHot(nn.Module):
    """A label as a vector that is 1 at its number; blank is all zeros (Graves 2012, section 2.2)."""

    def __init__(self, vocabulary: int, blank: int):
        super().__init__()
        table = torch.eye(vocabulary)
        table[blank] = 0
        self.register_buffer("table", table, persistent=False)

    def forward(self, labels: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape V"]:
        return F.embedding(labels, self.table)


class PredictionNetwork(nn.Module):
    """Labels as vectors, then ``layers`` times: LSTM or GRU, layer norm, projection. The sequence
    starts with blank, as TensorFlowASR's does.

    ``encoding`` is ``embedding`` (of ``embed_dim`` numbers a label) or ``one_hot``; ``projection``
    is the width of a linear layer behind each recurrent one, 0 for none.
    """

    def __init__(
        self,
        vocabulary: int,
        blank: int = 0,
        embed_dim: int = 640,
        units: int = 640,
        layers: int = 1,
        layer_norm: bool = True,
        dropout: float = 0.0,
        encoding: str = "embedding",
        rnn: str = "lstm",
        projection: int = 0,
    ):
        super().__init__()
        for name, value, allowed in (("encoding", encoding, ENCODINGS), ("rnn", rnn, RNNS)):
            if value not in allowed:
                raise InputError(f"{name} is {value!r}; use one of {', '.join(allowed)}")
        self.blank = blank
        one_hot = encoding == "one_hot"
        self.embedding = OneHot(vocabulary, blank) if one_hot else nn.Embedding(vocabulary, embed_dim)
        self.dropout = nn.Dropout(dropout)
        self.dim = projection or units

        def layer(width: int) -> tuple[nn.Module, nn.Module, nn.Module]:
            return (
                RNNS[rnn](width, units, batch_first=True),
                nn.LayerNorm(units, eps=1e-3) if layer_norm else nn.Identity(),
                nn.Linear(units, projection) if projection else nn.Identity(),
            )

        self.rnn, self.norm, self.projection = layer(vocabulary if one_hot else embed_dim)
        self.deeper = nn.ModuleList(nn.ModuleList(layer(self.dim)) for _ in range(layers - 1))

    def forward(self, targets: Int[Tensor, "batch U"]) -> Float[Tensor, "batch U1 dim"]:
        """All U + 1 prefixes of each target at once; values past its length do not matter."""
        labels = F.pad(targets, (1, 0), value=self.blank)
        return self._run(self.dropout(self.embedding(labels)), None)[0]

    def step(
        self, labels: Int[Tensor, "batch"], state: State | None = None
    ) -> tuple[Float[Tensor, "batch dim"], State]:
        """One more label; ``state`` None starts (give blank). For decoders.

        A state is a tuple of tensors (layers, batch, units): an LSTM's h and c, a GRU's h.
        """
        out, state = self._run(self.embedding(labels)[:, None], state)
        return out[:, 0], state

    def _run(self, x: Float[Tensor, "batch U1 D_in"], state: State | None) -> tuple[Tensor, State]:
        lstm, after = isinstance(self.rnn, nn.LSTM), []
        for number, (rnn, norm, projection) in enumerate(
            [(self.rnn, self.norm, self.projection), *self.deeper]
        ):
            before = None if state is None else tuple(part[number : number + 1] for part in state)
            # under autocast PyTorch runs a GPU's LSTM in float16, whatever type was asked for
            with torch.autocast(x.device.type, enabled=False):
                x, end = rnn(x.to(rnn.weight_ih_l0.dtype), before if lstm or before is None else before[0])
            x = projection(norm(x))
            after.append(end if lstm else (end,))
        return x, tuple(torch.cat(parts) for parts in zip(*after, strict=True))


class JointNetwork(nn.Module):
    """W_v · activation(W_e · encoder + W_p · prediction): scores of V labels at (t, u).

    ``mode`` "mul" multiplies the two sides in place of adding them. Without ``encoder_linear`` or
    ``prediction_linear`` that side comes as it is, and both must then be equally wide;
    ``post_linear`` is one more linear layer, between the meeting and the activation.
    Raises ``InputError`` for widths that do not fit and for an unknown mode or activation.
    """

    def __init__(
        self,
        encoder_dim: int,
        prediction_dim: int,
        dim: int,
        vocabulary: int,
        activation: str = "tanh",
        mode: str = "add",
        encoder_linear: bool = True,
        prediction_linear: bool = True,
        post_linear: bool = False,
    ):
        super().__init__()
        for name, value, allowed in (("activation", activation, ACTIVATIONS), ("mode", mode, JOINT_MODES)):
            if value not in allowed:
                raise InputError(f"joint {name} is {value!r}; use one of {', '.join(sorted(allowed))}")
        heard, said = dim if encoder_linear else encoder_dim, dim if prediction_linear else prediction_dim
        if heard != said:
            raise InputError(
                f"the encoder's side is {heard} wide and the prediction network's {said}: make them equal,"
                " or give both a linear layer (encoder_linear, prediction_linear)"
            )
        self.activation, self.mode = activation, mode
        self.encoder_linear = nn.Linear(encoder_dim, dim) if encoder_linear else nn.Identity()
        self.prediction_linear = (
            nn.Linear(prediction_dim, dim, bias=False) if prediction_linear else nn.Identity()
        )
        self.post_linear = nn.Linear(heard, dim) if post_linear else nn.Identity()
        self.output = nn.Linear(dim if post_linear else heard, vocabulary)

    def forward(
        self, encoder_out: Float[Tensor, "*#lattice D_enc"], prediction_out: Float[Tensor, "*#lattice D_pred"]
    ) -> Float[Tensor, "*#lattice V"]:
        """Broadcasts: give (B, T, 1, D_enc) and (B, 1, U + 1, D_pred) for the whole lattice."""
        return self.scores(self.encoder_linear(encoder_out), self.prediction_linear(prediction_out))

    def scores(
        self, encoder_hidden: Float[Tensor, "*#lattice D"], prediction_hidden: Float[Tensor, "*#lattice D"]
    ) -> Float[Tensor, "*#lattice V"]:
        """The same from projections made before: decoders project each frame only once."""
        hidden = self.post_linear(JOINT_MODES[self.mode](encoder_hidden, prediction_hidden))
        return self.output(ACTIVATIONS[self.activation](hidden))

    def loss(
        self,
        encoder_out: Tensor,
        prediction_out: Tensor,
        targets: Tensor,
        frame_lengths: Tensor,
        target_lengths: Tensor,
        blank: int,
    ) -> Tensor:
        """RNN-T loss summed over the batch, nats; where the two sides are added, without the whole
        (B, T, U + 1, V) lattice of scores.
        """
        heard, said = self.encoder_linear(encoder_out), self.prediction_linear(prediction_out)
        if self.mode == "mul":
            lattice = self.scores(heard[:, :, None], said[:, None])
            return rnnt_loss(lattice, targets, frame_lengths, target_lengths, blank=blank, reduction="sum")
        if isinstance(self.post_linear, nn.Linear):  # W (a + b) + c = (W a + c) + W b
            heard, said = self.post_linear(heard), F.linear(said, self.post_linear.weight)
        return joint_rnnt_loss(
            heard,
            said,
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
