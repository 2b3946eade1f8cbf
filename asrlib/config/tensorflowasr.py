"""TensorFlowASR's configurations, in both of its dialects, as configurations of the kit.

The dialect of 2021 is plain YAML, that of 2023 a Jinja template of YAML with more keys; one
reader takes both, since a key that both have means the same in both. The code behind them was
not the same: ``OLD`` tells which one a file was written for. What a key becomes is in
``HONOURED``, why it becomes nothing in ``NO_EFFECT``; docs/configuration.md has both as a table,
and the values that TensorFlowASR's code supplies for keys a file leaves out. Lesson 10.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from asrlib.errors import InputError
from asrlib.models.contextnet import DOWNSAMPLING, BlockConfig, standard_blocks
from asrlib.text.tokenizers import read_tokenizer

SECTIONS = ("speech_config", "decoder_config", "model_config", "learning_config")
BLOCKS = "model_config.encoder_blocks"

# a key of theirs whose value is a key of ours as it is
SAME = {
    "speech_config.sample_rate": "features.sample_rate",
    "speech_config.frame_ms": "features.window_ms",
    "speech_config.stride_ms": "features.hop_ms",
    "speech_config.num_feature_bins": "features.mels",
    "speech_config.preemphasis": "features.preemphasis",
    "speech_config.normalize_signal": "features.normalize_signal",
    "decoder_config.target_vocab_size": "tokenizer.vocabulary",
    "decoder_config.vocab_size": "tokenizer.vocabulary",
    "decoder_config.max_subword_length": "tokenizer.max_piece_length",
    "decoder_config.max_token_length": "tokenizer.max_piece_length",
    "decoder_config.beam_width": "decoding.beam_width",
    "decoder_config.norm_score": "decoding.norm_score",
    "model_config.name": "name",
    "model_config.encoder_alpha": "encoder.alpha",
    "model_config.prediction_label_encode_mode": "prediction.encoding",
    "model_config.prediction_embed_dim": "prediction.embed_dim",
    "model_config.prediction_embed_dropout": "prediction.dropout",
    "model_config.prediction_num_rnns": "prediction.layers",
    "model_config.prediction_rnn_units": "prediction.units",
    "model_config.prediction_rnn_type": "prediction.rnn",
    "model_config.prediction_layer_norm": "prediction.layer_norm",
    "model_config.prediction_projection_units": "prediction.projection",
    "model_config.joint_dim": "joint.dim",
    "model_config.joint_activation": "joint.activation",
    "model_config.joint_mode": "joint.mode",
    "model_config.prejoint_encoder_linear": "joint.encoder_linear",
    "model_config.prejoint_prediction_linear": "joint.prediction_linear",
    "model_config.postjoint_linear": "joint.post_linear",
    "learning_config.augmentations.after.time_masking.num_masks": "augment.time_masks",
    "learning_config.augmentations.after.time_masking.mask_factor": "augment.time_width",
    "learning_config.augmentations.after.time_masking.p_upperbound": "augment.time_fraction",
    "learning_config.augmentations.after.freq_masking.num_masks": "augment.freq_masks",
    "learning_config.augmentations.after.freq_masking.mask_factor": "augment.freq_width",
    "learning_config.optimizer_config.warmup_steps": "training.warmup_steps",
    "learning_config.optimizer_config.epsilon": "training.eps",
    "learning_config.learning_rate_config.warmup_steps": "training.warmup_steps",
    "learning_config.learning_rate_config.max_lr": "training.max_lr",
    "learning_config.running_config.batch_size": "training.batch_utterances",
    "learning_config.running_config.num_epochs": "training.epochs",
    "learning_config.running_config.log_interval_steps": "training.log_every",
    "learning_config.running_config.save_interval_steps": "training.checkpoint_every",
    "learning_config.running_config.eval_interval_steps": "training.evaluate_every",
}

# a block's key of theirs, and ours
BLOCK_KEYS = {
    "nlayers": "layers",
    "kernel_size": "kernel",
    "filters": "filters",
    "strides": "stride",
    "residual": "residual",
    "activation": "activation",
    "padding": "padding",
}

# a key of theirs that has a meaning here, and where
HONOURED = {
    **SAME,
    "speech_config.feature_type": "features",
    "speech_config.normalize_feature": "features.normalize",
    "speech_config.normalize_per_feature": "features.normalize",
    "decoder_config.type": "tokenizer.kind",
    "decoder_config.vocabulary": "tokenizer.file",
    "decoder_config.reserved_tokens": "tokenizer.reserved",
    "decoder_config.normalization_form": "tokenizer.normalize",
    **{f"{BLOCKS}[].{theirs}": f"encoder.blocks[].{ours}" for theirs, ours in BLOCK_KEYS.items()},
    "learning_config.optimizer_config.beta1": "training.betas[0]",
    "learning_config.optimizer_config.beta_1": "training.betas[0]",
    "learning_config.optimizer_config.beta2": "training.betas[1]",
    "learning_config.optimizer_config.beta_2": "training.betas[1]",
}

_CORPUS = "corpora are named on the command line, --corpus"
_OUT = "everything is written into --out"
_LEARNER = "it steers TensorFlow's word-piece learner, and sentencepiece is the one here"
_BLANK = "blank is label 0 always"
_UNKNOWN = "the unknown label is 1 always, and a transcript that would need it is an error"
_KERNEL = "it chooses among Keras' kernels and changes no number"
_DASHBOARD = "loss, learning rate and speed are logged every training.log_every steps, and nothing else"

# a key of theirs that becomes nothing, and why
NO_EFFECT = {
    "decoder_config.blank_at_zero": _BLANK,
    "decoder_config.blank_index": _BLANK,
    "decoder_config.unknown_token": _UNKNOWN,
    "decoder_config.unknown_index": _UNKNOWN,
    "decoder_config.lm_config": "a language model is given when decoding, --lm",
    "decoder_config.max_unique_chars": _LEARNER,
    "decoder_config.num_iterations": _LEARNER,
    "decoder_config.train_files": "the tokenizer is trained on the transcripts of the corpus",
    "model_config.prediction_rnn_implementation": _KERNEL,
    "model_config.prediction_rnn_unroll": _KERNEL,
    "learning_config.dataset_config.train_paths": _CORPUS,
    "learning_config.dataset_config.eval_paths": _CORPUS,
    "learning_config.dataset_config.test_paths": _CORPUS,
    "learning_config.dataset_config.tfrecords_dir": _CORPUS,
    **{
        f"learning_config.{split}_dataset_config.{key}": reason
        for split in ("train", "eval", "test")
        for key, reason in {
            "enabled": _CORPUS,
            "stage": _CORPUS,
            "data_paths": _CORPUS,
            "tfrecords_dir": _CORPUS,
            "metadata": "the longest lengths are found in the corpus",
            "shuffle": "the train split is always shuffled as a whole, the others never",
            "buffer_size": "the train split is always shuffled as a whole, the others never",
            "cache": "audio is kept in memory as far as it fits",
            "drop_remainder": "no utterance is left out of an epoch",
        }.items()
    },
    "learning_config.running_config.outdir": _OUT,
    "learning_config.running_config.checkpoint.filepath": _OUT,
    "learning_config.running_config.checkpoint.save_best_only": "the best weights and the last are kept",
    "learning_config.running_config.checkpoint.save_weights_only": "the optimiser is kept beside the weights",
    "learning_config.running_config.checkpoint.save_freq": "training.checkpoint_every counts steps",
    "learning_config.running_config.checkpoint.options.experimental_enable_async_checkpoint": (
        "training goes on when a checkpoint is complete"
    ),
    "learning_config.running_config.backup_and_restore.backup_dir": f"{_OUT}; --resume goes on from there",
    "learning_config.running_config.tensorboard.log_dir": _OUT,
    "learning_config.running_config.tensorboard.write_graph": _DASHBOARD,
    "learning_config.running_config.tensorboard.write_images": _DASHBOARD,
    "learning_config.running_config.tensorboard.update_freq": _DASHBOARD,
    "learning_config.running_config.tensorboard.profile_batch": _DASHBOARD,
}

# keys that the code of 2023 no longer had: a file with one of them is of 2021
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

_KINDS = {
    "wordpiece": "wordpieces",
    "sentencepiece": "wordpieces",
    "subword": "wordpieces",
    "characters": "characters",
    "char": "characters",
}


@dataclass
class Translation:
    """A file in the kit's form: ``content`` has the kit's sections, ``origins`` says which key of
    the file a key of the kit's comes from, ``unused`` why keys of the file come to nothing.
    """

    content: dict[str, Any]
    origins: dict[str, str] = field(default_factory=dict)
    unused: dict[str, str] = field(default_factory=dict)

    def set(self, ours: str, theirs: str, value: Any) -> None:
        section, _, key = ours.partition(".")
        if key:
            self.content[section][key] = value
        else:
            self.content[section] = value
        self.origins[ours] = theirs

    def warning(self) -> str:
        """The keys without effect, those of one reason together; empty if there are none."""
        reasons: dict[str, list[str]] = {}
        for key, reason in self.unused.items():
            reasons.setdefault(reason, []).append(key)
        return "; ".join(f"{', '.join(keys)} ({reason})" for reason, keys in reasons.items())

    def original(self, message: str) -> str:
        """``message`` about a key of the kit's as one about the file's own."""
        for ours, theirs in self.origins.items():
            message = message.replace(f"key {ours} is", f"key {theirs} is")
        return message


def recognise(content: Any) -> bool:
    """Whether this is TensorFlowASR's: one of its four sections tells."""
    return isinstance(content, dict) and any(section in content for section in SECTIONS)


