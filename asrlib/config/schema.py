"""Configuration: dataclasses, and the YAML they are read from.

The kit's own form mirrors the dataclasses below, section by section; every key has
a default. A key of the wrong type is an error that names it; an unknown key is a
warning, so that a file from a newer version still loads. TensorFlowASR's files are
read too (``asrlib.config.tensorflowasr``); docs/configuration.md has all their keys. Lesson 09.
"""

from __future__ import annotations

import contextlib
import dataclasses
import types
import typing
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from asrlib.config import tensorflowasr
from asrlib.config.template import is_template, render
from asrlib.errors import InputError
from asrlib.models.contextnet import DOWNSAMPLING, VARIANTS, BlockConfig, ContextNetEncoder, standard_blocks
from asrlib.models.layers.conv import ACTIVATIONS, PADDINGS
from asrlib.models.transducer import ENCODINGS, JOINT_MODES, RNNS, JointNetwork, PredictionNetwork, Transducer
from asrlib.signal.augment_policy import AugmentPolicy
from asrlib.signal.features import FrontEnd
from asrlib.text.tokenizers import KINDS

SCHEDULES = ("inverse_sqrt", "transformer", "one_cycle")
_SHIPPED = Path(__file__).parent


@dataclass
class FeatureConfig:
    """Lesson 01."""

    sample_rate: int = 16000
    window_ms: float = 25.0
    hop_ms: float = 10.0
    mels: int = 80
    preemphasis: float = 0.97
    normalize_signal: bool = False
    normalize: str = "utterance"
    log_floor: float = 1e-6

    def check(self, where: str) -> None:
        _positive(where, "features", self, "sample_rate", "mels", "log_floor")
        with _named(where, "features"):
            FrontEnd(**vars(self))


@dataclass
class AugmentConfig(AugmentPolicy):
    """The policy, as a section of the configuration."""

    def check(self, where: str) -> None:
        _not_negative(where, "augment", self, "time_masks", "time_width", "freq_masks", "freq_width")
        _fractions(where, "augment", self, "time_fraction", "noise_probability", "room_probability")
        _fractions(where, "augment", self, "gate_probability")
        snr = self.noise_snr_db
        if not (len(snr) == 2 and snr[0] <= snr[1]):
            raise InputError(f"{where}: key augment.noise_snr_db is {snr}; expected [low, high]")
        for key in ("speed", "warp"):
            bounds = getattr(self, key)
            if bounds is not None and not (len(bounds) == 2 and 0 < bounds[0] <= bounds[1]):
                raise InputError(
                    f"{where}: key augment.{key} is {bounds}; expected [low, high], both positive"
                )


@dataclass
class TokenizerConfig:
    """``vocabulary`` counts blank, and matters for word pieces and for a ``file`` only.

    ``file`` is a sentencepiece model, or a text file with a label on each line; without one
    the tokenizer is trained on the corpus: word pieces of at most ``max_piece_length``
    characters (▁ counts), ``reserved`` ones among them whatever the texts say. Lesson 05.
    """

    kind: str = "wordpieces"
    vocabulary: int = 1000
    model_type: str = "unigram"
    normalize: bool = True
    max_piece_length: int = 16
    reserved: list[str] = field(default_factory=list)
    file: str | None = None

    def check(self, where: str) -> None:
        _positive(where, "tokenizer", self, "vocabulary", "max_piece_length")
        _choice(where, "tokenizer", self, "kind", KINDS)
        _choice(where, "tokenizer", self, "model_type", ("unigram", "bpe"))


