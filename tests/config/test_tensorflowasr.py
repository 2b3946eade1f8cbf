"""TensorFlowASR's two files, unchanged: no key is overlooked, and every count is that of their summary."""

import json
import math
import re
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
import yaml

from asrlib.config.parse import load_config, override, parse_config
from asrlib.config.schema import Config
from asrlib.config.template import render
from asrlib.config.tensorflowasr import BLOCK_KEYS, BLOCKS, HONOURED, NO_EFFECT, OLD, SECTIONS
from asrlib.data.corpora import load_corpus
from asrlib.errors import InputError
from asrlib.models.build import build_model
from asrlib.models.parameters import count_parameters
from asrlib.recognizer import Recognizer
from asrlib.text.tokenizers import Tokenizer, train_tokenizer
from asrlib.training.loop import train
from asrlib.training.schedules import learning_rate

HERE = Path(__file__).parent
FILES = {"2021": HERE / "tensorflowasr-2021.yml", "2023": HERE / "tensorflowasr-2023.j2"}
DOCUMENT = (HERE.parents[1] / "docs" / "configuration.md").read_text(encoding="utf-8")
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
    with pytest.warns(UserWarning, match="keys without effect") as caught:
        config = load_config(FILES[year])
    assert len(caught) == 1  # one warning, whatever there is to say
    return config, str(caught[0].message)


@pytest.fixture(scope="module")
def loaded():
    return {year: load(year) for year in FILES}


@pytest.fixture(scope="module")
def small():
    return read()


def read(**sections):
    """A small file of theirs; the warning is nobody's concern here."""
    content = {"model_config": {"encoder_blocks": [BLOCK]}}
    for section, values in sections.items():
        content[section] = content.get(section, {}) | values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return parse_config(yaml.safe_dump(content), "f.yml")


# ---- every key ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("year", FILES)
def test_every_key_of_their_files_is_known(year):
    found = keys(plain(year))
    assert {"2021": 51, "2023": 88}[year] == len(found)
    assert found <= set(HONOURED) | set(NO_EFFECT)


@pytest.mark.parametrize("year", FILES)
def test_the_one_warning_names_every_key_without_effect_and_no_other(year, loaded):
    _, warning = loaded[year]
    found = keys(plain(year))
    named = {key for key in found if re.search(rf"(?<![\w.]){re.escape(key)}(?![\w.])", warning)}
    files = {"decoder_config.vocabulary"} if year == "2023" else set()  # honoured where it exists
    assert named == (found & set(NO_EFFECT)) | files
    assert all(NO_EFFECT[key] in warning for key in found & set(NO_EFFECT))


def test_the_documents_table_says_what_the_code_does():
    rows = re.findall(r"^\| `(.+?)` \| (.+?) \| (.+?) \| ?(.*?) ?\|$", DOCUMENT, re.MULTILINE)
    assert {row[0] for row in rows} == set(HONOURED) | set(NO_EFFECT) and len(rows) == len(
        HONOURED | NO_EFFECT
    )
    both = {year: keys(plain(year)) for year in FILES}
    for key, files, becomes, note in rows:
        years = [year for year in FILES if key in both[year]]
        assert files == ("both" if len(years) == 2 else years[0] if years else "–"), key
        assert becomes == ("no effect" if key in NO_EFFECT else f"`{HONOURED[key]}`"), key
        assert key not in NO_EFFECT or note == NO_EFFECT[key], key


def test_the_document_says_what_holds_where_a_file_says_nothing():
    (text,) = re.findall(r"```yaml\n(features: .*?)```", DOCUMENT, re.DOTALL)
    config = read().to_dict()
    usual = override(Config(), [])
    for section, values in yaml.safe_load(text).items():
        for key, value in values.items():
            value = float(value) if isinstance(value, str) and key == "eps" else value
            assert config[section].pop(key) == value, f"{section}.{key}"
    assert config["training"].pop("schedule_width") == 8 and config["training"].pop("max_lr") == math.inf
    assert (
        config["encoder"].pop("variant") == "tensorflowasr" and config["encoder"].pop("padding") == "causal"
    )
    assert config["encoder"].pop("blocks") is not None and config["tokenizer"].pop("kind") == "characters"
    left = {f"{s}.{k}": v for s, part in config.items() if isinstance(part, dict) for k, v in part.items()}
    for name, value in left.items():
        section, key = name.split(".")
        assert value == getattr(getattr(usual, section), key), name