def translate(content: dict[str, Any], where: str) -> Translation:
    """Raises ``InputError``, naming file and key, for what is no ContextNet transducer."""
    theirs = dict(_flat(content, where))
    year = "2021" if any(f"{key}.".startswith(f"{old}.") for key in theirs for old in OLD) else "2023"
    result = Translation(_defaults(year))
    for key, value in theirs.items():
        if key in SAME:
            lower = isinstance(value, str) and key != "model_config.name"  # "SiLU", "LSTM"
            result.set(SAME[key], key, value.lower() if lower else value)
        elif key in NO_EFFECT:
            result.unused[key] = NO_EFFECT[key]
        elif key not in HONOURED and key != BLOCKS:
            result.unused[key] = "it is not known here"
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
    """What TensorFlowASR's code of that year does where its files say nothing."""
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
    """(dotted key, value) of everything below ``node``; lists stay as they are."""
    for key, value in node.items():
        name = f"{prefix}{key}"
        section = any(known.startswith(f"{name}.") for known in (*HONOURED, *NO_EFFECT))
        if section and value is not None and not isinstance(value, dict):
            raise InputError(f"{where}: key {name} is {value!r}; expected a section")
        if isinstance(value, dict) and name not in HONOURED and name not in NO_EFFECT:
            yield from _flat(value, where, f"{name}.")
        elif not section:
            yield name, value


