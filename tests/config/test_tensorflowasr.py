"""Files in TensorFlowASR's form: blocks, tokenizers, training, and what is wrong with its own key."""

import contextlib
import json
import math
import re
import warnings

import pytest
import tiny
import yaml
from dialects import BLOCK, FILES, nested, read

from asrlib.config.parse import load_config, parse_config
from asrlib.config.tensorflowasr import SECTIONS
from asrlib.config.tensorflowasr_keys import HONORED, MASKS
from asrlib.config.tensorflowasr_places import PLACES
from asrlib.data.corpora import load_corpus
from asrlib.errors import InputError
from asrlib.recognizer import Recognizer
from asrlib.text.tokenizers import Tokenizer, train_tokenizer
from asrlib.training.loop import train


def test_blocks_are_read_one_by_one():
    rows = [BLOCK, {"filters": 16, "padding": "same", "activation": "SiLU"}]
    first, second = read(model_config={"encoder_blocks": rows}).encoder.blocks
    assert (first.layers, first.kernel, first.filters, first.stride) == (1, 3, 8, 2)
    assert (first.residual, first.activation, first.padding, first.se) == (False, "relu", "causal", "global")
    assert (second.layers, second.residual, second.activation) == (5, True, "silu")
    assert second.padding == "keras-same"  # that is what Keras calls same


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
        ({"vocabulary": __file__, "vocab_size": 9}, "word pieces are read from files .model, .tokens"),
        ({"normalization_form": "NFD"}, "text is always normalized to NFKC"),
        ({"colour": "blue"}, "the key is unknown"),
        ({"lm_config": {"model_path": "x", "alpha": 2}}, "a language model is given when decoding"),
    ],
)
def test_what_cannot_be_used_is_named_with_the_reason(values, reason):
    content = {"model_config": {"encoder_blocks": [BLOCK]}, "decoder_config": values}
    with pytest.warns(UserWarning) as caught:
        config = parse_config(yaml.safe_dump(content), "f.yml")
    message = str(caught[0].message)
    assert (
        message.startswith("f.yml: read as a configuration of TensorFlowASR 2023; keys without effect: ")
        and f"decoder_config.{next(iter(values))}" in message
    )
    assert reason in message and len(caught) == 1 and config.tokenizer.file is None


# ---- training ----------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:f.yml. read as a configuration of TensorFlowASR")
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
        ("decoder_config.beam_width", -2, "key decoder_config.beam_width is -2; use 0 for greedy search"),
        ("model_config.encoder_alpha", -0.5, "key model_config.encoder_alpha is -0.5; it must be positive"),
        ("model_config.encoder_blocks", 5, "key model_config.encoder_blocks is 5; expected a list"),
        ("model_config.encoder_blocks", [], "key model_config.encoder_blocks is missing; only ContextNet"),
        ("model_config.encoder_blocks", [{}], r"key model_config.encoder_blocks\[0\].filters is missing"),
        ("model_config.prediction_rnn_type", "rnn", "key model_config.prediction_rnn_type is 'rnn'; use one"),
        ("model_config.prediction_rnn_units", -1, "key model_config.prediction_rnn_units is -1; it must be"),
        ("model_config.joint_activation", "gelu", "key model_config.joint_activation is 'gelu'; use one of"),
        ("model_config.joint_mode", "concat", "key model_config.joint_mode is 'concat'; use one of add, mul"),
        ("model_config.prejoint_encoder_linear", False, "joint: the joint's encoder side is 4 wide and its"),
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


@pytest.mark.parametrize("value", [[{1: 2}], {"a": {"b": []}}, "x", 1e300], ids=str)
def test_no_value_of_any_key_is_a_traceback(value):
    known = (*HONORED, *MASKS, *PLACES)
    for key in dict.fromkeys(key for key in known if "." in key and "[]" not in key):
        content = nested(key, value)
        content.setdefault("model_config", {}).setdefault("encoder_blocks", [BLOCK])
        with warnings.catch_warnings(), contextlib.suppress(InputError):  # anything else fails
            warnings.simplefilter("ignore")
            parse_config(yaml.safe_dump(content), "f.yml")


def test_a_wrong_value_of_all_blocks_is_named_too():
    text = FILES["2023"].read_text().replace("activation: silu", "activation: gelu")
    with pytest.raises(InputError) as error:
        parse_config(text, "f.j2")
    assert "f.j2: key model_config.encoder_blocks[].activation is 'gelu'" in str(error.value)


def test_their_template_may_not_reach_for_attributes():
    text = FILES["2023"].read_text().replace("{{datadir}}", "{{ datadir.__class__ }}")
    with pytest.raises(InputError, match="^f.j2, line [0-9]+: the template uses the attribute '__class__'"):
        parse_config(text, "f.j2")


def test_the_kits_own_form_may_be_a_template(tmp_path):
    path = tmp_path / "mine.yml.j2"
    path.write_text("{% set width = 64 %}\nname: mine\nencoder: {blocks: [{filters: {{ 2 * width }}}]}\n")
    config = load_config(path)
    assert (config.name, config.encoder.blocks[0].filters) == ("mine", 128)


def test_sections_tell_whose_file_it_is():
    assert SECTIONS == (
        "speech_config",
        "decoder_config",
        "model_config",
        "learning_config",
        "data_config",
    )
    with pytest.raises(InputError, match="f.yml: key model_config.encoder_blocks is missing"):
        parse_config("speech_config: {sample_rate: 16000}", "f.yml")
