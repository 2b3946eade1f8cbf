"""The configuration as dataclasses, section by section; every key has a default.

The sections of features, encoder, prediction and joint network stand beside what they describe.
`asrlib.config.parse` reads them all from YAML. Lesson 09.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml

from asrlib import validate
from asrlib.errors import InputError
from asrlib.models.contextnet import ContextNetConfig
from asrlib.models.encoder import EncoderConfig
from asrlib.models.joint import JointConfig
from asrlib.models.prediction import PredictionConfig
from asrlib.signal.augment_policy import AugmentPolicy
from asrlib.signal.features import FeatureConfig
from asrlib.text.tokenizers import KINDS

SCHEDULES = ("inverse_sqrt", "transformer", "one_cycle")


@dataclass
class AugmentConfig(AugmentPolicy):
    """The policy, as a section of the configuration."""

    def check(self, where: str) -> None:
        validate.not_negative(where, "augment", self, "time_masks", "time_width", "freq_masks", "freq_width")
        validate.fractions(where, "augment", self, "time_fraction", "noise_probability", "room_probability")
        validate.fractions(where, "augment", self, "gate_probability", "babble_probability")
        validate.not_negative(where, "augment", self, "shift_ms")
        for key in ("noise_snr_db", "babble_snr_db"):
            snr = getattr(self, key)
            if not (len(snr) == 2 and snr[0] <= snr[1]):
                raise InputError(f"{where}: key augment.{key} is {snr}; expected [low, high]")
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

    ``lexicon`` pronounces the words of texts for the kind ``phones``: ``cmudict``, with ``stress`` kept or
    dropped, or a file with a word, a tab and its phones on each line. Lesson 14.
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
        if self.lexicon is not None and self.kind != "phones":
            raise InputError(f"{where}: key tokenizer.lexicon needs tokenizer.kind: phones, not {self.kind}")
        validate.positive(where, "tokenizer", self, "vocabulary", "max_piece_length")
        validate.choice(where, "tokenizer", self, "kind", KINDS)
        validate.choice(where, "tokenizer", self, "model_type", ("unigram", "bpe"))


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

    def __post_init__(self) -> None:
        if self.capture == "no":  # which is what YAML 1.1 makes of: capture: off
            self.capture = "off"

    def check(self, where: str) -> None:
        validate.positive(
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
        validate.fractions(where, "training", self, "ctc_weight", "average")
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
        )
        validate.choice(where, "training", self, "schedule", SCHEDULES)
        validate.choice(where, "training", self, "precision", ("no", "bf16", "fp16"))
        validate.choice(where, "training", self, "capture", ("auto", "off"))
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

    ``words`` is a closed list: an utterance is taken for the one of these words whose phones, as the
    tokenizer's lexicon has them, the CTC head finds most probable. Lesson 14.
    """

    head: str | None = None
    max_symbols: int = 5
    warps: list[float] | None = None
    beam_width: int = 0
    norm_score: bool = True
    lm_weight: float = 0.3
    label_bonus: float = 0.0
    words: list[str] | None = None

    def check(self, where: str) -> None:
        validate.positive(where, "decoding", self, "max_symbols")
        if self.beam_width < 0:
            raise InputError(f"{where}: key decoding.beam_width is {self.beam_width}; 0 is greedy search")
        validate.not_negative(where, "decoding", self, "lm_weight")
        if self.warps is not None and not (self.warps and all(warp > 0 for warp in self.warps)):
            raise InputError(f"{where}: key decoding.warps is {self.warps}; expected positive factors")


@dataclass
class Config:
    """Everything that defines a recogniser and its training."""

    name: str = "contextnet"
    features: FeatureConfig = field(default_factory=FeatureConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    encoder: EncoderConfig = field(default_factory=ContextNetConfig)
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
            with validate.named(where, "encoder"):
                encoder = self.encoder.build(self.features.mels)
                encoder.set_checkpointing(self.training.checkpoint_blocks)
            if self.prediction is not None and self.joint is not None:
                with validate.named(where, "prediction"):
                    prediction = self.prediction.build(1)
                with validate.named(where, "joint"):
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

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def save(self, path: str | Path) -> None:
        Path(path).write_text(
            yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True), encoding="utf-8"
        )


def check_vocabulary(config: Config, vocabulary: int, where: str) -> None:
    """Raises ``InputError`` if a tokenizer's ``vocabulary`` (with blank) is not the configuration's."""
    if vocabulary != config.tokenizer.vocabulary:
        raise InputError(
            f"{where}: key tokenizer.vocabulary is {config.tokenizer.vocabulary},"
            f" but the tokenizer has {vocabulary} labels with blank"
        )
