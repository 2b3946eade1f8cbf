"""Translate TensorFlowASR's configurations, in both of its formats, into asrlib's.

The format of 2021 is plain YAML. The format of 2023 is a Jinja template of YAML with more keys. One
reader handles both, because a key that both have means the same in both. The defaults in the code
behind them differ, so the keys in ``OLD`` decide which year a file is for.
`asrlib.config.tensorflowasr_keys` says what each key becomes, or why it has no effect.
docs/configuration.md has the same as a table, with the values that TensorFlowASR's code supplies for
missing keys. Lesson 10.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from asrlib.config.tensorflowasr_keys import BLOCK_KEYS, BLOCKS, HONORED, NO_EFFECT, OLD, SAME
from asrlib.errors import InputError
from asrlib.models.contextnet import DOWNSAMPLING, BlockConfig, standard_blocks
from asrlib.reading import shown
from asrlib.text.tokenizer_files import read_tokenizer

SECTIONS = ("speech_config", "decoder_config", "model_config", "learning_config")

_KINDS = {
    "wordpiece": "wordpieces",
    "sentencepiece": "wordpieces",
    "subword": "wordpieces",
    "characters": "characters",
    "char": "characters",
}


@dataclass
class Translation:
    """A TensorFlowASR file in asrlib's format.

    ``content`` has asrlib's sections. ``origins`` maps an asrlib key to the key of the file that it comes
    from. ``unused`` maps the keys of the file without effect to the reason.
    """

    content: dict[str, Any]
    origins: dict[str, str] = field(default_factory=dict)
    unused: dict[str, str] = field(default_factory=dict)

    def set(self, ours: str, theirs: str, value: Any) -> None:
        """Set the asrlib key ``ours`` ("section.key" or "key") to the value of the file's key ``theirs``."""
        section, _, key = ours.partition(".")
        if key:
            self.content[section][key] = value
        else:
            self.content[section] = value
        self.origins[ours] = theirs

    def warning(self) -> str:
        """Return a text that lists the keys without effect, grouped by reason; empty if there are none."""
        reasons: dict[str, list[str]] = {}
        for key, reason in self.unused.items():
            reasons.setdefault(reason, []).append(key)
        return "; ".join(f"{', '.join(keys)} ({reason})" for reason, keys in reasons.items())

    def original(self, message: str) -> str:
        """Return ``message`` with asrlib's keys replaced by the keys of the file."""
        for ours, theirs in self.origins.items():
            message = message.replace(f"key {ours} is", f"key {theirs} is")
        return message


def recognize(content: Any) -> bool:
    """Return whether ``content`` has any of the four sections of a TensorFlowASR configuration."""
    return isinstance(content, dict) and any(section in content for section in SECTIONS)


def translate(content: dict[str, Any], where: str) -> Translation:
    """Translate a TensorFlowASR configuration; ``where`` names the file in messages.

    Raises ``InputError``, naming file and key, for a model that is not a ContextNet transducer and for
    a value of the wrong type.
    """
    theirs = dict(_flat(content, where))
    year = "2021" if any(f"{key}.".startswith(f"{old}.") for key in theirs for old in OLD) else "2023"
    result = Translation(_defaults(year))
    for key, value in theirs.items():
        if key in SAME:
            lower = isinstance(value, str) and key != "model_config.name"  # "SiLU", "LSTM"
            result.set(SAME[key], key, value.lower() if lower else value)
        elif key in NO_EFFECT:
            result.unused[key] = NO_EFFECT[key]
        elif key not in HONORED and key != BLOCKS:
            result.unused[key] = "the key is unknown"
    _read_features(result, theirs, where)
    _read_tokenizer(result, theirs, where)
    _read_blocks(result, theirs, where, year)
    for index, keys in enumerate((("beta1", "beta_1"), ("beta2", "beta_2"))):
        for key in (f"learning_config.optimizer_config.{name}" for name in keys):
            if key in theirs:
                result.content["training"]["betas"][index] = theirs[key]
                result.origins[f"training.betas[{index}]"] = key
                result.origins["training.betas"] = key
    return result


def _defaults(year: str) -> dict[str, Any]:
    """Return the values that TensorFlowASR's code of ``year`` uses for missing keys."""
    variant, padding = {"2021": ("tensorflowasr-2021", "same"), "2023": ("tensorflowasr", "causal")}[year]
    return {
        "features": {"normalize_signal": True},
        "augment": {"time_masks": 0, "freq_masks": 0},
        "tokenizer": {},
        "encoder": {"variant": variant, "padding": padding, "alpha": 0.5},
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
        "decoding": {},
    }


