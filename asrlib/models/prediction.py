"""The prediction network: from the labels so far to features for the joint network.

    prediction(labels)     -> (B, U + 1, D_pred) for all prefixes of the labels

Graves 2012, section 2.2. Lesson 07.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from asrlib import validate
from asrlib.errors import InputError

RNNS = {"lstm": nn.LSTM, "gru": nn.GRU}
ENCODINGS = ("embedding", "one_hot")
State = tuple[Tensor, ...]


@dataclass
class PredictionConfig:
    """Section ``prediction`` of a configuration; see ``PredictionNetwork``. Lesson 07."""

    embed_dim: int = 640
    encoding: str = "embedding"
    rnn: str = "lstm"
    units: int = 640
    layers: int = 1
    layer_norm: bool = True
    projection: int = 0
    dropout: float = 0.0

    def build(self, vocabulary: int) -> PredictionNetwork:
        """Return the network, with new weights. ``vocabulary`` includes blank, which is label 0."""
        return PredictionNetwork(vocabulary, 0, **vars(self))

    def check(self, where: str) -> None:
        """Raise ``InputError``, naming the file ``where`` and the key, for invalid values."""
        validate.positive(where, "prediction", self, "units", "layers")
        if self.encoding == "embedding":
            validate.positive(where, "prediction", self, "embed_dim")
        validate.at_most(where, "prediction", self, 1000, "layers")
        validate.at_most(where, "prediction", self, 100_000, "units", "embed_dim", "projection")
        validate.choice(where, "prediction", self, "encoding", ENCODINGS)
        validate.choice(where, "prediction", self, "rnn", RNNS)
        validate.not_negative(where, "prediction", self, "projection")
        validate.fractions(where, "prediction", self, "dropout")


class OneHot(nn.Module):
    """Encode a label as a one-hot vector, and blank as all zeros (Graves 2012, section 2.2)."""

    def __init__(self, vocabulary: int, blank: int):
        super().__init__()
        table = torch.eye(vocabulary)
        table[blank] = 0
        self.register_buffer("table", table, persistent=False)

    def forward(self, labels: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape V"]:
        """Return the vectors of label numbers."""
        return F.embedding(labels, self.table)


class PredictionNetwork(nn.Module):
    """Encode labels, then apply recurrent layer, layer norm and projection ``layers`` times. Lesson 07.

    The sequence starts with blank, as in TensorFlowASR. ``encoding`` is ``embedding`` (of ``embed_dim``
    numbers per label) or ``one_hot``. ``rnn`` is ``lstm`` or ``gru``, of ``units`` cells. ``projection`` is
    the width of a linear layer after each recurrent layer, 0 for none. Raises ``InputError`` for an unknown
    encoding or rnn.
    """

    def __init__(
        self,
        vocabulary: int,
        blank: int = 0,
        embed_dim: int = PredictionConfig.embed_dim,
        units: int = PredictionConfig.units,
        layers: int = PredictionConfig.layers,
        layer_norm: bool = PredictionConfig.layer_norm,
        dropout: float = PredictionConfig.dropout,
        encoding: str = PredictionConfig.encoding,
        rnn: str = PredictionConfig.rnn,
        projection: int = PredictionConfig.projection,
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
        """Return the output for all U + 1 prefixes of each target. Labels past its length do not matter."""
        labels = F.pad(targets, (1, 0), value=self.blank)
        return self._run(self.dropout(self.embedding(labels)), None)[0]

    def step(
        self, labels: Int[Tensor, "batch"], state: State | None = None
    ) -> tuple[Float[Tensor, "batch dim"], State]:
        """Return the output after one more label, and the new state, for decoders.

        To start, give blank as the label and None as the state. A state is a tuple of tensors (layers, batch,
        units): h and c of an LSTM, h of a GRU.
        """
        out, state = self._run(self.embedding(labels)[:, None], state)
        return out[:, 0], state

    def _run(self, x: Float[Tensor, "batch U1 D_in"], state: State | None) -> tuple[Tensor, State]:
        lstm, after = isinstance(self.rnn, nn.LSTM), []
        for number, (rnn, norm, projection) in enumerate(
            [(self.rnn, self.norm, self.projection), *self.deeper]
        ):
            before = None if state is None else tuple(part[number : number + 1] for part in state)
            # under autocast PyTorch runs an LSTM on a GPU in float16, whatever dtype autocast has
            with torch.autocast(x.device.type, enabled=False):
                x, end = rnn(x.to(rnn.weight_ih_l0.dtype), before if lstm or before is None else before[0])
            x = projection(norm(x))
            after.append(end if lstm else (end,))
        return x, tuple(torch.cat(parts) for parts in zip(*after, strict=True))
