"""The joint network: from encoder and prediction outputs to the scores of the next label.

    joint(t, u)            -> (V,) scores        of the next label, or of blank: next frame

Graves 2012, section 2.2. Lesson 07.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from asrlib import validate
from asrlib.errors import InputError
from asrlib.losses.joint import joint_rnnt_loss
from asrlib.losses.rnnt import rnnt_loss
from asrlib.models.layers.activations import ACTIVATIONS

JOINT_MODES = {"add": torch.add, "mul": torch.mul}


@dataclass
class JointConfig:
    """Section ``joint`` of a configuration; see ``JointNetwork``. Lesson 07."""

    dim: int = 640
    activation: str = "tanh"
    mode: str = "add"
    encoder_linear: bool = True
    prediction_linear: bool = True
    post_linear: bool = False

    def build(self, encoder_dim: int, prediction_dim: int, vocabulary: int) -> JointNetwork:
        """Return the network, with new weights, for sides of these widths. ``vocabulary`` includes blank."""
        return JointNetwork(encoder_dim, prediction_dim, vocabulary=vocabulary, **vars(self))

    def check(self, where: str) -> None:
        """Raise ``InputError``, naming the file ``where`` and the key, for invalid values."""
        validate.positive(where, "joint", self, "dim")
        validate.at_most(where, "joint", self, 100_000, "dim")
        validate.choice(where, "joint", self, "activation", ACTIVATIONS)
        validate.choice(where, "joint", self, "mode", JOINT_MODES)


class JointNetwork(nn.Module):
    """Compute label scores W_v · activation(W_e · encoder + W_p · prediction) at (t, u). Lesson 07.

    ``mode`` is "add", or "mul" to multiply the two sides instead. ``encoder_linear`` and
    ``prediction_linear`` give their side a linear layer of width ``dim``. A side without it is used as it is,
    so that both sides must have the same width. ``post_linear`` adds a linear layer between combination and
    activation. Raises ``InputError`` for different widths and for an unknown mode or activation.
    """

    def __init__(
        self,
        encoder_dim: int,
        prediction_dim: int,
        dim: int,
        vocabulary: int,
        activation: str = JointConfig.activation,
        mode: str = JointConfig.mode,
        encoder_linear: bool = JointConfig.encoder_linear,
        prediction_linear: bool = JointConfig.prediction_linear,
        post_linear: bool = JointConfig.post_linear,
    ):
        super().__init__()
        for name, value, allowed in (("activation", activation, ACTIVATIONS), ("mode", mode, JOINT_MODES)):
            if value not in allowed:
                raise InputError(f"joint {name} is {value!r}; use one of {', '.join(sorted(allowed))}")
        width = dim if encoder_linear else encoder_dim
        if width != (other := dim if prediction_linear else prediction_dim):
            raise InputError(
                f"the joint's encoder side is {width} wide and its prediction side {other}: make them equal,"
                " or give both a linear layer (encoder_linear, prediction_linear)"
            )
        self.activation, self.mode = activation, mode
        self.encoder_linear = nn.Linear(encoder_dim, dim) if encoder_linear else nn.Identity()
        self.prediction_linear = (
            nn.Linear(prediction_dim, dim, bias=False) if prediction_linear else nn.Identity()
        )
        self.post_linear = nn.Linear(width, dim) if post_linear else nn.Identity()
        self.output = nn.Linear(dim if post_linear else width, vocabulary)

    def forward(
        self, encoder_out: Float[Tensor, "*#lattice D_enc"], prediction_out: Float[Tensor, "*#lattice D_pred"]
    ) -> Float[Tensor, "*#lattice V"]:
        """Return the scores of V labels. Inputs broadcast.

        Give (B, T, 1, D_enc) and (B, 1, U + 1, D_pred) for the whole lattice.
        """
        return self.scores(self.encoder_linear(encoder_out), self.prediction_linear(prediction_out))

    def scores(
        self, encoder_hidden: Float[Tensor, "*#lattice D"], prediction_hidden: Float[Tensor, "*#lattice D"]
    ) -> Float[Tensor, "*#lattice V"]:
        """Return the scores from projections made before, so that decoders project each frame only once."""
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
        reduction: str = "sum",
    ) -> Tensor:
        """Return the RNN-T loss in nats, summed over the batch, or with ``reduction`` "none" of each item.

        ``encoder_out`` is (B, T, D_enc), ``prediction_out`` (B, U + 1, D_pred), ``targets`` (B, U), and the
        lengths are (B,) in frames and in labels. In mode "add" the whole (B, T, U + 1, V) lattice is never in
        memory.
        """
        from_encoder = self.encoder_linear(encoder_out)
        from_prediction = self.prediction_linear(prediction_out)
        if self.mode == "mul":
            lattice = self.scores(from_encoder[:, :, None], from_prediction[:, None])
            return rnnt_loss(
                lattice, targets, frame_lengths, target_lengths, blank=blank, reduction=reduction
            )
        if isinstance(self.post_linear, nn.Linear):  # W (a + b) + c = (W a + c) + W b
            from_encoder = self.post_linear(from_encoder)
            from_prediction = F.linear(from_prediction, self.post_linear.weight)
        return joint_rnnt_loss(
            from_encoder,
            from_prediction,
            self.output.weight,
            self.output.bias,
            targets,
            frame_lengths,
            target_lengths,
            blank=blank,
            reduction=reduction,
            activation=self.activation,
        )
