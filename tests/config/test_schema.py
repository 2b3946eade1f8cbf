"""Configurations: what ships loads and builds; what is wrong is named, with its file and key."""

import dataclasses

import pytest
import torch
import yaml

from asrlib.config.parse import load_config, override, parse_config, shipped_configs
from asrlib.config.schema import Config
from asrlib.errors import InputError
from asrlib.models.build import build_model
from asrlib.models.parameters import count_parameters

TINY = """
name: tiny
features: {sample_rate: 8000, mels: 10}
tokenizer: {kind: words, vocabulary: 5}
encoder:
  blocks:
    - {filters: 8, layers: 1, stride: 2, residual: false}
    - {filters: 8, layers: 2, se: 256}
prediction: {embed_dim: 4, units: 6}
joint: {dim: 7}
training: {ctc_weight: 0.3, eps: 1e-9}
"""


# ---- what loads --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", shipped_configs())
def test_every_shipped_configuration_loads_and_builds(name):
    config = load_config(name)
    assert config.name == name
    with torch.device("meta"):
        model = build_model(config)
    assert model.encoder.blocks[0].layers[0].conv.depthwise.shape[0] == config.features.mels
    assert (model.ctc_head is not None) == (config.training.ctc_weight > 0)
    if config.joint is None:
        assert model.joint is None and model.prediction is None
    else:
        assert model.joint.output.out_features == config.tokenizer.vocabulary


def test_the_kits_configurations_ship():
    shipped = {"contextnet-s", "contextnet-m", "contextnet-l", "contextnet-digits"}
    assert shipped | {"tensorflowasr-2021", "tensorflowasr-2023"} <= set(shipped_configs())


@pytest.mark.parametrize("name", shipped_configs())
def test_a_saved_configuration_comes_back(tmp_path, name):
    config = load_config(name)
    config.save(tmp_path / "config.yml")
    assert load_config(tmp_path / "config.yml") == config


def test_loading_is_quick_and_draws_no_random_numbers():
    before = torch.get_rng_state()
    load_config("contextnet-l")
    assert torch.equal(torch.get_rng_state(), before)


def test_values_land_where_they_belong():
    config = parse_config(TINY, "tiny.yml")
    assert (config.features.sample_rate, config.features.mels, config.features.window_ms) == (8000, 10, 25.0)
    assert [b.filters for b in config.encoder.blocks] == [8, 8]
    assert [b.se for b in config.encoder.blocks] == ["global", 256]
    assert config.training.eps == 1e-9  # which YAML 1.1 reads as text
    assert config.prediction.layers == 1  # a default


def test_a_model_is_built_as_described():
    model = build_model(parse_config(TINY, "tiny.yml"))
    assert model.encoder.reduction == 2 and model.ctc_weight == 0.3
    assert count_parameters(model.prediction)[0] == 5 * 4 + 4 * 6 * (4 + 6 + 1) + 2 * 6
    assert count_parameters(model.joint)[0] == 8 * 7 + 7 + 6 * 7 + 7 * 5 + 5
    assert count_parameters(model.ctc_head)[0] == 8 * 5 + 5
    targets, target_lengths = torch.tensor([[1, 4], [2, 0]]), torch.tensor([2, 1])
    assert torch.isfinite(model(torch.randn(2, 9, 10), torch.tensor([9, 8]), targets, target_lengths))


def test_the_tokenizers_vocabulary_wins():
    model = build_model(parse_config(TINY, "tiny.yml"), 11)
    assert model.joint.output.out_features == model.ctc_head.out_features == 11
    assert model.prediction.embedding.num_embeddings == 11


def test_a_pure_ctc_model_has_no_prediction_and_no_joint():
    pure = ["training.ctc_weight=1", "prediction=null", "joint=null"]
    config = override(parse_config(TINY, "tiny.yml"), pure)
    model = build_model(config)
    assert model.prediction is None and model.joint is None and model.ctc_weight == 1
    loss = model(torch.randn(1, 9, 10), torch.tensor([9]), torch.tensor([[1, 4]]), torch.tensor([2]))
    assert torch.isfinite(loss)


