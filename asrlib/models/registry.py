"""The kinds of encoder that ``encoder.kind`` of a configuration chooses from. Lesson 04."""

from __future__ import annotations

from asrlib.models.contextnet import ContextNetConfig
from asrlib.models.encoder import EncoderConfig

# the kind of a configuration that names none
DEFAULT_KIND = ContextNetConfig.kind
ENCODERS: dict[str, type[EncoderConfig]] = {config.kind: config for config in (ContextNetConfig,)}


def register_encoder(config: type[EncoderConfig]) -> type[EncoderConfig]:
    """Make ``encoder.kind: config.kind`` build this; returns it, so that it serves as a decorator."""
    ENCODERS[config.kind] = config
    return config
