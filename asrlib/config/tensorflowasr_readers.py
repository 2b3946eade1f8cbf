"""The parts of TensorFlowASR's configurations that are not copied key by key. Lesson 10.

`asrlib.config.tensorflowasr` calls the functions here. Each fills in sections of a ``Translation``.
"""

from __future__ import annotations

import math
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from asrlib.config.tensorflowasr_keys import BLOCK_KEYS, BLOCKS, ONLY
from asrlib.config.tensorflowasr_places import Leaf
from asrlib.errors import InputError
from asrlib.models.contextnet import DOWNSAMPLING, BlockConfig, standard_blocks
from asrlib.reading import shown
from asrlib.signal.features import FeatureConfig
from asrlib.text.listed_pieces import LISTS
from asrlib.text.tokenizer_files import read_tokenizer as load_tokenizer

_KINDS = {
    "wordpiece": "wordpieces",
    "sentencepiece": "wordpieces",
    "subword": "wordpieces",
    "characters": "characters",
    "char": "characters",
}
_PIECES = (".model", *LISTS)
_LOG_UNITS = {"e": "ln", "10": "log10"}


@dataclass
class Translation:
    """A TensorFlowASR file in asrlib's format.

    ``generation`` is the generation of TensorFlowASR's code that it is read for. ``content`` has asrlib's
    sections. ``origins`` maps an asrlib key to the key of the file that it comes from. ``unused`` maps the
    keys of the file without effect to the reason.
    """

    generation: str
    content: dict[str, Any] = field(default_factory=dict)
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

    def value(self, ours: str) -> Any:
        """Return the value of the asrlib key ``ours``; None if it has none."""
        section, _, key = ours.partition(".")
        return self.content[section].get(key) if key else self.content.get(section)

    def warning(self) -> str:
        """Return a text that says how the file was read: its generation, and the keys without effect.

        The keys are grouped by the reason and the section.
        """
        reasons: dict[str, dict[str, list[str]]] = {}
        for key, reason in self.unused.items():
            section, _, last = key.rpartition(".")
            reasons.setdefault(reason, {}).setdefault(section, []).append(last)
        groups = [
            f"{', '.join(_joined(*part) for part in sections.items())} ({reason})"
            for reason, sections in reasons.items()
        ]
        effects = f"; keys without effect: {'; '.join(groups)}" if groups else ""
        return f"read as a configuration of TensorFlowASR {self.generation}{effects}"

    def original(self, message: str) -> str:
        """Return ``message`` with asrlib's keys replaced by the keys of the file."""
        for ours, theirs in self.origins.items():
            message = message.replace(f"key {ours} is", f"key {theirs} is")
        return message


def _joined(section: str, keys: list[str]) -> str:
    """Return keys of a section as one text: section.key, or section.{key, key}."""
    last = keys[0] if len(keys) == 1 else f"{{{', '.join(keys)}}}"
    return f"{section}.{last}" if section else last


def read_features(result: Translation, theirs: dict[str, Leaf], where: str) -> None:
    """Read what kind of features a file has, and their normalization."""
    for key, possible in ONLY.items():
        if key in theirs and theirs[key].value not in possible:
            leaf = theirs[key]
            raise InputError(
                f"{where}: key {leaf.name} is {shown(leaf.value)}; only {possible[0]} is supported"
            )

    def switch(name: str) -> bool | None:
        leaf = theirs.get(f"speech_config.{name}")
        if leaf is not None and not isinstance(leaf.value, bool):
            raise InputError(f"{where}: key {leaf.name} is {shown(leaf.value)}; expected bool")
        return None if leaf is None else leaf.value

    features, newest = result.content["features"], result.generation == "2.1"
    on, each_bin, scores = (switch(f"normalize_{name}") for name in ("feature", "per_feature", "zscore"))
    if newest:
        if on or scores:
            features["normalize"] = "bin"
    elif on is False:
        features["normalize"] = "none"
    elif each_bin:
        features["normalize"] = "bin"
    if (energy := switch("compute_energy")) is not None:
        features["spectrum"] = "power" if energy else "magnitude"
    if switch("use_natural_log") is False:
        features["log_unit"] = "db"
    if "speech_config.log_base" in theirs:
        leaf = theirs["speech_config.log_base"]
        if str(leaf.value) not in _LOG_UNITS:
            raise InputError(f"{where}: key {leaf.name} is {shown(leaf.value)}; use one of e, 10")
        features["log_unit"] = _LOG_UNITS[str(leaf.value)]
    if "features.fft_size" not in result.origins or features["fft_size"] is None:
        _size_fft(features, result.generation, switch("fft_overdrive"))


def _size_fft(features: dict[str, Any], generation: str, doubled: bool | None) -> None:
    """Set the FFT's size from the window's, as TensorFlowASR's code does."""
    rate = features.get("sample_rate", FeatureConfig.sample_rate)
    window = features.get("window_ms", FeatureConfig.window_ms)
    if not all(isinstance(value, (int, float)) and 0 < value < 1e6 for value in (rate, window)):
        return  # an error, which is reported with all others
    samples = round(rate * window / 1000)
    if generation == "2.1":
        features["fft_size"] = samples
    elif generation == "2023":
        features["fft_size"] = max(512, 1 << (samples - 1).bit_length()) * (1 if doubled is False else 2)


