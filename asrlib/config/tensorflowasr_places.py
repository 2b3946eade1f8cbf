"""The places of a key in TensorFlowASR's configurations of different years, and the year of a file.

Over the years sections have moved into each other, but kept their keys. Here a key is called by one place,
the earliest that has it. docs/configuration.md lists the others. Lesson 10.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from asrlib.config.tensorflowasr_keys import HONORED, MASKS, NO_EFFECT
from asrlib.errors import InputError
from asrlib.reading import shown

# where later files have a key or section, and where it is looked up; applied in this order
PLACES = {
    "model_config.config": "model_config",
    "model_config.speech_config": "speech_config",
    "data_config": "learning_config",
    "speech_config.augmentation_config": "learning_config.augmentations",
    "learning_config.train_dataset_config.augmentation_config": "learning_config.augmentations",
    "learning_config.augmentations.feature_augment": "learning_config.augmentations.after",
    "learning_config.augmentations.signal_augment": "learning_config.augmentations.before",
    "learning_config.optimizer_config.config": "learning_config.optimizer_config",
    "learning_config.optimizer_config.learning_rate.config": "learning_config.learning_rate_config",
    "learning_config.gwn_config": "learning_config.apply_gwn_config",
    "learning_config.batch_size": "learning_config.running_config.batch_size",
    "learning_config.num_epochs": "learning_config.running_config.num_epochs",
    "learning_config.ga_steps": "learning_config.running_config.accumulation_steps",
    "learning_config.running_config.ga_steps": "learning_config.running_config.accumulation_steps",
}

# keys that only the code of 2020 and 2021 has, and that only the code since 2.0 has
OLD = (
    "speech_config.normalize_per_feature",
    "decoder_config.blank_at_zero",
    "decoder_config.target_vocab_size",
    "decoder_config.max_subword_length",
    "model_config.prediction_embed_dropout",
    "learning_config.augmentations",
    "learning_config.dataset_config",
    "learning_config.optimizer_config.warmup_steps",
    "learning_config.optimizer_config.beta1",
    "learning_config.optimizer_config.beta2",
)
NEW = (
    "speech_config.nfft",
    "speech_config.log_base",
    "speech_config.normalize_zscore",
    "speech_config.normalize_min_max",
    "model_config.config.speech_config",
    "model_config.speech_config",
    "data_config",
    "learning_config.batch_size",
    "learning_config.callbacks",
)


@dataclass(frozen=True)
class Leaf:
    """A value of a file, and the key under which the file has it."""

    name: str
    value: Any


def leaves(content: dict[str, Any], where: str) -> dict[str, Leaf]:
    """Return the values of a configuration by their keys in ``HONORED`` and ``NO_EFFECT``.

    ``where`` names the file in messages. Raises ``InputError`` for a value where a section is expected, and
    for two places of a key that contradict each other.
    """
    found: dict[str, Leaf] = {}
    for key, leaf in _leaves(content, where, ""):
        other = found.setdefault(key, leaf)
        if other.value != leaf.value:
            raise InputError(
                f"{where}: key {leaf.name} is {shown(leaf.value)}, but key {other.name} is"
                f" {shown(other.value)}; both mean the same: remove one"
            )
    return found


def generation_of(content: dict[str, Any]) -> str:
    """Return which generation of TensorFlowASR's code a configuration is for: a key of ``GENERATIONS``.

    Its keys tell, as each generation added some and dropped others.
    """
    names = [leaf.name for _, leaf in _leaves(content, "", "")]

    def has(*keys: str) -> bool:
        return any(f"{name}.".startswith(f"{key}.") for name in names for key in keys)

    if has(*NEW):
        return "2.1"
    if not has(*OLD):
        return "2023"
    if any(".feature_augment." in name for name in names) or has("speech_config.normalize_per_frame"):
        return "1.0"
    return "2021" if has("learning_config.train_dataset_config") else "2020"


def place(name: str) -> str:
    """Return the key under which a key of a file is looked up."""
    for later, earlier in PLACES.items():
        if f"{name}.".startswith(f"{later}."):
            name = earlier + name[len(later) :]
    return name


def _leaves(node: dict[str, Any], where: str, prefix: str) -> Iterator[tuple[str, Leaf]]:
    """Yield (key, leaf) for every value below ``node``; a list is a value."""
    for part, value in node.items():
        name = f"{prefix}{part}"
        key = place(name)
        section = any(known.startswith(f"{key}.") for known in (*HONORED, *NO_EFFECT))
        if isinstance(value, dict) and key not in HONORED:
            if key in MASKS:
                yield key, Leaf(name, {})
            yield from _leaves(value, where, f"{name}.")
        elif key in MASKS and value is None:  # a mask with TensorFlowASR's defaults
            yield key, Leaf(name, {})
        elif not section or key in NO_EFFECT:
            yield key, Leaf(name, value)
        elif value is not None:
            raise InputError(f"{where}: key {name} is {shown(value)}; expected a section")
