"""The kinds of encoder that ``encoder.kind`` of a configuration chooses from. Lesson 04."""

from __future__ import annotations

from asrlib.errors import InputError
from asrlib.models.contextnet import ContextNetConfig
from asrlib.models.conv_lstm import ConvLSTMConfig
from asrlib.models.encoder import EncoderConfig

# the kind of a configuration that names none
DEFAULT_KIND = ContextNetConfig.kind
ENCODERS: dict[str, type[EncoderConfig]] = {
    config.kind: config for config in (ContextNetConfig, ConvLSTMConfig)
}


def register_encoder(config: type[EncoderConfig]) -> type[EncoderConfig]:
    """Make ``encoder.kind: config.kind`` build this; returns it, so that it serves as a decorator.

    Raises ``InputError`` unless ``config`` is a dataclass below ``EncoderConfig`` with a ``kind`` of its own,
    which no other has, and a ``build`` of its own.
    """
    name = getattr(config, "__name__", type(config).__name__)
    if not (isinstance(config, type) and issubclass(config, EncoderConfig)):
        raise InputError(f"register_encoder takes a subclass of EncoderConfig, and {name} is none")
    if "__dataclass_fields__" not in vars(config) or config.build is EncoderConfig.build:
        raise InputError(f"{name}: an encoder's configuration is a @dataclass and defines build(mels)")
    if not config.kind or ENCODERS.get(config.kind, config) is not config:
        raise InputError(f"{name}: kind is {config.kind!r}; use another than {', '.join(ENCODERS)}")
    ENCODERS[config.kind] = config
    return config
