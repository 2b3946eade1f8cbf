"""Configurations in the shapes of TensorFlowASR's releases, from 2020 to v3.0: each has what it asks for."""

import re
import textwrap
import warnings

import numpy as np
import pytest
import torch
import yaml
from dialects import BLOCK

from asrlib.config.parse import load_config, parse_config
from asrlib.config.tensorflowasr_generations import GENERATIONS
from asrlib.errors import InputError
from asrlib.signal.features import log_mel
from asrlib.signal.mel import mel_filters

FEATURES = """
    sample_rate: 16000
    frame_ms: 25
    stride_ms: 10
    num_feature_bins: 40
    feature_type: log_mel_spectrogram
"""
NETWORK = """
    name: contextnet
    encoder_alpha: 0.5
    encoder_blocks:
      # C0
      - {nlayers: 1, kernel_size: 5, filters: 16, strides: 2, residual: False, activation: silu}
      - {nlayers: 2, kernel_size: 5, filters: 24, strides: 1, residual: True, activation: silu}
    prediction_embed_dim: 12
    prediction_num_rnns: 1
    prediction_rnn_units: 12
    prediction_rnn_type: lstm
    prediction_rnn_implementation: 1
    prediction_layer_norm: True
    prediction_projection_units: 0
    joint_dim: 12
"""
OLD_FEATURES = FEATURES + "    preemphasis: 0.97\n    normalize_signal: True\n    normalize_feature: True\n"
OLD_LABELS = """
decoder_config:
    vocabulary: null
    target_vocab_size: 30
    max_subword_length: 4
    blank_at_zero: True
    beam_width: 5
    norm_score: True
"""
MASKS = """
    time_masking:
      num_masks: 7
      mask_factor: 90
      p_upperbound: 0.05
    freq_masking:
      num_masks: 2
      mask_factor: 20
"""
OPTIMIZER_2021 = "optimizer_config: {warmup_steps: 400, beta1: 0.9, beta2: 0.98, epsilon: 1e-9}"
RUNNING_2021 = """
running_config:
  batch_size: 2
  accumulation_steps: 4
  num_epochs: 20
  outdir: /models/contextnet
  log_interval_steps: 300
"""


def within(head, text, by=2):
    """The text below a key."""
    return head + "\n" + textwrap.indent(textwrap.dedent(text).strip("\n"), by * " ") + "\n"


def old(learning, features="normalize_per_feature: False"):
    """A file of 2020 or 2021."""
    speech = within("speech_config:", textwrap.dedent(OLD_FEATURES) + features + "\n")
    return speech + OLD_LABELS + within("model_config:", NETWORK) + within("learning_config:", learning)


def masks(*path):
    """Masks below a path of keys, each indented by two more."""
    text = MASKS
    for key in reversed(path):
        text = within(f"{key}:", text)
    return text


OLD_FILES = {
    "2020": old(
        masks("augmentations", "after") + "dataset_config: {train_paths: [a.tsv]}\n" + OPTIMIZER_2021
    ),
    "2021": old(
        masks("train_dataset_config", "augmentation_config", "after")
        + "  use_tf: True\n  data_paths: [a.tsv]\n  shuffle: True\n"
        + OPTIMIZER_2021
        + RUNNING_2021
    ),
    "1.0": old(
        masks("train_dataset_config", "augmentation_config", "feature_augment")
        + "  use_tf: True\n  data_paths: [a.tsv]\n  stage: train\n"
        + OPTIMIZER_2021.replace("beta", "beta_")
        + RUNNING_2021,
        "normalize_per_frame: False",
    ),
    "1.0 with augmentations": old(
        masks("augmentations", "feature_augment")
        + "dataset_config: {train_paths: [a.tsv]}\n"
        + OPTIMIZER_2021
        + RUNNING_2021,
        "normalize_per_frame: False",
    ),
}