def test_no_ctc_weight_means_no_ctc_head():
    assert build_model(override(parse_config(TINY, "tiny.yml"), ["training.ctc_weight=0"])).ctc_head is None


def test_every_key_of_the_encoder_has_an_effect():
    plain = parse_config("encoder: {alpha: 0.0625}", "f.yml").encoder.build(8)
    assert len(plain.blocks) == 23 and plain.reduction == 8 and plain.dim == 40
    other = parse_config(
        "encoder: {alpha: 0.0625, variant: tensorflowasr, kernel: 3, activation: relu, downsampling: 2x,"
        " padding: causal, se: 512}",
        "f.yml",
    ).encoder.build(8)
    conv = other.blocks[5].layers[0].conv
    assert len(other.blocks[5].layers) == 6 and other.reduction == 2
    assert conv.depthwise.shape[1] == 3 and conv.padding == "causal"
    assert other.blocks[5].se.context == 256
    assert other.blocks[5].activation is torch.nn.functional.relu


def test_every_key_of_prediction_and_joint_has_an_effect():
    text = """
    encoder: {blocks: [{filters: 24}]}
    prediction: {encoding: one_hot, rnn: gru, units: 6, layers: 2, layer_norm: false, projection: 5,
      dropout: 0.5}
    joint: {dim: 24, activation: relu, mode: mul, encoder_linear: false, post_linear: true}
    tokenizer: {vocabulary: 9}
    """
    model = build_model(parse_config(text, "f.yml"))
    prediction, joint = model.prediction, model.joint
    assert isinstance(prediction.rnn, torch.nn.GRU) and prediction.dropout.p == 0.5
    assert count_parameters(prediction)[0] == 3 * 6 * (9 + 6 + 2) + 3 * 6 * (5 + 6 + 2) + 2 * (6 * 5 + 5)
    assert count_parameters(joint)[0] == 5 * 24 + 24 * 24 + 24 + 24 * 9 + 9
    assert (joint.activation, joint.mode, prediction.dim) == ("relu", "mul", 5)


@pytest.mark.parametrize("variant", ["paper", "tensorflowasr"])
@pytest.mark.parametrize("downsampling", ["progressive", "2x"])
def test_a_causal_configuration_does_not_know_the_future(variant, downsampling):
    keys = f"variant: {variant}, downsampling: {downsampling}, alpha: 0.0625, padding: causal, se: causal"
    config = parse_config(f"{{features: {{mels: 10}}, encoder: {{{keys}}}}}", "f.yml")
    torch.manual_seed(0)
    encoder = build_model(config, 5).encoder.double().eval()
    features = torch.randn(1, 120, 10, dtype=torch.float64)
    changed = features.clone()
    changed[:, 65:] = torch.randn(1, 55, 10)
    before, after = encoder(features)[0], encoder(changed)[0]
    known = -(-65 // encoder.reduction)  # output frame n is made at input frame n · reduction
    torch.testing.assert_close(after[:, :known], before[:, :known], rtol=1e-12, atol=1e-12)
    assert ((after - before)[:, known:].abs().amax(2) > 0).all()


# ---- what is wrong -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, message",
    [
        ("features: {mels: eighty}", "key features.mels is 'eighty'; expected int"),
        ("features: {mels: 80.5}", "key features.mels is 80.5; expected int"),
        ("features: {mels: true}", "key features.mels is True; expected int"),
        ("features: {window_ms: wide}", "key features.window_ms is 'wide'; expected float"),
        ("features: {normalize_signal: 1}", "key features.normalize_signal is 1; expected bool"),
        ("features: 80", "key features is 80; expected a section"),
        ("features:", "key features is None; expected a section"),
        ("name: 7", "key name is 7; expected str"),
        ("augment: {speed: 0.9}", "key augment.speed is 0.9; expected list or nothing"),
        ("augment: {speed: [0.9, fast]}", r"key augment.speed\[1\] is 'fast'; expected float"),
        ("encoder: {se: 2.5}", "key encoder.se is 2.5; expected str or int"),
        ("encoder: {blocks: [8]}", r"key encoder.blocks\[0\] is 8; expected a section"),
        ("encoder: {blocks: [{layers: 2}]}", r"key encoder.blocks\[0\].filters is missing"),
        ("encoder: {blocks: [{filters: 8}, {filters: x}]}", r"key encoder.blocks\[1\].filters is 'x'"),
        ("[features]", "expected sections such as features and encoder, found list"),
        ("", "expected sections such as features and encoder, found NoneType"),
    ],
)
def test_a_wrong_type_names_the_key(text, message):
    with pytest.raises(InputError, match=f"^f.yml: {message}"):
        parse_config(text, "f.yml")


