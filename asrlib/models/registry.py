"""The kinds of encoder that ``encoder.kind`` of a configuration chooses from. Lesson 04."""

from __future__ import annotations

from asrlib import validate
from asrlib.errors import InputError
from asrlib.models.conformer import ConformerConfig
from asrlib.models.contextnet import ContextNetConfig
from asrlib.models.conv_lstm import ConvLSTMConfig
from asrlib.models.encoder import EncoderConfig

# the kind of a configuration that names none
DEFAULT_KIND = ContextNetConfig.kind
_BUILT_IN = (
    ContextNetConfig,
    ConformerConfig,
    ConvLSTMConfig,
    # one line for each kind; docs/extending.md adds one
)
ENCODERS: dict[str, type[EncoderConfig]] = {config.kind: config for config in _BUILT_IN}


def register_encoder(config: type[EncoderConfig]) -> type[EncoderConfig]:
    """Make ``encoder.kind: config.kind`` build this; returns it, so that it serves as a decorator.

    Raises ``InputError`` unless ``config`` is a dataclass below ``EncoderConfig`` with a ``kind`` of its own,
    which no other has, and a ``build`` of its own.
    """
    validate.new_kind("register_encoder", ENCODERS, EncoderConfig, config)
    if config.build is EncoderConfig.build:
        raise InputError(f"{config.__name__}: an encoder's configuration defines build(mels)")
    ENCODERS[config.kind] = config
    return config