def _read_features(result: Translation, theirs: dict[str, Any], where: str) -> None:
    kind = theirs.get("speech_config.feature_type", "log_mel_spectrogram")
    if kind != "log_mel_spectrogram":
        raise InputError(
            f"{where}: key speech_config.feature_type is {kind!r}; only log_mel_spectrogram is built here"
        )
    switches = []
    for key, usual in (("normalize_feature", True), ("normalize_per_feature", False)):
        switches.append(theirs.get(f"speech_config.{key}", usual))
        if not isinstance(switches[-1], bool):
            raise InputError(f"{where}: key speech_config.{key} is {switches[-1]!r}; expected bool")
    on, each_bin = switches
    result.content["features"]["normalize"] = ("bin" if each_bin else "utterance") if on else "none"


def _read_tokenizer(result: Translation, theirs: dict[str, Any], where: str) -> None:
    sized = "vocabulary" in result.content["tokenizer"]
    named = theirs.get("decoder_config.type", "wordpiece" if sized else "characters")
    if str(named) not in _KINDS:
        raise InputError(f"{where}: key decoder_config.type is {named!r}; use one of {', '.join(_KINDS)}")
    kind = _KINDS[named]
    result.set("tokenizer.kind", "decoder_config.type", kind)
    key = "decoder_config.reserved_tokens"
    reserved = theirs.get(key)
    if isinstance(reserved, list):  # blank and <unk> have their places already
        taken = ("<pad>", theirs.get("decoder_config.unknown_token", "<unk>"), "<unk>")
        reserved = [token for token in reserved if token not in taken]
    result.set("tokenizer.reserved", key, [] if reserved is None else reserved)
    key = "decoder_config.normalization_form"
    if theirs.get(key, "NFKC") != "NFKC":
        result.unused[key] = "text is always brought into the form NFKC"
    key = "decoder_config.vocabulary"
    path = theirs.get(key)
    if path is None:
        return
    if not Path(str(path)).is_file():
        result.unused[key] = f"there is no file {path}: the tokenizer is trained on the corpus"
    elif kind == "wordpieces" and Path(str(path)).suffix != ".model":
        result.unused[key] = "word pieces are read from sentencepiece models, .model, only"
    else:
        result.set("tokenizer.file", key, path)
        if not sized:
            result.content["tokenizer"]["vocabulary"] = read_tokenizer(kind, path).vocabulary