@pytest.mark.parametrize("name", OLD_FILES)
def test_a_file_of_2020_or_2021_has_its_masks_and_its_generation(name):
    config, warning = read(OLD_FILES[name])
    assert f"TensorFlowASR {name.split()[0]};" in warning and "unknown" not in warning.split(";", 1)[0]
    assert_masks(config)
    assert (config.features.preemphasis, config.features.normalize) == (0.97, "utterance")
    assert (config.features.pad_end, config.features.centered) == ("2021" in name, "1.0" in name)
    assert config.features.log_unit == "db" and config.decoding.max_symbols == 1
    assert {block.padding for block in config.encoder.blocks} == {"keras-same"}
    assert config.training.accumulate == (1 if name == "2020" else 4)
    assert config.training.warmup_steps == 400 and config.training.max_lr == 0.05 / 24**0.5


def assert_masks(config):
    found = config.augment
    assert (found.time_masks, found.time_width, found.time_fraction) == (7, 90, 0.05)
    assert (found.freq_masks, found.freq_width) == (2, 20)


def read(text, **options):
    with pytest.warns(UserWarning, match="^f.yml: read as a configuration of TensorFlowASR") as caught:
        config = parse_config(text, "f.yml", **options)
    assert len(caught) == 1 and "the key is unknown" not in str(caught[0].message)
    return config, str(caught[0].message)


def test_features_of_1_0_are_those_of_its_description():
    """Windows of 512 with a Hann window of 400 in their middle, on a signal mirrored by 256 at both ends."""
    signal = np.random.default_rng(0).uniform(-0.5, 0.5, 4321)
    signal[1500:2500] *= 1e-5
    scaled = signal / (np.abs(signal).max() + 1e-9)
    emphasized = np.append(scaled[0], scaled[1:] - 0.97 * scaled[:-1])
    padded = np.pad(emphasized, 256, mode="reflect")
    hann = np.pad(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400), 56)
    windows = np.stack([padded[n : n + 512] * hann for n in range(0, len(padded) - 511, 160)])
    mels = np.abs(np.fft.rfft(windows)) ** 2 @ mel_filters(16000, 512, 80, slopes="mel").double().numpy()
    decibels = 10 * np.log10(np.maximum(mels, 1e-10))
    decibels = np.maximum(decibels, decibels.max() - 80)
    expected = (decibels - decibels.mean()) / np.sqrt(decibels.var() + 1e-9)
    settings = GENERATIONS["1.0"].features | {"preemphasis": 0.97}
    ours = log_mel(torch.from_numpy(signal).float(), 16000, **settings)
    assert (decibels == decibels.min()).mean() > 0.1 and ours.shape == expected.shape
    torch.testing.assert_close(ours.double(), torch.from_numpy(expected), atol=1e-3, rtol=0)


# ---- 2022 and 2023: templates ------------------------------------------------------------------------------

SPEECH = within("speech_config:", FEATURES)
NEW_NETWORK = (
    NETWORK.replace("silu}", "silu, padding: causal}")
    + """
    prediction_label_encode_mode: embedding
    prediction_rnn_unroll: False
    prejoint_encoder_linear: True
    prejoint_prediction_linear: True
    postjoint_linear: False
    joint_activation: tanh
    joint_mode: add
"""
)
NEW_MASKS = MASKS.replace("num_masks", "prob: 0.5\n      num_masks")
TEMPLATE_2022 = (
    '{% set repodir = "." %}\n{% set datadir = "/data" %}\n'
    + within("model_config:", NEW_NETWORK)
    + SPEECH
    + """
decoder_config:
  type: wordpiece
  blank_index: 0
  unknown_token: "<unk>"
  vocabulary: {{repodir}}/vocabularies/train_30.tokens
  vocab_size: 30
  max_token_length: 50
  reserved_tokens: ["<pad>", "<unk>"]
  corpus_files:
    - {{datadir}}/a.tsv

learning_config:
  train_dataset_config:
    use_tf: True
    augmentation_config:
      feature_augment:
        gauss_noise: {prob: 0.1, stddev: 0.075}
"""
    + textwrap.indent(textwrap.dedent(NEW_MASKS).strip("\n"), 8 * " ")
    + """
    data_paths:
      - {{datadir}}/a.tsv
  optimizer_config: {beta_1: 0.9, beta_2: 0.98, epsilon: 1e-9}
  learning_rate_config: {warmup_steps: 100, max_lr_numerator: 0.05}
  apply_gwn_config:
    predict_net_step: 20
    predict_net_stddev: 0.075
    joint_net_step: 20
    joint_net_stddev: 0.075
  running_config: {batch_size: 2, num_epochs: 3}
"""
)


