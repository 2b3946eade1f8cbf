"""TensorFlowASR's two files, as they were published, and small ones in their form."""

import re
import warnings
from pathlib import Path

import pytest
import yaml

from asrlib.config.parse import load_config, parse_config
from asrlib.config.template import render
from asrlib.config.tensorflowasr import SECTIONS
from asrlib.config.tensorflowasr_keys import BLOCKS

HERE = Path(__file__).parent / "config"
FILES = {"2021": HERE / "tensorflowasr-2021.yml", "2023": HERE / "tensorflowasr-2023.j2"}
BLOCK = {"nlayers": 1, "kernel_size": 3, "filters": 8, "strides": 2, "residual": False, "activation": "relu"}


def plain(year):
    """The file's YAML as it is."""
    return yaml.safe_load(render(FILES[year].read_text(), "f"))


def keys(node, prefix=""):
    """Dotted keys of all leaves; those of the blocks once for all."""
    if isinstance(node, dict):
        return {
            name for key, value in node.items() for name in keys(value, f"{prefix}.{key}" if prefix else key)
        }
    if prefix == BLOCKS:
        return {f"{BLOCKS}[].{key}" for block in node for key in block}
    return {prefix}


def load(year):
    with pytest.warns(UserWarning, match="read as a configuration of TensorFlowASR") as caught:
        config = load_config(FILES[year])
    assert len(caught) == 1  # one warning, whatever there is to say
    return config, str(caught[0].message)


def named(warning):
    """The keys that a warning names, written out."""
    found = set()
    for group in re.findall(r"[ ;,]([\w.\[\]]+\.(?:\{[^}]*\}|[\w\[\]]+))", warning):
        section, _, last = group.partition("{") if "{" in group else group.rpartition(".")
        found |= {f"{section.rstrip('.')}.{key}" for key in last.rstrip("}").split(", ")}
    return {key for key in found if key.split(".")[0] in SECTIONS}


def read(**sections):
    """A small file of theirs; the warning is nobody's concern here."""
    content = {"model_config": {"encoder_blocks": [BLOCK]}}
    for section, values in sections.items():
        content[section] = content.get(section, {}) | values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return parse_config(yaml.safe_dump(content), "f.yml")


