"""Translate TensorFlowASR's configurations, from its first release to v3.0, into asrlib's.

They are plain YAML, or since 2022 Jinja templates of YAML, and a key means the same in all of them. What the
code behind them does where they say nothing differs, so the keys tell which generation of the code a file is
for. `asrlib.config.tensorflowasr_keys` says what each key becomes, or why it has no effect,
`asrlib.config.tensorflowasr_places` where it stands, and `asrlib.config.tensorflowasr_generations` has the
values for missing keys. docs/configuration.md has the same as tables. Lesson 10.
"""

from __future__ import annotations

import math
from typing import Any

from asrlib.config.tensorflowasr_generations import GENERATIONS
from asrlib.config.tensorflowasr_keys import BLOCKS, FREQ, HONORED, MASKS, NO_EFFECT, NULL, SAME, TIME
from asrlib.config.tensorflowasr_places import Leaf, generation_of, leaves
from asrlib.config.tensorflowasr_readers import (
    Translation,
    read_blocks,
    read_features,
    read_tokenizer,
    read_training,
)
from asrlib.errors import InputError
from asrlib.reading import shown

SECTIONS = ("speech_config", "decoder_config", "model_config", "learning_config", "data_config")

# what TensorFlowASR's masks do where a file only names them
_MASKS = {
    TIME: {"time_masks": 1, "time_width": 100, "time_fraction": 1.0},
    FREQ: {"freq_masks": 1, "freq_width": 27},
}


def recognize(content: Any) -> bool:
    """Return whether ``content`` has any of the sections of a TensorFlowASR configuration."""
    return isinstance(content, dict) and any(section in content for section in SECTIONS)


def translate(content: dict[str, Any], where: str, generation: str | None = None) -> Translation:
    """Translate a TensorFlowASR configuration; ``where`` names the file in messages.

    ``generation`` is a key of ``GENERATIONS``; None: the one that the file's keys tell.

    Raises ``InputError``, naming file and key, for a model that is not a ContextNet transducer, a value of
    the wrong type, and settings that contradict each other or that asrlib does not have.
    """
    if generation is not None and generation not in GENERATIONS:
        raise InputError(f"there is no generation {shown(generation)}; use one of {', '.join(GENERATIONS)}")
    theirs = leaves(content, where)
    _check_kind(theirs, where)
    result = Translation(generation or generation_of(content))
    result.content = _defaults(result.generation)
    for mask in MASKS:
        if mask in theirs:
            result.content["augment"] |= _MASKS[mask]
    for key, leaf in theirs.items():
        if key in SAME:
            _copy(result, key, leaf, where)
        elif key not in HONORED and key not in (BLOCKS, *MASKS) and leaf.value is not None:
            _name_unused(result, key, leaf)
    read_features(result, theirs, where)
    read_tokenizer(result, theirs, where)
    read_blocks(result, theirs, where)
    read_training(result, theirs, where)
    return result


def _defaults(generation: str) -> dict[str, Any]:
    """Return the values that TensorFlowASR's code of a generation uses for missing keys."""
    usual = GENERATIONS[generation]
    return {
        "features": dict(usual.features),
        "augment": {"time_masks": 0, "freq_masks": 0},
        "tokenizer": {},
        "encoder": {**usual.encoder, "alpha": 0.5},
        "prediction": {"embed_dim": 512, "units": 320},
        "joint": {"dim": 1024},
        "training": {
            "schedule": "transformer",
            "max_lr": math.inf,
            "warmup_steps": 10000,
            "betas": [0.9, 0.999],
            "eps": 1e-7,
            "l2": 1e-6,
            "clip_norm": math.inf,
        },
        "decoding": dict(usual.decoding),
    }


def _check_kind(theirs: dict[str, Leaf], where: str) -> None:
    leaf = theirs.get("model_config.class_name")
    if leaf is not None and str(leaf.value).rpartition(">")[2] != "ContextNet":
        raise InputError(
            f"{where}: key {leaf.name} is {shown(leaf.value)}; only ContextNet transducers are supported"
        )


def _copy(result: Translation, key: str, leaf: Leaf, where: str) -> None:
    """Set the asrlib key of a key in ``SAME``."""
    ours, value = SAME[key], leaf.value
    if value is None and key in NULL:
        value = NULL[key]
    elif isinstance(value, str) and key != "model_config.name":
        value = value.lower()  # "SiLU", "LSTM"
    elif key == f"{TIME}.mask_factor" and value == -1:  # as long as p_upperbound allows
        value = None
    if ours in result.origins and result.value(ours) != value:
        raise InputError(
            f"{where}: key {leaf.name} is {shown(leaf.value)}, but key {result.origins[ours]} is"
            f" {shown(result.value(ours))}; both set {ours}: make them agree"
        )
    result.set(ours, leaf.name, value)
    if key == "model_config.prejoint_linear":
        result.set("joint.prediction_linear", leaf.name, value)


def _name_unused(result: Translation, key: str, leaf: Leaf) -> None:
    """Note a key without effect, or the whole section that is without."""
    section, name = key, leaf.name
    while section and section not in NO_EFFECT:
        section, name = section.rpartition(".")[0], name.rpartition(".")[0]
    if not section:
        result.unused[leaf.name] = "the key is unknown"
    elif not (key.endswith(".mask_value") and leaf.value in (0, "zero")):
        result.unused[name] = NO_EFFECT[section]