def test_a_template_of_2022_has_masks_with_a_probability_and_noise():
    config, warning = read(TEMPLATE_2022)
    assert_masks(config)
    assert (config.augment.time_probability, config.augment.freq_probability) == (0.5, 0.5)
    assert "learning_config.train_dataset_config.augmentation_config.feature_augment.gauss_noise" in warning
    assert (config.training.weight_noise, config.training.weight_noise_start) == (0.075, 20)
    assert config.training.max_lr == 0.05 / 24**0.5
    assert "TensorFlowASR 2023;" in warning and config.features.spectrum == "magnitude"


LABELS = """{% set vocabsize = 30 %}
{% set vocabprefix = repodir ~ "/parts/train_bpe_" ~ vocabsize %}
{% set metadata = vocabprefix ~ ".metadata.json" %}

decoder_config:
  type: sentencepiece
  blank_index: 0
  unknown_index: 0
  pad_token: "<pad>"
  pad_index: -1
  bos_index: -1
  eos_index: -1
  beam_width: 4
  lm_alpha: 0.5
  lm_type: lodr
  model_type: bpe
  vocabulary: {{vocabprefix}}.model
  vocab_size: {{vocabsize}}
  reserved_tokens: null
  normalization_form: NFKC
  max_sentencepiece_length: 12
  character_coverage: 1.0
  keep_whitespace: False
"""
DATA = """data_config:
  train_dataset_config:
    enabled: True
    data_paths:
      - {{datadir}}/a.tsv
    tfrecords_dir: {{datadir}}/tfrecords
    stage: train
    metadata: {{metadata}}
    indefinite: True
  test_dataset_configs:
    - name: test-clean
      enabled: True
      data_paths: [{{datadir}}/b.tsv]
  lm_dataset_config:
    external_dataset_config: {enabled: True}
"""
FILES = {
    "parts/sp.yml.j2": LABELS,
    "parts/data.yml.j2": DATA,
    "parts/sp_and_data.yml.j2": LABELS
    + '\n{% import repodir ~ "/parts/data.yml.j2" as data_config with context %}\n{{data_config}}',
}
ADAM = """
optimizer_config:
  class_name: Custom>Adam
  config:
    learning_rate:
      class_name: tensorflow_asr.optimizers.schedules>TransformerSchedule
      config:
        dmodel: 320
        warmup_steps: 150
        max_lr: null
        min_lr: 1e-6
        scale: 2.0
    beta_1: 0.9
    beta_2: 0.98
    epsilon: 1e-9
    weight_decay: 1e-6
gwn_config:
  predict_net_step: 20
  predict_net_stddev: 0.075
gradn_config: null
"""
RUNNING = """
running_config:
  batch_size: 4
  ga_steps: 8
  num_epochs: 300
  checkpoint: {filepath: "{{modeldir}}/{epoch:02d}.h5", save_freq: epoch}
  backup_and_restore: {backup_dir: "{{modeldir}}/states"}
"""
FLAT_RUNNING = """
batch_size: 4
ga_steps: 8
num_epochs: 300
callbacks:
  - class_name: tensorflow_asr.callbacks>TensorBoard
    config: {log_dir: "{{modeldir}}/tensorboard"}
"""
REGULARIZERS = """
    blank: 0
    vocab_size: {{decoder_config.vocabsize}}
    kernel_regularizer:
      class_name: l2
      config:
        l2: 1e-5
    bias_regularizer: null
"""