@pytest.mark.parametrize(
    "text, message",
    [
        ("features: {sample_rate: 0}", "key features.sample_rate is 0; it must be positive"),
        ("features: {log_floor: 0}", "key features.log_floor is 0.0; it must be positive"),
        ("features: {normalize: batch}", "features: normalize is 'batch'; use one of none, utterance, bin"),
        ("features: {hop_ms: 30}", "features: window_ms 25.0 and hop_ms 30.0"),
        ("tokenizer: {kind: letters}", "key tokenizer.kind is 'letters'; use one of characters, words"),
        ("tokenizer: {model_type: char}", "key tokenizer.model_type is 'char'; use one of unigram, bpe"),
        ("tokenizer: {vocabulary: -1}", "key tokenizer.vocabulary is -1; it must be positive"),
        ("encoder: {alpha: -0.5}", "key encoder.alpha is -0.5; it must be positive"),
        ("encoder: {variant: keras}", "key encoder.variant is 'keras'; use one of paper, tensorflowasr"),
        ("encoder: {kernel: 0}", "key encoder.kernel is 0; it must be positive"),
        (
            "encoder: {activation: gelu}",
            "key encoder.activation is 'gelu'; use one of swish, silu, relu, tanh, linear",
        ),
        ("encoder: {downsampling: 4x}", "key encoder.downsampling is '4x'; use one of progressive, 2x"),
        ("encoder: {padding: valid}", "key encoder.padding is 'valid'; use one of same, causal"),
        ("encoder: {se: locale}", "encoder: SE context is 'locale'; use none, global, causal or"),
        ("encoder: {se: -256}", "encoder: SE context is -256"),
        ("encoder: {blocks: []}", "encoder: the encoder has no blocks"),
        ("encoder: {blocks: [{filters: -8}]}", r"key encoder.blocks\[0\].filters is -8; it must be positive"),
        (
            "encoder: {blocks: [{filters: 8, stride: 0}]}",
            r"key encoder.blocks\[0\].stride is 0; it must be positive",
        ),
        (
            "encoder: {blocks: [{filters: 8}, {filters: 8, activation: gelu}]}",
            r"key encoder.blocks\[1\].activation is 'gelu'; use one of",
        ),
        ("encoder: {alpha: 0.001}", "encoder: channels of a convolution is 0"),
        (
            "prediction: {encoding: onehot}",
            "key prediction.encoding is 'onehot'; use one of embedding, one_hot",
        ),
        ("prediction: {embed_dim: 0}", "key prediction.embed_dim is 0; it must be positive"),
        ("prediction: {rnn: rnn}", "key prediction.rnn is 'rnn'; use one of lstm, gru"),
        ("prediction: {projection: -1}", "key prediction.projection is -1; it must not be negative"),
        ("joint: {mode: concat}", "key joint.mode is 'concat'; use one of add, mul"),
        (
            "joint: {encoder_linear: false, dim: 512}",
            "joint: the encoder's side is 640 wide and .* 512: make",
        ),
        ("tokenizer: {max_piece_length: 0}", "key tokenizer.max_piece_length is 0; it must be positive"),
        ("training: {clip_norm: 0}", "key training.clip_norm is 0.0; it must be positive"),
        ("training: {l2: -1}", "key training.l2 is -1.0; it must not be negative"),
        ("training: {max_steps: 0}", "key training.max_steps is 0; it must be positive"),
        ("training: {batch_utterances: 0}", "key training.batch_utterances is 0; it must be positive"),
        ("augment: {time_masks: -1}", "key augment.time_masks is -1; it must not be negative"),
        ("prediction: {units: -640}", "key prediction.units is -640; it must be positive"),
        ("prediction: {dropout: 1.5}", "key prediction.dropout is 1.5; it must be between 0 and 1"),
        ("joint: {dim: 0}", "key joint.dim is 0; it must be positive"),
        ("joint: {activation: gelu}", "key joint.activation is 'gelu'; use one of swish"),
        ("joint: null", "prediction and joint go together; set both to null for a pure CTC model"),
        ("{prediction: null, joint: null}", "training.ctc_weight must be 1, not 0.0"),
        ("training: {ctc_weight: 1.5}", "key training.ctc_weight is 1.5; it must be between 0 and 1"),
        ("training: {max_lr: .nan}", "key training.max_lr is nan; it must be positive"),
        ("training: {schedule: cosine}", "key training.schedule is 'cosine'; use one of inverse_sqrt"),
        ("training: {precision: int8}", "key training.precision is 'int8'; use one of no, bf16, fp16"),
        ("training: {betas: [0.9]}", r"key training.betas is \[0.9\]; expected two numbers"),
        ("training: {warmup_steps: -1}", "key training.warmup_steps is -1; it must not be negative"),
        ("augment: {speed: [1.2, 0.8]}", r"key augment.speed is \[1.2, 0.8\]; expected \[low, high\]"),
        ("augment: {warp: [0, 1]}", r"key augment.warp is \[0.0, 1.0\]; expected .*, both positive"),
        ("augment: {noise_snr_db: [5]}", r"key augment.noise_snr_db is \[5.0\]; expected \[low, high\]"),
        ("augment: {gate_probability: -1}", "key augment.gate_probability is -1.0; it must be between"),
        ("augment: {noise_probability: 2}", "key augment.noise_probability is 2.0; it must be between"),
        ("decoding: {max_symbols: 0}", "key decoding.max_symbols is 0; it must be positive"),
        ("decoding: {head: attention}", "key decoding.head is 'attention'; use one of ctc, transducer"),
        ("decoding: {head: ctc}", "key decoding.head is 'ctc', but the model is trained without it"),
        ("decoding: {beam_width: -1}", "key decoding.beam_width is -1; 0 is greedy search"),
        ("decoding: {lm_weight: -0.1}", "key decoding.lm_weight is -0.1; it must not be negative"),
        ("decoding: {warps: [1]}", "key decoding.warps needs decoding.head: ctc"),
        (
            "{training: {ctc_weight: 0.5}, decoding: {head: ctc, warps: [0]}}",
            r"key decoding.warps is \[0.0\]; expected positive factors",
        ),
    ],
)
def test_a_value_that_makes_no_sense_names_the_key(text, message):
    with pytest.raises(InputError, match=f"^f.yml: .*{message}") as error:
        parse_config(text, "f.yml")
    assert "\n" not in str(error.value)


