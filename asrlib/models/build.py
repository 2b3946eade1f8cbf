"""From a configuration to the network that it describes. Lesson 09."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from asrlib.losses.objective import LossConfig
from asrlib.models.encoder import EncoderConfig
from asrlib.models.joint import JointConfig
from asrlib.models.prediction import PredictionConfig
from asrlib.models.transducer import Transducer


@runtime_checkable
class ModelConfig(Protocol):
    """The sections of an `asrlib.config.schema.Config` that describe the network."""

    features: Any
    tokenizer: Any
    encoder: EncoderConfig
    prediction: PredictionConfig | None
    joint: JointConfig | None
    loss: LossConfig
    training: Any


def build_model(config: ModelConfig, vocabulary: int | None = None) -> Transducer:
    """Build the network of a configuration, with ``.encoder``, ``.prediction``, ``.joint`` and ``.ctc_head``.

    ``vocabulary`` is the number of labels including blank; None means the configuration's. Weights are new.
    Raises ``InputError`` if the encoder cannot be built, or cannot recompute its blocks as the configuration
    requests.
    """
    vocabulary = vocabulary or config.tokenizer.vocabulary
    encoder = config.encoder.build(config.features.mels)
    encoder.set_checkpointing(config.training.checkpoint_blocks)
    settings = config.training
    ctc_head = encoder.make_ctc_head(vocabulary) if settings.ctc_weight > 0 else None
    rest: dict[str, Any] = {"objective": config.loss, "intermediate_weight": settings.intermediate_weight}
    if config.joint is None or config.prediction is None:
        return Transducer(encoder, None, None, ctc_head, ctc_weight=1.0, **rest)
    prediction = config.prediction.build(vocabulary)
    joint = config.joint.build(encoder.dim, prediction.dim, vocabulary)
    return Transducer(encoder, prediction, joint, ctc_head, ctc_weight=settings.ctc_weight, **rest)