def read_tokenizer(result: Translation, theirs: dict[str, Leaf], where: str) -> None:
    """Read the kind of the tokenizer, its file, and what else there is to it."""

    def value(name: str, usual: Any = None) -> Any:
        leaf = theirs.get(f"decoder_config.{name}")
        return usual if leaf is None else leaf.value

    sized = "vocabulary" in result.content["tokenizer"]
    named = value("type", "wordpiece" if sized else "characters")
    if not isinstance(named, str) or named not in _KINDS:
        raise InputError(
            f"{where}: key decoder_config.type is {shown(named)}; use one of {', '.join(_KINDS)}"
        )
    kind = _KINDS[named]
    result.set("tokenizer.kind", "decoder_config.type", kind)
    reserved = value("reserved_tokens")
    if isinstance(reserved, list):  # blank and <unk> already have their labels
        taken = ("<pad>", value("unknown_token", "<unk>"), "<unk>")
        reserved = [token for token in reserved if token not in taken]
    result.set("tokenizer.reserved", "decoder_config.reserved_tokens", [] if reserved is None else reserved)
    if value("normalization_form", "NFKC") != "NFKC":
        result.unused["decoder_config.normalization_form"] = "text is always normalized to NFKC"
    key, path = "decoder_config.vocabulary", value("vocabulary")
    if path is None:
        return
    if not Path(str(path)).is_file():
        result.unused[key] = f"there is no file {path}: the tokenizer is trained on the corpus"
    elif kind == "wordpieces" and Path(str(path)).suffix not in _PIECES:
        result.unused[key] = f"word pieces are read from files {', '.join(_PIECES)}"
    else:
        result.set("tokenizer.file", key, path)
        if not sized:
            result.content["tokenizer"]["vocabulary"] = load_tokenizer(kind, path).vocabulary


def read_blocks(result: Translation, theirs: dict[str, Leaf], where: str) -> None:
    """Read the blocks of the encoder, as ``downsampling`` and shared keys if they are the paper's."""
    leaf = theirs.get(BLOCKS)
    if leaf is None or not leaf.value:
        raise InputError(f"{where}: key {BLOCKS} is missing; only ContextNet transducers are supported")
    if not isinstance(leaf.value, list) or not all(isinstance(row, dict) for row in leaf.value):
        raise InputError(f"{where}: key {leaf.name} is {shown(leaf.value)}; expected a list of sections")
    blocks = []
    for number, row in enumerate(leaf.value):
        block = {"padding": result.content["encoder"]["padding"]}
        for key, value in row.items():
            name = f"{leaf.name}[{number}].{key}"
            if key in BLOCK_KEYS:
                block[BLOCK_KEYS[key]] = value.lower() if isinstance(value, str) else value
                result.origins[f"encoder.blocks[{number}].{BLOCK_KEYS[key]}"] = name
            else:
                result.unused[name] = "the key is unknown"
        if block["padding"] == "same":
            block["padding"] = "keras-same"
        if "filters" not in block:
            raise InputError(f"{where}: key {leaf.name}[{number}].filters is missing")
        blocks.append(block)
    short = _short(blocks)
    result.content["encoder"] |= short or {"blocks": blocks}
    for key, ours in BLOCK_KEYS.items():
        if short and ours in short:
            result.origins[f"encoder.{ours}"] = f"{leaf.name}[].{key}"
    # TensorFlowASR's schedule uses the width of the last block before alpha is applied
    result.content["training"].setdefault("schedule_width", blocks[-1]["filters"])


def _short(blocks: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the keys that describe the same blocks, or None if they are not C0 … C22 of the paper."""
    usual = {f.name: f.default for f in fields(BlockConfig) if f.default is not MISSING}
    described = [usual | block for block in blocks]
    shared = {key: described[0][key] for key in ("kernel", "activation", "padding")}
    for downsampling in DOWNSAMPLING:
        if described == [asdict(block) | shared for block in standard_blocks(downsampling=downsampling)]:
            return {"downsampling": downsampling, **shared}
    return None


def read_training(result: Translation, theirs: dict[str, Leaf], where: str) -> None:
    """Read the optimizer and the cap of its learning rate; ``read_blocks`` must have run."""
    training = result.content["training"]
    for index, keys in enumerate((("beta1", "beta_1"), ("beta2", "beta_2"))):
        for key in (f"learning_config.optimizer_config.{name}" for name in keys):
            if key in theirs:
                training["betas"][index] = theirs[key].value
                result.origins[f"training.betas[{index}]"] = theirs[key].name
                result.origins["training.betas"] = theirs[key].name
    for key, expected, reason in (
        ("learning_config.optimizer_config.class_name", "adam", "asrlib trains with Adam"),
        (
            "learning_config.optimizer_config.learning_rate.class_name",
            "transformerschedule",
            "the rate follows training.schedule",
        ),
    ):
        if key in theirs and str(theirs[key].value).rpartition(">")[2].lower() != expected:
            result.unused[theirs[key].name] = reason
    if "model_config.kernel_regularizer" in theirs:
        _read_l2(result, theirs["model_config.kernel_regularizer"])
    width, numerator = (
        training["schedule_width"],
        theirs.get("learning_config.learning_rate_config.max_lr_numerator"),
    )
    if not isinstance(width, int) or width <= 0:
        return  # an error, which is reported with all others
    if numerator is not None:
        if not isinstance(numerator.value, (int, float)):
            raise InputError(f"{where}: key {numerator.name} is {shown(numerator.value)}; expected a number")
        result.set("training.max_lr", numerator.name, numerator.value / math.sqrt(width))
    elif result.generation not in ("2023", "2.1"):  # set by its code, not by its files
        training["max_lr"] = 0.05 / math.sqrt(width)


def _read_l2(result: Translation, leaf: Leaf) -> None:
    value = leaf.value
    if value is None:
        result.set("training.l2", leaf.name, 0.0)
    elif isinstance(value, dict) and str(value.get("class_name")).lower() == "l2":
        options = value.get("config")
        result.set(
            "training.l2", leaf.name, options.get("l2", 0.01) if isinstance(options, dict) else options
        )
    else:
        result.unused[leaf.name] = "only L2 regularization is supported"