def test_unknown_keys_are_warnings_that_name_them():
    with pytest.warns(UserWarning, match="f.yml: unknown key training.momentum, training.9 ignored"):
        config = parse_config("training: {momentum: 0.9, epochs: 3, 9: 9}", "f.yml")
    assert config.training.epochs == 3
    with pytest.warns(UserWarning, match=r"unknown key encoder.blocks\[0\].filter ignored"):
        parse_config("encoder: {blocks: [{filters: 8, filter: 9}]}", "f.yml")


@pytest.mark.parametrize(
    "text, message",
    [
        ("name: a\nfeatures: [", "f.yml, line 2: not valid YAML"),
        ("name: a\n\n\tmels: 3", "f.yml, line 3: not valid YAML"),
        ("name: !!python/object:os.system x", "f.yml, line 1: not valid YAML: could not determine"),
        ("name: \x00", "f.yml: not valid YAML: unacceptable character"),
    ],
)
def test_broken_yaml_names_the_line(text, message):
    with pytest.raises(InputError, match=message) as error:
        parse_config(text, "f.yml")
    assert "\n" not in str(error.value)


def test_yamls_no_is_a_precision():
    assert parse_config("training: {precision: no}", "f.yml").training.precision == "no"
    assert override(Config(), ["training.precision=no"]).training.precision == "no"