@dataclass
class EncoderConfig:
    """``blocks`` overrides what the other keys describe. Lesson 04."""

    variant: str = "paper"
    alpha: float = 1.0
    kernel: int = 5
    activation: str = "swish"
    downsampling: str = "progressive"
    padding: str = "same"
    se: str | int = "global"
    blocks: list[BlockConfig] | None = None

    def build(self, mels: int) -> ContextNetEncoder:
        blocks = self.blocks
        if blocks is None:
            blocks = standard_blocks(self.kernel, self.activation, self.padding, self.se, self.downsampling)
        return ContextNetEncoder(mels, blocks, self.alpha, self.variant)

    def check(self, where: str) -> None:
        _positive(where, "encoder", self, "alpha", "kernel")
        _choice(where, "encoder", self, "variant", VARIANTS)
        _choice(where, "encoder", self, "downsampling", DOWNSAMPLING)
        rows = {"encoder": self} | {f"encoder.blocks[{n}]": b for n, b in enumerate(self.blocks or [])}
        for name, row in rows.items():
            _choice(where, name, row, "activation", ACTIVATIONS)
            _choice(where, name, row, "padding", PADDINGS)
            if isinstance(row, BlockConfig):
                _positive(where, name, row, "filters", "layers", "kernel", "stride")


@dataclass
class PredictionConfig:
    """``encoding`` of a label is ``embedding`` or ``one_hot``, ``rnn`` is ``lstm`` or ``gru``;
    ``projection`` is the width of a linear layer after each of the ``layers``, 0 for none. Lesson 07.
    """

    embed_dim: int = 640
    encoding: str = "embedding"
    rnn: str = "lstm"
    units: int = 640
    layers: int = 1
    layer_norm: bool = True
    projection: int = 0
    dropout: float = 0.0

    def build(self, vocabulary: int) -> PredictionNetwork:
        return PredictionNetwork(vocabulary, 0, **vars(self))

    def check(self, where: str) -> None:
        _positive(where, "prediction", self, "units", "layers")
        if self.encoding == "embedding":
            _positive(where, "prediction", self, "embed_dim")
        _choice(where, "prediction", self, "encoding", ENCODINGS)
        _choice(where, "prediction", self, "rnn", RNNS)
        _not_negative(where, "prediction", self, "projection")
        _fractions(where, "prediction", self, "dropout")


@dataclass
class JointConfig:
    """``mode`` is how the two sides meet: ``add`` or ``mul``. Each may have a linear layer before
    (``encoder_linear``, ``prediction_linear``), and both together one after (``post_linear``). Lesson 07.
    """

    dim: int = 640
    activation: str = "tanh"
    mode: str = "add"
    encoder_linear: bool = True
    prediction_linear: bool = True
    post_linear: bool = False

    def build(self, encoder_dim: int, prediction_dim: int, vocabulary: int) -> JointNetwork:
        return JointNetwork(encoder_dim, prediction_dim, vocabulary=vocabulary, **vars(self))

    def check(self, where: str) -> None:
        _positive(where, "joint", self, "dim")
        _choice(where, "joint", self, "activation", ACTIVATIONS)
        _choice(where, "joint", self, "mode", JOINT_MODES)


@dataclass
class TrainingConfig:
    """``schedule``: ``inverse_sqrt`` rises to ``max_lr`` over ``warmup_steps`` and falls with the
    inverse square root of the step; ``transformer`` has that shape too, but its height is
    min(max_lr, factor · d^-0.5 · min(s^-0.5, s · warmup^-1.5)), d = ``schedule_width`` or else the
    prediction network's width; ``one_cycle`` rises to ``max_lr`` and falls to zero along a cosine.

    A batch holds up to ``batch_seconds`` of speech, or exactly ``batch_utterances`` if that is given.

    ``checkpoint_blocks`` keeps each block's input alone and runs the block again in the backward pass:
    less memory, more time. ``capture`` "auto" makes CUDA graphs of a step where that can be done, "off" never
    does. ``workers`` threads read and decode the next batches while one is computed; 0:
    each is read when it is wanted.
    docs/training.md says when each pays. Lesson 09.
    """

    ctc_weight: float = 0.0
    epochs: int = 100
    max_steps: int | None = None
    batch_seconds: float = 120.0
    batch_utterances: int | None = None
    accumulate: int = 1
    schedule: str = "transformer"
    max_lr: float = 2.5e-3
    warmup_steps: int = 15000
    schedule_factor: float = 1.0
    schedule_width: int | None = None
    betas: list[float] = field(default_factory=lambda: [0.9, 0.98])
    eps: float = 1e-9
    l2: float = 1e-6
    weight_noise: float = 0.0
    weight_noise_start: int = 0
    average: float = 0.0
    clip_norm: float = 5.0
    precision: str = "no"
    checkpoint_blocks: bool = False
    capture: str = "auto"
    workers: int = 0
    evaluate_every: int = 1000
    checkpoint_every: int = 500
    log_every: int = 50
    seed: int = 0

    def check(self, where: str) -> None:
        _positive(
            where,
            "training",
            self,
            "batch_seconds",
            "batch_utterances",
            "epochs",
            "max_steps",
            "accumulate",
            "max_lr",
            "schedule_factor",
            "schedule_width",
            "clip_norm",
            "evaluate_every",
            "checkpoint_every",
            "log_every",
        )
        _fractions(where, "training", self, "ctc_weight", "average")
        _not_negative(
            where,
            "training",
            self,
            "warmup_steps",
            "eps",
            "l2",
            "weight_noise",
            "weight_noise_start",
            "workers",
        )
        _choice(where, "training", self, "schedule", SCHEDULES)
        _choice(where, "training", self, "precision", ("no", "bf16", "fp16"))
        _choice(where, "training", self, "capture", ("auto", "off"))
        if not (len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)):
            raise InputError(
                f"{where}: key training.betas is {self.betas}; expected two numbers from 0 to below 1"
            )


