"""The kinds of encoder that ``encoder.kind`` of a configuration chooses from. Lesson 04."""

from __future__ import annotations

from asrlib import validate
from asrlib.errors import InputError
from asrlib.models.conformer import ConformerConfig
from asrlib.models.contextnet import ContextNetConfig
from asrlib.models.conv_lstm import ConvLSTMConfig
from asrlib.models.encoder import EncoderConfig

# the kind if a configuration does not name one
DEFAULT_KIND = ContextNetConfig.kind
_BUILT_IN = (
    ContextNetConfig,
    ConformerConfig,
    ConvLSTMConfig,
    # one line per kind; docs/extending.md adds one
)
ENCODERS: dict[str, type[EncoderConfig]] = {config.kind: config for config in _BUILT_IN}


def register_encoder(config: type[EncoderConfig]) -> type[EncoderConfig]:
    """Register an encoder, so that ``encoder.kind: config.kind`` builds it, and return it.

    It is usable as a decorator. Raises ``InputError`` unless ``config`` is a dataclass derived from
    ``EncoderConfig`` that defines ``build``, with a ``kind`` that no other encoder has.
    """
    validate.new_kind("register_encoder", ENCODERS, EncoderConfig, config)
    if config.build is EncoderConfig.build:
        raise InputError(f"{config.__name__}: an encoder's configuration must define build(mels)")
    ENCODERS[config.kind] = config
    return config