def _flat(node: dict[str, Any], where: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) for every leaf below ``node``; a list is a leaf."""
    for key, value in node.items():
        name = f"{prefix}{key}"
        section = any(known.startswith(f"{name}.") for known in (*HONORED, *NO_EFFECT))
        if section and value is not None and not isinstance(value, dict):
            raise InputError(f"{where}: key {name} is {shown(value)}; expected a section")
        if isinstance(value, dict) and name not in HONORED and name not in NO_EFFECT:
            yield from _flat(value, where, f"{name}.")
        elif not section:
            yield name, value


def _read_features(result: Translation, theirs: dict[str, Any], where: str) -> None:
    kind = theirs.get("speech_config.feature_type", "log_mel_spectrogram")
    if kind != "log_mel_spectrogram":
        raise InputError(
            f"{where}: key speech_config.feature_type is {shown(kind)}; only log_mel_spectrogram is supported"
        )
    switches = []
    for key, usual in (("normalize_feature", True), ("normalize_per_feature", False)):
        switches.append(theirs.get(f"speech_config.{key}", usual))
        if not isinstance(switches[-1], bool):
            raise InputError(f"{where}: key speech_config.{key} is {shown(switches[-1])}; expected bool")
    on, each_bin = switches
    result.content["features"]["normalize"] = ("bin" if each_bin else "utterance") if on else "none"


def _read_tokenizer(result: Translation, theirs: dict[str, Any], where: str) -> None:
    sized = "vocabulary" in result.content["tokenizer"]
    named = theirs.get("decoder_config.type", "wordpiece" if sized else "characters")
    if not isinstance(named, str) or named not in _KINDS:
        raise InputError(
            f"{where}: key decoder_config.type is {shown(named)}; use one of {', '.join(_KINDS)}"
        )
    kind = _KINDS[named]
    result.set("tokenizer.kind", "decoder_config.type", kind)
    key = "decoder_config.reserved_tokens"
    reserved = theirs.get(key)
    if isinstance(reserved, list):  # blank and <unk> already have their labels
        taken = ("<pad>", theirs.get("decoder_config.unknown_token", "<unk>"), "<unk>")
        reserved = [token for token in reserved if token not in taken]
    result.set("tokenizer.reserved", key, [] if reserved is None else reserved)
    key = "decoder_config.normalization_form"
    if theirs.get(key, "NFKC") != "NFKC":
        result.unused[key] = "text is always normalized to NFKC"
    key = "decoder_config.vocabulary"
    path = theirs.get(key)
    if path is None:
        return
    if not Path(str(path)).is_file():
        result.unused[key] = f"there is no file {path}: the tokenizer is trained on the corpus"
    elif kind == "wordpieces" and Path(str(path)).suffix != ".model":
        result.unused[key] = "word pieces can be read only from a sentencepiece model (.model)"
    else:
        result.set("tokenizer.file", key, path)
        if not sized:
            result.content["tokenizer"]["vocabulary"] = read_tokenizer(kind, path).vocabulary


def _read_blocks(result: Translation, theirs: dict[str, Any], where: str, year: str) -> None:
    rows = theirs.get(BLOCKS)
    if not rows:
        raise InputError(f"{where}: key {BLOCKS} is missing; only ContextNet transducers are supported")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{where}: key {BLOCKS} is {shown(rows)}; expected a list of sections")
    blocks = []
    for number, row in enumerate(rows):
        block = {"padding": result.content["encoder"]["padding"]}
        for key, value in row.items():
            name = f"{BLOCKS}[{number}].{key}"
            if key in BLOCK_KEYS:
                block[BLOCK_KEYS[key]] = value.lower() if isinstance(value, str) else value
                result.origins[f"encoder.blocks[{number}].{BLOCK_KEYS[key]}"] = name
            else:
                result.unused[name] = "the key is unknown"
        if "filters" not in block:
            raise InputError(f"{where}: key {BLOCKS}[{number}].filters is missing")
        blocks.append(block)
    short = _short(blocks)
    result.content["encoder"] |= short or {"blocks": blocks}
    for key, ours in BLOCK_KEYS.items():
        if short and ours in short:
            result.origins[f"encoder.{ours}"] = f"{BLOCKS}[].{key}"
    # TensorFlowASR's schedule uses the width of the last block before alpha is applied
    width = blocks[-1]["filters"]
    result.content["training"]["schedule_width"] = width
    if year == "2021" and isinstance(width, int) and width > 0:  # set by its code, not by its files
        result.content["training"]["max_lr"] = 0.05 / math.sqrt(width)


def _short(blocks: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the keys that describe the same blocks, or None if they are not C0 … C22 of the paper."""
    usual = {f.name: f.default for f in fields(BlockConfig) if f.default is not MISSING}
    described = [usual | block for block in blocks]
    shared = {key: described[0][key] for key in ("kernel", "activation", "padding")}
    for downsampling in DOWNSAMPLING:
        if described == [asdict(block) | shared for block in standard_blocks(downsampling=downsampling)]:
            return {"downsampling": downsampling, **shared}
    return None