@dataclass
class DecodingConfig:
    """``head`` is ``transducer`` or ``ctc``; null takes the transducer if the model has one.
    ``max_symbols`` bounds the labels that the transducer may emit at a frame.
    ``warps`` are frequency stretches (1 is none) at which the CTC head listens to every
    utterance, its log-probabilities averaged: a voice that is too high or too low at one
    may be familiar at another.

    ``beam_width`` 0 is greedy search. In beam search, ``norm_score`` divides a hypothesis'
    score by its labels + 1 when the best one is chosen, a language model's log-probabilities
    are weighed with ``lm_weight``, and each label adds ``label_bonus`` nats, without which a
    language model prefers short texts. Lesson 11.
    """

    head: str | None = None
    max_symbols: int = 5
    warps: list[float] | None = None
    beam_width: int = 0
    norm_score: bool = True
    lm_weight: float = 0.3
    label_bonus: float = 0.0

    def check(self, where: str) -> None:
        _positive(where, "decoding", self, "max_symbols")
        if self.beam_width < 0:
            raise InputError(f"{where}: key decoding.beam_width is {self.beam_width}; 0 is greedy search")
        _not_negative(where, "decoding", self, "lm_weight")
        if self.warps is not None and not (self.warps and all(warp > 0 for warp in self.warps)):
            raise InputError(f"{where}: key decoding.warps is {self.warps}; expected positive factors")