# every key that has a meaning: a value for it, and what then stands where in the kit's configuration
EFFECTS = {
    "speech_config.sample_rate": (8000, 8000),
    "speech_config.frame_ms": (20, 20.0),
    "speech_config.stride_ms": (5, 5.0),
    "speech_config.num_feature_bins": (40, 40),
    "speech_config.preemphasis": (0.9, 0.9),
    "speech_config.normalize_signal": (True, True),
    "speech_config.top_db": (70, 70.0),
    "speech_config.center": (True, True),
    "speech_config.pad_end": (True, True),
    "speech_config.output_floor": (1e-5, 1e-5),
    "speech_config.lower_edge_hertz": (60, 60.0),
    "speech_config.upper_edge_hertz": (7000, 7000.0),
    "speech_config.nfft": (800, 800),
    "speech_config.feature_type": ("log_mel_spectrogram", None),
    "speech_config.normalize_feature": (False, "none"),
    "speech_config.normalize_per_feature": (True, "bin"),
    "speech_config.normalize_zscore": (True, "bin"),
    "speech_config.compute_energy": (True, "power"),
    "speech_config.use_natural_log": (False, "db"),
    "speech_config.log_base": ("10", "log10"),
    "speech_config.fft_overdrive": (False, 512),
    "speech_config.delta": (False, None),
    "speech_config.delta_delta": (False, None),
    "speech_config.pitch": (None, None),
    "speech_config.padding": (0, None),
    "speech_config.normalize_per_frame": (False, None),
    "speech_config.normalize_min_max": (False, None),
    "speech_config.use_librosa_like_stft": (False, None),
    "decoder_config.type": ("wordpiece", "wordpieces"),
    "decoder_config.vocabulary": (None, None),
    "decoder_config.target_vocab_size": (77, 77),
    "decoder_config.vocab_size": (77, 77),
    "decoder_config.max_subword_length": (7, 7),
    "decoder_config.max_token_length": (7, 7),
    "decoder_config.max_sentencepiece_length": (7, 7),
    "decoder_config.model_type": ("bpe", "bpe"),
    "decoder_config.reserved_tokens": (["<pad>", "<unk>", "<laughs>"], ["<laughs>"]),
    "decoder_config.normalization_form": ("NFKC", True),
    "decoder_config.beam_width": (3, 3),
    "decoder_config.norm_score": (False, False),
    "model_config.name": ("mine", None),
    "model_config.class_name": ("tensorflow_asr.models.transducer>ContextNet", None),
    "model_config.vocab_size": (77, 77),
    "model_config.kernel_regularizer": ({"class_name": "L2", "config": {"l2": "1e-4"}}, 1e-4),
    "model_config.encoder_alpha": (2, 2.0),
    "model_config.prediction_label_encode_mode": ("one_hot", "one_hot"),
    "model_config.prediction_embed_dim": (9, 9),
    "model_config.prediction_embed_dropout": (0.25, 0.25),
    "model_config.prediction_num_rnns": (2, 2),
    "model_config.prediction_rnn_units": (11, 11),
    "model_config.prediction_rnn_type": ("GRU", "gru"),
    "model_config.prediction_layer_norm": (False, False),
    "model_config.prediction_projection_units": (13, 13),
    "model_config.joint_dim": (15, 15),
    "model_config.joint_activation": ("relu", "relu"),
    "model_config.joint_mode": ("mul", "mul"),
    "model_config.postjoint_linear": (True, True),
    "learning_config.augmentations.after.time_masking.num_masks": (3, 3),
    "learning_config.augmentations.after.time_masking.mask_factor": (70, 70),
    "learning_config.augmentations.after.time_masking.p_upperbound": (0.1, 0.1),
    "learning_config.augmentations.after.time_masking.prob": (0.5, 0.5),
    "learning_config.augmentations.after.freq_masking.num_masks": (2, 2),
    "learning_config.augmentations.after.freq_masking.mask_factor": (9, 9),
    "learning_config.augmentations.after.freq_masking.prob": (0.5, 0.5),
    "learning_config.optimizer_config.class_name": ("Custom>Adam", None),
    "learning_config.optimizer_config.learning_rate.class_name": ("a.schedules>TransformerSchedule", None),
    "learning_config.optimizer_config.warmup_steps": (123, 123),
    "learning_config.optimizer_config.beta1": (0.8, [0.8, 0.999]),
    "learning_config.optimizer_config.beta_1": (0.8, [0.8, 0.999]),
    "learning_config.optimizer_config.beta2": (0.8, [0.9, 0.8]),
    "learning_config.optimizer_config.beta_2": (0.8, [0.9, 0.8]),
    "learning_config.optimizer_config.epsilon": ("1e-9", 1e-9),
    "learning_config.learning_rate_config.warmup_steps": (123, 123),
    "learning_config.learning_rate_config.max_lr": (0.001, 0.001),
    "learning_config.learning_rate_config.max_lr_numerator": (0.01, 0.01 / 8**0.5),
    "learning_config.learning_rate_config.dmodel": (320, 320),
    "learning_config.learning_rate_config.scale": (2, 2.0),
    "learning_config.apply_gwn_config.predict_net_step": (40, 40),
    "learning_config.apply_gwn_config.predict_net_stddev": (0.075, 0.075),
    "learning_config.running_config.batch_size": (5, 5),
    "learning_config.running_config.accumulation_steps": (4, 4),
    "learning_config.running_config.num_epochs": (6, 6),
    "learning_config.running_config.log_interval_steps": (7, 7),
    "learning_config.running_config.save_interval_steps": (8, 8),
    "learning_config.running_config.eval_interval_steps": (9, 9),
}


def nested(key, value):
    section, *path, last = key.split(".")
    node = {last: value}
    for name in reversed(path):
        node = {name: node}
    return {section: node}