def test_files_that_are_missing_or_not_text(tmp_path):
    with pytest.raises(InputError, match="no configuration file contextnet-xl; shipped .* contextnet-l,"):
        load_config("contextnet-xl")
    (tmp_path / "image.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="image.yml is not a UTF-8 text file"):
        load_config(tmp_path / "image.yml")
    (tmp_path / "tiny.yml").write_text(TINY.replace("mels: 10", "mels: ten"))
    with pytest.raises(InputError, match="tiny.yml: key features.mels is 'ten'"):
        load_config(tmp_path / "tiny.yml")


# ---- override ----------------------------------------------------------------------------------------------


def test_override_changes_what_it_names_and_nothing_else():
    config = parse_config(TINY, "tiny.yml")
    before = config.to_dict()
    speed = "augment.speed=[0.9, 1.1]"
    changed = override(config, ["training.max_lr=1e-3", speed, "encoder.se = causal", "name=a=b"])
    assert changed.training.max_lr == 1e-3
    assert changed.augment.speed == [0.9, 1.1]
    assert changed.encoder.se == "causal"
    assert changed.name == "a=b"
    assert config.to_dict() == before
    expected = yaml.safe_load(yaml.safe_dump(before)) | {"name": "a=b"}
    expected["training"]["max_lr"], expected["augment"]["speed"] = 1e-3, [0.9, 1.1]
    expected["encoder"]["se"] = "causal"
    assert changed.to_dict() == expected
    assert override(config, []) == config


@pytest.mark.parametrize(
    "assignment, message",
    [
        ("training.max_lr", "--set training.max_lr: expected key=value"),
        ("training.lr=1", "--set training.lr=1: there is no key 'training.lr'"),
        ("name.lr=1", "there is no key 'name.lr'"),
        ("trainer.lr=1", "there is no key 'trainer.lr'"),
        ("training.max_lr=fast", "--set: key training.max_lr is 'fast'; expected float"),
        ("training.max_lr=", "--set: key training.max_lr is None; expected float"),
        ("training.epochs=-3", "--set: key training.epochs is -3; it must be positive"),
        ("augment.speed=[1", r"'\[1' is not a YAML value"),
    ],
)
def test_an_override_that_cannot_be_is_refused(assignment, message):
    with pytest.raises(InputError, match=message):
        override(Config(), [assignment])


def test_defaults_are_not_shared_between_configurations():
    one, other = Config(), Config()
    one.training.betas.append(0.5)
    assert other.training.betas == [0.9, 0.98]
    assert all(dataclasses.is_dataclass(getattr(other, s)) for s in ("features", "encoder", "training"))


@pytest.mark.parametrize(
    "assignments, cause",
    [
        (["training.workers=-1"], "training.workers is -1"),
    ],
)
def test_options_of_a_training_that_make_no_sense(assignments, cause):
    with pytest.raises(InputError, match=cause):
        override(parse_config(TINY, "tiny.yml"), assignments)


def test_checkpointed_blocks_reach_the_encoder():
    config = override(parse_config(TINY, "tiny.yml"), ["training.checkpoint_blocks=true"])
    assert build_model(config).encoder.checkpoint_blocks
    assert not build_model(parse_config(TINY, "tiny.yml")).encoder.checkpoint_blocks