# every key that has a meaning: a value for it, and what then stands where in the kit's configuration
EFFECTS = {
    "speech_config.sample_rate": (8000, 8000),
    "speech_config.frame_ms": (20, 20.0),
    "speech_config.stride_ms": (5, 5.0),
    "speech_config.num_feature_bins": (40, 40),
    "speech_config.preemphasis": (0.9, 0.9),
    "speech_config.normalize_signal": (False, False),
    "speech_config.feature_type": ("log_mel_spectrogram", None),
    "speech_config.normalize_feature": (False, "none"),
    "speech_config.normalize_per_feature": (True, "bin"),
    "decoder_config.type": ("wordpiece", "wordpieces"),
    "decoder_config.vocabulary": (None, None),
    "decoder_config.target_vocab_size": (77, 77),
    "decoder_config.vocab_size": (77, 77),
    "decoder_config.max_subword_length": (7, 7),
    "decoder_config.max_token_length": (7, 7),
    "decoder_config.reserved_tokens": (["<pad>", "<unk>", "<laughs>"], ["<laughs>"]),
    "decoder_config.normalization_form": ("NFKC", True),
    "decoder_config.beam_width": (3, 3),
    "decoder_config.norm_score": (False, False),
    "model_config.name": ("mine", None),
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
    "learning_config.augmentations.after.freq_masking.num_masks": (2, 2),
    "learning_config.augmentations.after.freq_masking.mask_factor": (9, 9),
    "learning_config.optimizer_config.warmup_steps": (123, 123),
    "learning_config.optimizer_config.beta1": (0.8, [0.8, 0.999]),
    "learning_config.optimizer_config.beta_1": (0.8, [0.8, 0.999]),
    "learning_config.optimizer_config.beta2": (0.8, [0.9, 0.8]),
    "learning_config.optimizer_config.beta_2": (0.8, [0.9, 0.8]),
    "learning_config.optimizer_config.epsilon": ("1e-9", 1e-9),
    "learning_config.learning_rate_config.warmup_steps": (123, 123),
    "learning_config.learning_rate_config.max_lr": (0.001, 0.001),
    "learning_config.running_config.batch_size": (5, 5),
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


@pytest.mark.parametrize("key", EFFECTS)
def test_every_key_that_has_a_meaning_changes_what_the_table_says(key, small):
    value, expected = EFFECTS[key]
    config, ours = read(**nested(key, value)), HONOURED[key].split("[")[0]
    sections = [(name, vars(part)) for name, part in vars(config).items() if name != "name"]
    changed = {
        f"{section}.{name}"
        for section, part in sections
        for name in part
        if part[name] != getattr(getattr(small, section), name)
    }
    follow = {"tokenizer.kind"} if "vocab_size" in key else set()  # a size means word pieces
    if any(f"{key}.".startswith(f"{old}.") for old in OLD):  # the code of 2021
        follow |= {"encoder.variant", "encoder.padding", "encoder.blocks", "training.max_lr"}
    if expected is None:
        assert changed == set() and (key != "model_config.name" or config.name == "mine")
    else:
        section, name = ours.split(".")
        assert getattr(getattr(config, section), name) == expected
        assert changed - follow == ({ours} if expected != getattr(getattr(small, section), name) else set())


def test_the_linear_layers_before_the_joint_can_be_left_out():
    config = read(
        model_config={
            "prejoint_encoder_linear": False,
            "prejoint_prediction_linear": False,
            "prediction_rnn_units": 4,
            "prediction_projection_units": 4,
        }
    )
    assert (config.joint.encoder_linear, config.joint.prediction_linear) == (False, False)
    assert set(EFFECTS) | {f"{BLOCKS}[].{key}" for key in BLOCK_KEYS} | {
        "model_config.prejoint_encoder_linear",
        "model_config.prejoint_prediction_linear",
    } == set(HONOURED)  # so that no key is forgotten here
    assert count_parameters(build_model(config, 9).joint)[0] == 4 * 9 + 9


def test_blocks_are_read_one_by_one():
    rows = [BLOCK, {"filters": 16, "padding": "same", "activation": "SiLU"}]
    first, second = read(model_config={"encoder_blocks": rows}).encoder.blocks
    assert (first.layers, first.kernel, first.filters, first.stride) == (1, 3, 8, 2)
    assert (first.residual, first.activation, first.padding, first.se) == (False, "relu", "causal", "global")
    assert (second.layers, second.residual, second.activation, second.padding) == (5, True, "silu", "same")


# ---- the two files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", OLD)
def test_a_file_with_a_key_of_2021_is_of_2021(key):
    value = {"learning_config.augmentations": {"after": {"freq_masking": {"num_masks": 1}}}}
    value |= {"learning_config.dataset_config": {"train_paths": "..."}}
    config = read(**nested(key, value.get(key, EFFECTS.get(key, (True,))[0])))
    assert (config.encoder.variant, config.encoder.blocks[0].padding) == ("tensorflowasr-2021", "same")
    assert config.training.max_lr == 0.05 / 8**0.5


def test_any_other_file_is_of_2023(small):
    assert (small.encoder.variant, small.encoder.blocks[0].padding) == ("tensorflowasr", "causal")
    assert small.training.max_lr == math.inf
    assert learning_rate(small.training, 9_999, 10**6, 8) == pytest.approx(1 / (8 * 10_000) ** 0.5)


@pytest.mark.parametrize("year", FILES)
def test_what_ships_under_their_names_is_what_their_files_say(year, loaded):
    config, _ = loaded[year]
    assert load_config(f"tensorflowasr-{year}") == replace(config, name=f"tensorflowasr-{year}")


@pytest.mark.parametrize("year", FILES)
def test_their_blocks_are_built_as_written(year, loaded):
    rows = plain(year)["model_config"]["encoder_blocks"]
    with torch.device("meta"):
        encoder = build_model(loaded[year][0]).encoder
    assert len(rows) == 23 == len(encoder.blocks) and encoder.reduction == 8
    for row, block in zip(rows, encoder.blocks, strict=True):
        convs = [layer.conv for layer in block.layers]
        assert len(convs) == row["nlayers"] + 1  # one more inside their SE module
        assert {conv.depthwise.shape[1] for conv in convs} == {row["kernel_size"]}
        assert [conv.stride for conv in convs[-2:]] == [row["strides"], 1]
        assert block.channels == int(row["filters"] * 0.5) and (block.shortcut is not None) == row["residual"]
        assert {conv.padding for conv in convs} == {row.get("padding", "same")}
        assert block.activation is torch.nn.functional.silu


def lstm(inputs, units):
    return 4 * units * (inputs + units + 1)


def transducer_counts(vocabulary, embed, units, encoder, joint):
    """(prediction, joint) as Keras counts them, on paper."""
    prediction = vocabulary * embed + lstm(embed, units) + 2 * units
    return prediction, (encoder + 1) * joint + units * joint + (joint + 1) * vocabulary


def sep_conv(cin, cout, k=5):
    return cin * k + cin * cout + cout


def encoder_counts(rows, alpha, mels=80):
    """(trainable, non-trainable) of their blocks, on paper."""
    cin, trainable, running = mels, 0, 0
    for row in rows:
        cout = int(row["filters"] * alpha)
        norms = row["nlayers"] + 1 + row["residual"]
        trainable += sep_conv(cin, cout) + row["nlayers"] * sep_conv(cout, cout) + 2 * cout * norms
        trainable += 2 * cout * (cout // 8) + cout // 8 + cout
        trainable += sep_conv(cin, cout) if row["residual"] else 0
        running += 2 * cout * norms
        cin = cout
    return trainable, running


def test_the_file_of_2023_has_the_counts_of_its_summary(loaded):
    with torch.device("meta"):
        model = build_model(loaded["2023"][0])
    assert count_parameters(model.encoder) == (6_829_256, 59_136) and 6_829_256 + 59_136 == 6_888_392
    assert count_parameters(model.prediction) == (3_002_368, 0)
    assert count_parameters(model.joint) == (939_496, 0)
    assert count_parameters(model) == (10_771_120, 59_136)  # and the summary's two loss counters


@pytest.mark.parametrize(
    "year, sizes", [("2021", (1024, 640, 640, 320, 640)), ("2023", (1000, 640, 512, 320, 512))]
)
def test_both_files_have_the_counts_of_the_formulas(year, sizes, loaded):
    with torch.device("meta"):
        model = build_model(loaded[year][0])
    assert count_parameters(model.encoder) == encoder_counts(
        plain(year)["model_config"]["encoder_blocks"], 0.5
    )
    counts = transducer_counts(*sizes)
    assert (count_parameters(model.prediction), count_parameters(model.joint)) == (
        (counts[0], 0),
        (counts[1], 0),
    )


def test_the_counts_of_2021_in_figures(loaded):
    with torch.device("meta"):
        model = build_model(loaded["2021"][0])
    assert count_parameters(model.encoder) == (6_829_256, 59_136)
    assert (
        count_parameters(model.prediction)[0] == 1024 * 640 + 4 * 640 * (640 + 640 + 1) + 2 * 640 == 3_936_000
    )
    assert count_parameters(model.joint)[0] == 321 * 640 + 640 * 640 + 641 * 1024 == 1_271_424


@pytest.mark.parametrize("alpha, total", [(1, 31_040_488), (2, 110_936_152)])
def test_the_file_of_2023_at_other_widths(alpha, total, loaded):
    with torch.device("meta"):
        model = build_model(override(loaded["2023"][0], [f"encoder.alpha={alpha}"]))
    assert sum(count_parameters(model)) == total


@pytest.mark.parametrize("year, warmup, cap", [("2021", 10_000, 0.05 / 640**0.5), ("2023", 15_000, 0.0025)])
def test_their_schedules_never_reach_their_caps(year, warmup, cap, loaded):
    config = loaded[year][0].training
    rates = [learning_rate(config, step, 10**6, 512) for step in range(0, 3 * warmup)]
    assert config.max_lr == pytest.approx(cap)
    assert max(rates) == rates[warmup - 1] == pytest.approx(1 / (640 * warmup) ** 0.5)
    assert round(max(rates) * 1e4, 2) == {"2021": 3.95, "2023": 3.23}[year] and max(rates) < cap / 4


def test_only_the_file_of_2021_augments(loaded):
    before, after = loaded["2021"][0].augment, loaded["2023"][0].augment
    assert (before.time_masks, before.time_width, before.time_fraction) == (10, 100, 0.2)
    assert (before.freq_masks, before.freq_width) == (1, 27)
    assert (after.time_masks, after.freq_masks, after.speed, after.noise_probability) == (0, 0, None, 0.0)


def test_a_loaded_file_can_be_made_to_stream(loaded):
    config = override(loaded["2023"][0], ["encoder.se=causal", "features.mels=8", "encoder.alpha=0.0625"])
    encoder = build_model(config, 5).encoder
    assert {block.se.context for block in encoder.blocks} == {"causal"}
    assert {layer.conv.padding for block in encoder.blocks for layer in block.layers} == {"causal"}


# ---- tokenizers --------------------------------------------------------------------------------------------


def test_a_vocabulary_file_is_read_where_there_is_one(tmp_path):
    Tokenizer("characters", []).save(tmp_path)
    (tmp_path / "english.txt").write_text("# letters\na\nb\n \n")
    config = read(decoder_config={"vocabulary": str(tmp_path / "english.txt")})
    assert (config.tokenizer.kind, config.tokenizer.vocabulary) == ("characters", 4)
    assert config.tokenizer.file == str(tmp_path / "english.txt")
    train_tokenizer("wordpieces", ["a bad cab", "a cab", "bad"], 8).save(tmp_path)
    model = str(tmp_path / "tokenizer.model")
    config = read(decoder_config={"type": "wordpiece", "vocab_size": 8, "vocabulary": model})
    assert (config.tokenizer.kind, config.tokenizer.vocabulary, config.tokenizer.file) == (
        "wordpieces",
        8,
        model,
    )


@pytest.mark.parametrize(
    "values, reason",
    [
        ({"vocabulary": "/nowhere/a.tokens"}, "there is no file /nowhere/a.tokens: the tokenizer is trained"),
        ({"vocabulary": __file__, "vocab_size": 9}, "read from sentencepiece models, .model, only"),
        ({"normalization_form": "NFD"}, "text is always brought into the form NFKC"),
        ({"colour": "blue"}, "it is not known here"),
        ({"lm_config": {"model_path": "x", "alpha": 2}}, "a language model is given when decoding"),
    ],
)
def test_what_cannot_be_used_is_named_with_the_reason(values, reason):
    content = {"model_config": {"encoder_blocks": [BLOCK]}, "decoder_config": values}
    with pytest.warns(UserWarning) as caught:
        config = parse_config(yaml.safe_dump(content), "f.yml")
    message = str(caught[0].message)
    assert (
        message.startswith("f.yml: keys without effect: ")
        and f"decoder_config.{next(iter(values))}" in message
    )
    assert reason in message and len(caught) == 1 and config.tokenizer.file is None


# ---- training ----------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:f.yml. keys without effect")
def test_one_of_their_files_trains_and_transcribes(tiny_corpus, tmp_path):
    """A transducer with everything that is unusual, for three steps of four utterances."""
    text = """
    speech_config: {sample_rate: 8000, num_feature_bins: 20}
    decoder_config: {type: characters}
    model_config:
      encoder_alpha: 1
      encoder_blocks:
        - {filters: 16, nlayers: 1, strides: 4, residual: False}
        - {filters: 16, nlayers: 1, strides: 2}
      prediction_label_encode_mode: one_hot
      prediction_num_rnns: 2
      prediction_rnn_units: 8
      prediction_rnn_type: gru
      prediction_projection_units: 6
      joint_dim: 12
      joint_mode: mul
      postjoint_linear: True
    learning_config:
      optimizer_config: {beta1: 0.9, beta2: 0.98, epsilon: 1e-9, warmup_steps: 10}
      running_config: {batch_size: 4, num_epochs: 1, outdir: /nowhere}
    """
    cuts = load_corpus(tiny_corpus, "train").subset(first=12)
    with tiny.one_thread():
        recognizer = train(parse_config(text, "f.yml"), cuts, tmp_path / "out", show_progress=False)
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["step"] == 3
    assert recognizer.tokenizer.kind == "characters" and recognizer.config.training.clip_norm == math.inf
    assert isinstance(Recognizer.load(tmp_path / "out").transcribe(tiny.tones("low"), tiny.RATE).text, str)


# ---- errors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("speech_config.sample_rate", "fast", "key speech_config.sample_rate is 'fast'; expected int"),
        ("speech_config.feature_type", "mfcc", "key speech_config.feature_type is 'mfcc'; only log_mel"),
        ("speech_config.normalize_feature", 1, "key speech_config.normalize_feature is 1; expected bool"),
        ("decoder_config.type", "morse", "key decoder_config.type is 'morse'; use one of wordpiece, sent"),
        ("decoder_config.vocab_size", -1, "key decoder_config.vocab_size is -1; it must be positive"),
        ("decoder_config.reserved_tokens", 3, "key decoder_config.reserved_tokens is 3; expected list"),
        ("decoder_config.beam_width", -2, "key decoder_config.beam_width is -2; 0 is greedy search"),
        ("model_config.encoder_alpha", -0.5, "key model_config.encoder_alpha is -0.5; it must be positive"),
        ("model_config.encoder_blocks", 5, "key model_config.encoder_blocks is '5'; expected a list"),
        ("model_config.encoder_blocks", [], "key model_config.encoder_blocks is missing: only ContextNet"),
        ("model_config.encoder_blocks", [{}], r"key model_config.encoder_blocks\[0\].filters is missing"),
        ("model_config.prediction_rnn_type", "rnn", "key model_config.prediction_rnn_type is 'rnn'; use one"),
        ("model_config.prediction_rnn_units", -1, "key model_config.prediction_rnn_units is -1; it must be"),
        ("model_config.joint_activation", "gelu", "key model_config.joint_activation is 'gelu'; use one of"),
        ("model_config.joint_mode", "concat", "key model_config.joint_mode is 'concat'; use one of add, mul"),
        ("model_config.prejoint_encoder_linear", False, "joint: the encoder's side is 4 wide and the"),
        (
            "learning_config.optimizer_config.beta_2",
            "x",
            r"key learning_config.optimizer_config.beta_2 is 'x'",
        ),
        ("learning_config.optimizer_config.beta_2", 2, r"key learning_config.optimizer_config.beta_2 is \["),
        (
            "learning_config.running_config.batch_size",
            0,
            "key learning_config.running_config.batch_size is 0",
        ),
        (
            "learning_config.running_config.num_epochs",
            None,
            "key learning_config.running_config.num_epochs is None",
        ),
        ("speech_config", 5, "key speech_config is 5; expected a section"),
        (
            "learning_config.running_config",
            [1],
            r"key learning_config.running_config is \[1\]; expected a sec",
        ),
    ],
)
def test_a_wrong_value_is_named_with_the_files_own_key(key, value, message):
    sections = nested(key, value) if "." in key else {}
    content = {"model_config": {"encoder_blocks": [BLOCK]}}
    for section, values in sections.items():
        content[section] = content.get(section, {}) | values
    if "." not in key:
        content[key] = value
    with pytest.raises(InputError, match=f"^f.yml: {message}") as error:
        parse_config(yaml.safe_dump(content), "f.yml")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("filters", -256, "is -256; it must be positive"),
        ("strides", 0, "is 0; it must be positive"),
        ("kernel_size", "wide", "is 'wide'; expected int"),
        ("activation", "gelu", "is 'gelu'; use one of swish, silu"),
        ("padding", "valid", "is 'valid'; use one of same, causal"),
        ("residual", "yes", "is 'yes'; expected bool"),
    ],
)
def test_a_wrong_value_of_a_block_is_named_with_its_number(key, value, message):
    content = {"model_config": {"encoder_blocks": [BLOCK, BLOCK | {key: value}]}}
    where = f"f.yml: key model_config.encoder_blocks[1].{key}"
    with pytest.raises(InputError, match=f"^{re.escape(where)} {message}"):
        parse_config(yaml.safe_dump(content), "f.yml")