def nested(
    part, running, masks, speech_inside=True, class_name="tensorflow_asr.models.transducer>ContextNet"
):
    """A template since June 2023: other files are imported, and the model is a class and its arguments."""
    augment = within("augmentation_config:", within("feature_augment:", masks)) if masks else ""
    speech = within(
        "speech_config:", textwrap.dedent(FEATURES).strip("\n") + "\n" + (augment if speech_inside else "")
    )
    inside = textwrap.dedent(NEW_NETWORK).strip("\n") + "\n" + textwrap.dedent(REGULARIZERS).strip("\n")
    learning = ADAM + running
    if not speech_inside:
        learning += within("train_dataset_config:", augment + "metadata: {{decoder_config.metadata}}")
    return (
        f'{{% import "parts/{part}.yml.j2" as decoder_config with context %}}\n{{{{decoder_config}}}}\n'
        + ("" if speech_inside else speech)
        + within(
            "model_config:",
            f"class_name: {class_name}\n"
            + within("config:", inside + "\n" + (speech if speech_inside else "")),
        )
        + within("learning_config:", learning)
    )


WHOLE = MASKS.replace("90", "-1 # whole utterance").replace("p_upper", "mask_value: 0\n      p_upper")
NESTED = {
    "June 2023": nested("sp", RUNNING, NEW_MASKS, speech_inside=False),
    "v2.0": nested("sp", RUNNING, MASKS.replace("num_masks", "prob: 1.0\n      num_masks")),
    "v2.0, data only": nested("sp", RUNNING, None),
    "v3.0": nested(
        "sp_and_data",
        FLAT_RUNNING,
        WHOLE,
        class_name="tensorflow_asr.models.transducer.contextnet>ContextNet",
    ),
}