def _read_blocks(result: Translation, theirs: dict[str, Any], where: str, year: str) -> None:
    rows = theirs.get(BLOCKS)
    if not rows:
        raise InputError(f"{where}: key {BLOCKS} is missing: only ContextNet transducers are built here")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{where}: key {BLOCKS} is {str(rows)[:40]!r}; expected a list of sections")
    blocks = []
    for number, row in enumerate(rows):
        block = {"padding": result.content["encoder"]["padding"]}
        for key, value in row.items():
            name = f"{BLOCKS}[{number}].{key}"
            if key in BLOCK_KEYS:
                block[BLOCK_KEYS[key]] = value.lower() if isinstance(value, str) else value
                result.origins[f"encoder.blocks[{number}].{BLOCK_KEYS[key]}"] = name
            else:
                result.unused[name] = "it is not known here"
        if "filters" not in block:
            raise InputError(f"{where}: key {BLOCKS}[{number}].filters is missing")
        blocks.append(block)
    short = _short(blocks)
    result.content["encoder"] |= short or {"blocks": blocks}
    for key, ours in BLOCK_KEYS.items():
        if short and ours in short:
            result.origins[f"encoder.{ours}"] = f"{BLOCKS}[].{key}"
    # their model's width, and with it their schedule's, is that of the last block before alpha
    width = blocks[-1]["filters"]
    result.content["training"]["schedule_width"] = width
    if year == "2021" and isinstance(width, int) and width > 0:  # not in its files, but in its code
        result.content["training"]["max_lr"] = 0.05 / math.sqrt(width)


def _short(blocks: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The keys that describe the same blocks, if they are C0 … C22 of the paper."""
    usual = {f.name: f.default for f in fields(BlockConfig) if f.default is not MISSING}
    described = [usual | block for block in blocks]
    shared = {key: described[0][key] for key in ("kernel", "activation", "padding")}
    for downsampling in DOWNSAMPLING:
        if described == [asdict(block) | shared for block in standard_blocks(downsampling=downsampling)]:
            return {"downsampling": downsampling, **shared}
    return None