def test_a_wrong_value_of_all_blocks_is_named_too():
    text = FILES["2023"].read_text().replace("activation: silu", "activation: gelu")
    with pytest.warns(UserWarning), pytest.raises(InputError) as error:
        parse_config(text, "f.j2")
    assert "f.j2: key model_config.encoder_blocks[].activation is 'gelu'" in str(error.value)


def test_their_template_may_not_reach_for_attributes():
    text = FILES["2023"].read_text().replace("{{datadir}}", "{{ datadir.__class__ }}")
    with pytest.raises(
        InputError, match="^f.j2, line [0-9]+: the template reaches for the attribute '__class__'"
    ):
        parse_config(text, "f.j2")


def test_the_kits_own_form_may_be_a_template(tmp_path):
    path = tmp_path / "mine.yml.j2"
    path.write_text("{% set width = 64 %}\nname: mine\nencoder: {blocks: [{filters: {{ 2 * width }}}]}\n")
    config = load_config(path)
    assert (config.name, config.encoder.blocks[0].filters) == ("mine", 128)


def test_sections_tell_whose_file_it_is():
    assert SECTIONS == ("speech_config", "decoder_config", "model_config", "learning_config")
    with pytest.raises(InputError, match="f.yml: key model_config.encoder_blocks is missing"):
        parse_config("speech_config: {sample_rate: 16000}", "f.yml")