@dataclass
class Config:
    """Everything that defines a recogniser and its training."""

    name: str = "contextnet"
    features: FeatureConfig = field(default_factory=FeatureConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    prediction: PredictionConfig | None = field(default_factory=PredictionConfig)
    joint: JointConfig | None = field(default_factory=JointConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    decoding: DecodingConfig = field(default_factory=DecodingConfig)

    def check(self, where: str) -> None:
        """Raises ``InputError`` for values that have the right type and still make no sense;
        ``where`` is named in messages.
        """
        for section in dataclasses.fields(self)[1:]:
            if getattr(self, section.name) is not None:
                getattr(self, section.name).check(where)
        self._check_heads(where)
        with torch.device("meta"):  # shapes alone: neither time, memory nor random numbers
            with _named(where, "encoder"):
                encoder = self.encoder.build(self.features.mels)
            if self.prediction is not None and self.joint is not None:
                with _named(where, "prediction"):
                    prediction = self.prediction.build(1)
                with _named(where, "joint"):
                    self.joint.build(encoder.dim, prediction.dim, 1)

    def _check_heads(self, where: str) -> None:
        ctc_weight, decoding = self.training.ctc_weight, self.decoding
        if (self.prediction is None) != (self.joint is None):
            raise InputError(
                f"{where}: prediction and joint go together; set both to null for a pure CTC model"
            )
        if self.joint is None and ctc_weight != 1:
            raise InputError(
                f"{where}: without prediction and joint, training.ctc_weight must be 1, not {ctc_weight}"
            )
        heads = {"ctc": ctc_weight > 0, "transducer": self.joint is not None}
        if decoding.head is not None and decoding.head not in heads:
            raise InputError(
                f"{where}: key decoding.head is {decoding.head!r}; use one of {', '.join(heads)}"
            )
        if decoding.head is not None and not heads[decoding.head]:
            raise InputError(
                f"{where}: key decoding.head is {decoding.head!r}, but the model is trained without it"
            )
        if decoding.warps is not None and not (decoding.head == "ctc" or self.joint is None):
            raise InputError(f"{where}: key decoding.warps needs decoding.head: ctc")

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def save(self, path: str | Path) -> None:
        Path(path).write_text(
            yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True), encoding="utf-8"
        )


def shipped_configs() -> list[str]:
    """Names that ``load_config`` knows without a file."""
    return sorted(path.stem for path in _SHIPPED.glob("*.yml"))


def load_config(name_or_path: str | Path) -> Config:
    """The shipped configuration of that name, or a file's: YAML, or a Jinja template of YAML, in
    the kit's form or TensorFlowASR's.

    Raises ``InputError`` naming the file and key for anything it cannot use; warns
    about unknown keys, and about those of TensorFlowASR's that have no effect.
    """
    name = str(name_or_path)
    if name in shipped_configs():
        return parse_config((_SHIPPED / f"{name}.yml").read_text(encoding="utf-8"), name)
    path = Path(name_or_path)
    if not path.is_file():
        hint = f"; shipped configurations are {', '.join(shipped_configs())}"
        raise InputError(f"there is no configuration file {path}{hint}")
    try:
        return parse_config(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a UTF-8 text file") from None


def parse_config(text: str, where: str) -> Config:
    """A configuration from YAML text, or a Jinja template of it, in the kit's form or one of
    TensorFlowASR's two; which one it is, its content tells. ``where`` is named in messages.
    """
    content = _read_yaml(render(text, where) if is_template(text) else text, where)
    if not tensorflowasr.recognise(content):
        config = _parse(Config, content, where, "")
        config.check(where)
        return config
    translation = tensorflowasr.translate(content, where)
    if translation.unused:
        warnings.warn(f"{where}: keys without effect: {translation.warning()}", stacklevel=2)
    try:
        config = _parse(Config, translation.content, where, "")
        config.check(where)
    except InputError as error:
        raise InputError(translation.original(str(error))) from None
    return config


def _read_yaml(text: str, where: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or " ".join(str(error).split())
        raise InputError(f"{where}{line}: not valid YAML: {reason}") from None
    if not isinstance(content, dict):
        raise InputError(
            f"{where}: expected sections such as features and encoder, found {type(content).__name__}"
        )
    return content


def override(config: Config, assignments: list[str]) -> Config:
    """``training.max_lr=0.001`` and the like (``asrlib train --set``), values read as YAML."""
    content = config.to_dict()
    for assignment in assignments:
        key, separator, value = assignment.partition("=")
        if not separator:
            raise InputError(f"--set {assignment}: expected key=value, such as training.max_lr=0.001")
        *sections, last = key.strip().split(".")
        node = content
        for section in sections:
            node = node.get(section) if isinstance(node, dict) else None
        if not isinstance(node, dict) or last not in node:
            raise InputError(f"--set {assignment}: there is no key {key.strip()!r}")
        try:
            node[last] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise InputError(f"--set {assignment}: {value!r} is not a YAML value") from None
    config = _parse(Config, content, "--set", "")
    config.check("--set")
    return config


def _parse(cls: type, content: dict[str, Any], where: str, prefix: str) -> Any:
    hints = typing.get_type_hints(cls)
    unknown = [prefix + str(key) for key in content if key not in hints]
    if unknown:
        warnings.warn(f"{where}: unknown key {', '.join(unknown)} ignored", stacklevel=2)
    values = {k: _convert(hints[k], v, where, prefix + k) for k, v in content.items() if k in hints}
    missing = [
        f.name
        for f in dataclasses.fields(cls)
        if f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
        and f.name not in values
    ]
    if missing:
        raise InputError(f"{where}: key {prefix}{missing[0]} is missing")
    return cls(**values)


def _convert(hint: Any, value: Any, where: str, key: str) -> Any:
    options = (
        typing.get_args(hint)
        if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
        else (hint,)
    )
    if value is None and type(None) in options:
        return None
    for option in options:
        if dataclasses.is_dataclass(option):
            if isinstance(value, dict):
                return _parse(option, value, where, key + ".")
        elif typing.get_origin(option) is list:
            if isinstance(value, list):
                return [
                    _convert(typing.get_args(option)[0], item, where, f"{key}[{i}]")
                    for i, item in enumerate(value)
                ]
        elif option is float and isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        elif option is float and isinstance(value, str):
            # YAML 1.1 reads 1e-9, without a point, as text
            try:
                return float(value)
            except ValueError:
                continue
        elif option is bool and isinstance(value, bool):
            return value
        elif option in (int, str) and isinstance(value, option) and not isinstance(value, bool):
            return value
        elif option is str and value is False:
            return "no"  # which YAML 1.1 reads as false: precision: no
    expected = " or ".join(
        "nothing"
        if o is type(None)
        else "a section"
        if dataclasses.is_dataclass(o)
        else getattr(o, "__name__", str(o))
        for o in options
    )
    raise InputError(f"{where}: key {key} is {value!r}; expected {expected}")


def _positive(where: str, section: str, values: Any, *keys: str) -> None:
    for key, value in ((key, getattr(values, key)) for key in keys):
        if value is not None and not value > 0:
            raise InputError(f"{where}: key {section}.{key} is {value}; it must be positive")


def _not_negative(where: str, section: str, values: Any, *keys: str) -> None:
    for key, value in ((key, getattr(values, key)) for key in keys):
        if value is not None and not value >= 0:
            raise InputError(f"{where}: key {section}.{key} is {value}; it must not be negative")


def _fractions(where: str, section: str, values: Any, *keys: str) -> None:
    for key, value in ((key, getattr(values, key)) for key in keys):
        if not 0 <= value <= 1:
            raise InputError(f"{where}: key {section}.{key} is {value}; it must be between 0 and 1")


def _choice(where: str, section: str, values: Any, key: str, allowed: Collection[str]) -> None:
    value = getattr(values, key)
    if value not in allowed:
        raise InputError(f"{where}: key {section}.{key} is {value!r}; use one of {', '.join(allowed)}")


@contextlib.contextmanager
def _named(where: str, section: str) -> Iterator[None]:
    """What a part of the network says of its arguments, with the file's and the section's name."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{where}: {section}: {error}") from None


def check_vocabulary(config: Config, vocabulary: int, where: str) -> None:
    """Raises ``InputError`` if a tokenizer's ``vocabulary`` (with blank) is not the configuration's."""
    if vocabulary != config.tokenizer.vocabulary:
        raise InputError(
            f"{where}: key tokenizer.vocabulary is {config.tokenizer.vocabulary},"
            f" but the tokenizer has {vocabulary} labels with blank"
        )


def build_model(config: Config, vocabulary: int | None = None) -> nn.Module:
    """The network of a configuration, with ``.encoder``, ``.prediction``, ``.joint``, ``.ctc_head``.

    ``vocabulary`` is the number of labels with blank; by default the configuration's.
    """
    vocabulary = vocabulary or config.tokenizer.vocabulary
    encoder = config.encoder.build(config.features.mels)
    encoder.checkpoint_blocks = config.training.checkpoint_blocks
    ctc_head = nn.Linear(encoder.dim, vocabulary) if config.training.ctc_weight > 0 else None
    if config.joint is None:
        return Transducer(encoder, None, None, ctc_head, ctc_weight=1.0)
    prediction = config.prediction.build(vocabulary)
    joint = config.joint.build(encoder.dim, prediction.dim, vocabulary)
    return Transducer(encoder, prediction, joint, ctc_head, ctc_weight=config.training.ctc_weight)