@pytest.fixture
def repository(tmp_path):
    """The files that templates import, and a function that puts a template among them and reads it."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    folder = tmp_path / "examples" / "models" / "contextnet"
    folder.mkdir(parents=True)

    def load(text):
        (folder / "small.yml.j2").write_text(text)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            config = load_config(folder / "small.yml.j2")
        (warning,) = caught
        assert "the key is unknown" not in str(warning.message)
        return config, str(warning.message)

    return load


@pytest.mark.parametrize("name", NESTED)
def test_a_template_that_imports_others_has_what_it_asks_for(name, repository):
    config, warning = repository(NESTED[name])
    generation = "2023" if name == "June 2023" else "2.1"
    assert f"TensorFlowASR {generation};" in warning
    assert (config.features.spectrum, config.features.pad_end) == {
        "2023": ("magnitude", False),
        "2.1": ("power", True),
    }[generation]
    augment, training = config.augment, config.training
    if name == "v2.0, data only":
        assert (augment.time_masks, augment.freq_masks) == (0, 0)
    elif name == "v3.0":
        assert (augment.time_masks, augment.time_width, augment.time_fraction) == (7, None, 0.05)
        assert (augment.freq_masks, augment.freq_width) == (2, 20) and "mask_value" not in warning
    else:
        assert_masks(config)
        assert augment.time_probability == augment.freq_probability == (0.5 if name == "June 2023" else 1)
    assert (config.tokenizer.kind, config.tokenizer.vocabulary) == ("wordpieces", 30)
    assert (config.tokenizer.model_type, config.tokenizer.max_piece_length) == ("bpe", 12)
    assert (training.schedule_width, training.schedule_factor, training.warmup_steps) == (320, 2.0, 150)
    assert training.max_lr == float("inf") and training.betas == [0.9, 0.98] and training.l2 == 1e-5
    assert (training.batch_utterances, training.accumulate, training.epochs) == (4, 8, 300)
    assert (training.weight_noise, training.weight_noise_start) == (0.075, 20)
    assert {block.padding for block in config.encoder.blocks} == {"causal"}
    assert re.search(r"min_lr\W.*asrlib's training is without it", warning) and len(warning) < 1300


def test_a_flattened_file_is_read_as_its_template(repository):
    config, _ = repository(NESTED["v3.0"])
    flat = NESTED["v3.0"].split("\n", 2)[2].replace("{{decoder_config.vocabsize}}", "30")
    labels = LABELS.split("\n", 3)[3].replace("{{vocabprefix}}", "/x").replace("{{vocabsize}}", "30")
    text = re.sub(r"{{\w+}}", "/x", labels + flat + DATA)
    assert "{{" not in text and "{%" not in text
    assert read(text)[0] == config


def test_two_places_that_contradict_each_other_are_an_error(repository):
    text = NESTED["v2.0"].replace("{{decoder_config.vocabsize}}", "31")
    message = (
        "key model_config.config.vocab_size is 31, but key decoder_config.vocab_size is 30; both set token"
    )
    with pytest.raises(InputError, match=message):
        repository(text)
    text = NESTED["v3.0"].replace("batch_size: 4", "batch_size: 4\n  running_config: {batch_size: 5}")
    message = "key learning_config.running_config.batch_size is 5, but key learning_config.batch_size is 4"
    with pytest.raises(InputError, match=message):
        repository(text)


def test_a_generation_can_be_chosen():
    text = yaml.safe_dump({"model_config": {"encoder_blocks": [BLOCK]}})
    config, warning = read(text, generation="2.1")
    assert "TensorFlowASR 2.1" in warning and config.features.pad_end and config.features.fft_size == 400
    with pytest.raises(InputError, match="no generation '2.2'; use one of 2020, 2021, 1.0, 2023, 2.1"):
        parse_config(text, "f.yml", generation="2.2")


def test_a_mask_that_is_only_named_is_tensorflowasrs():
    network = {"model_config": {"encoder_blocks": [BLOCK]}}
    for masks in ({"time_masking": None}, {"time_masking": {}}):
        text = yaml.safe_dump(network | {"learning_config": {"augmentations": {"feature_augment": masks}}})
        augment = read(text)[0].augment
        assert (augment.time_masks, augment.time_width, augment.time_fraction) == (1, 100, 1.0)
        assert augment.freq_masks == 0


@pytest.mark.parametrize("kind", ["learning_rate: 0.001", "class_name: AdamW", "kernel_regularizer: l1"])
def test_training_that_is_not_built_is_named(kind):
    key, value = kind.split(": ")
    content = {"model_config": {"encoder_blocks": [BLOCK]}}
    if key == "kernel_regularizer":
        content["model_config"][key] = value
    else:
        content["learning_config"] = {"optimizer_config": {key: value}}
    assert f"{key} (" in read(yaml.safe_dump(content))[1]


# ---- what is no configuration of a ContextNet --------------------------------------------------------------


@pytest.mark.parametrize(
    "text, message",
    [
        (LABELS, "key model_config.encoder_blocks is missing; only ContextNet transducers are supported"),
        (DATA, "key model_config.encoder_blocks is missing; only ContextNet"),
        (SPEECH, "key model_config.encoder_blocks is missing; only ContextNet"),
        ("model_config: {name: conformer, dmodel: 144}", "key model_config.encoder_blocks is missing"),
        (
            "model_config: {class_name: a.transducer>Conformer, config: {name: conformer}}",
            "key model_config.class_name is 'a.transducer>Conformer'; only ContextNet transducers are supp",
        ),
        ("learning_config: null", "key model_config.encoder_blocks is missing"),
    ],
)
def test_a_file_of_another_kind_is_one_line_that_says_so(text, message):
    text = re.sub(r"{%.*?%}|{{\w+}}", "", text)
    with pytest.raises(InputError, match=f"^f.yml: {message}") as error:
        parse_config(text, "f.yml")
    assert "\n" not in str(error.value)
