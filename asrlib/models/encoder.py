"""The interface of an encoder, between features and scores. Lessons 04 and 12.

Streaming, export, training and the configuration use only this interface. A new kind of encoder is one module
with an `Encoder` and its `EncoderConfig`, one line in `asrlib.models.registry`, and one YAML file with
``encoder: {kind: ...}``. docs/extending.md has a worked example.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor, nn

from asrlib.errors import InputError


class Encoder(nn.Module):
    """The base class of encoders: from features to frames of ``dim`` channels at a lower rate.

    There is one output frame per ``reduction`` feature frames. A subclass sets both numbers and defines
    ``forward``. If it can run chunk by chunk, it also overrides ``streaming_obstacles``, ``initial_state``
    and ``step``. If it can recompute its layers in the backward pass, it overrides ``set_checkpointing``.
    If it reads a CTC head between its layers, it sets ``reads_ctc_head`` and overrides ``make_ctc_head`` and
    ``forward_with_intermediate``.
    """

    dim: int
    reduction: int
    reads_ctc_head = False

    def forward(
        self, features: Float[Tensor, "batch frames mels"], lengths: Int[Tensor, "batch"] | None = None
    ) -> tuple[Float[Tensor, "batch frames_out dim"], Int[Tensor, "batch"]]:
        """Return the encoder's output and its lengths, ceil(length / ``reduction``), in frames.

        Feature frames past each length are ignored, whatever finite values they have; output frames past each
        length are zero. ``lengths`` None means that there is no padding. ONNX and TFLite files are exported
        from this method: while ``asrlib.backend.is_traced()``, no decision may depend on the values of a
        tensor.
        """
        raise NotImplementedError

    def make_ctc_head(self, vocabulary: int) -> nn.Module:
        """Return a new CTC head, from ``dim`` channels to the scores of ``vocabulary`` labels."""
        return nn.Linear(self.dim, vocabulary)

    def forward_with_intermediate(
        self, features: Float[Tensor, "batch frames mels"], lengths: Int[Tensor, "batch"] | None = None
    ) -> tuple[Float[Tensor, "batch frames_out dim"], Int[Tensor, "batch"], list[Tensor]]:
        """Return the results of ``forward``, and the CTC head's log-probabilities between the layers.

        The latter are natural logarithms, (batch, frames_out, V) each; there are none if the encoder does not
        read the head. Training may add their loss.
        """
        return *self(features, lengths), []

    @property
    def reach(self) -> int | None:
        """The feature frames on either side that an output frame depends on in evaluation; None: all.

        A long recording may be processed in pieces that overlap by this much, with the same results.
        """
        return None

    def set_attention_window(self, frames: int | None) -> int | None:
        """Limit attention to ``frames`` output frames on either side (None: no limit); return the old limit.

        Raises ``InputError`` for an encoder without attention.
        """
        raise InputError(f"a {type(self).__name__} has no attention window to set")

    def gates(
        self, features: Float[Tensor, "batch frames mels"], lengths: Int[Tensor, "batch"] | None = None
    ) -> list[Tensor]:
        """Return the gates of each squeeze-and-excitation module, (batch, frames or 1, channels). Lesson 03.

        Raises ``InputError`` for an encoder without such modules.
        """
        raise InputError(f"a {type(self).__name__} has no squeeze-and-excitation gates")

    def streaming_obstacles(self) -> list[str]:
        """Return the reasons why the encoder cannot stream, each a configuration key with its value.

        The list is empty if it can. Then no output frame depends on later feature frames, and ``step``
        returns the same frames as ``forward``.
        """
        return [f"the encoder, a {type(self).__name__}, does not stream (use encoder.kind: contextnet)"]

    def initial_state(self, batch: int = 1) -> list[Tensor]:
        """Return the state of ``step`` before the first frame: zeros, in shapes that never change.

        Raises ``InputError`` if the encoder cannot stream.
        """
        raise InputError("; ".join(self.streaming_obstacles()))

    def step(
        self, features: Float[Tensor, "batch frames mels"], state: list[Tensor], phase: int = 0
    ) -> tuple[Float[Tensor, "batch frames_out dim"], list[Tensor]]:
        """Return the output frames that these feature frames, in any number, complete, and the new state.

        Output frame n needs the feature frames up to n · ``reduction``. ``phase`` is the number of earlier
        feature frames modulo ``reduction``; it stays 0 if all chunks are multiples of ``reduction``. Raises
        ``InputError`` if the encoder cannot stream.
        """
        raise InputError("; ".join(self.streaming_obstacles()))

    def set_checkpointing(self, enabled: bool) -> None:
        """Recompute activations in the backward pass instead of keeping them (training.checkpoint_blocks).

        Raises ``InputError`` if ``enabled`` and this kind of encoder cannot do so.
        """
        if enabled:
            raise InputError(
                f"a {type(self).__name__} cannot recompute its layers: use training.checkpoint_blocks: false"
            )


@dataclass
class EncoderConfig:
    """The base class of the ``encoder`` section of a configuration.

    A subclass sets ``kind`` to its name and adds fields, each with a default.
    """

    kind: str = ""

    def build(self, mels: int) -> Encoder:
        """Return the encoder, with new weights, for features of ``mels`` bins."""
        raise NotImplementedError

    def check(self, where: str) -> None:
        """Raise ``InputError``, naming the file ``where`` and the key, for invalid values."""
