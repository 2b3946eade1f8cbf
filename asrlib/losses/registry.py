"""The kinds of loss that ``loss.kind`` of a configuration chooses from. Lesson 09."""

from __future__ import annotations

from asrlib import validate
from asrlib.losses.objective import LossConfig

_BUILT_IN = (
    LossConfig,
    # one line per kind; docs/extending.md adds one
)
LOSSES: dict[str, type[LossConfig]] = {config.kind: config for config in _BUILT_IN}


def register_loss(config: type[LossConfig]) -> type[LossConfig]:
    """Register a loss, so that ``loss.kind: config.kind`` chooses it, and return it.

    It is usable as a decorator. Raises ``InputError`` unless ``config`` is a dataclass derived from
    ``LossConfig`` with a ``kind`` that no other loss has.
    """
    validate.new_kind("register_loss", LOSSES, LossConfig, config)
    LOSSES[config.kind] = config
    return config
