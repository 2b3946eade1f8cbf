"""Configurations: what ships loads and builds; a value that makes no sense is named, with its key."""

import dataclasses

import pytest
import torch
from small_config import TINY

from asrlib.config.parse import load_config, override, parse_config, shipped_configs
from asrlib.config.schema import Config
from asrlib.errors import InputError
from asrlib.models.build import build_model


@pytest.mark.parametrize("name", shipped_configs())
def test_every_shipped_configuration_loads_and_builds(name):
    config = load_config(name)
    assert config.name == name
    with torch.device("meta"):
        model = build_model(config)
    if config.encoder.kind == "contextnet":
        assert model.encoder.blocks[0].layers[0].conv.depthwise.shape[0] == config.features.mels
    assert (model.ctc_head is not None) == (config.training.ctc_weight > 0)
    if config.joint is None:
        assert model.joint is None and model.prediction is None
    else:
        assert model.joint.output.out_features == config.tokenizer.vocabulary


def test_the_kits_configurations_ship():
    shipped = {"contextnet-s", "contextnet-m", "contextnet-l", "contextnet-digits"}
    assert shipped | {"tensorflowasr-2021", "tensorflowasr-2023"} <= set(shipped_configs())


def test_loading_is_quick_and_draws_no_random_numbers():
    before = torch.get_rng_state()
    load_config("contextnet-l")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "text, message",
    [
        ("features: {sample_rate: 0}", "key features.sample_rate is 0; it must be positive"),
        ("features: {tail_ms: -1}", "key features.tail_ms is -1.0; it must not be negative"),
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
            "joint: the joint's encoder side is 640 wide and .* 512: make",
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
        ("training: {max_lr: .nan}", "key training.max_lr is nan; expected a finite number"),
        ("training: {schedule: cosine}", "key training.schedule is 'cosine'; use one of inverse_sqrt"),
        ("training: {precision: int8}", "key training.precision is 'int8'; use one of no, bf16, fp16"),
        ("training: {betas: [0.9]}", r"key training.betas is \[0.9\]; expected two numbers"),
        ("training: {warmup_steps: -1}", "key training.warmup_steps is -1; it must not be negative"),
        ("augment: {speed: [1.2, 0.8]}", r"key augment.speed is \[1.2, 0.8\]; expected \[low, high\]"),
        (
            "augment: {warp: [0, 1]}",
            r"key augment.warp is \[0.0, 1.0\]; expected \[low, high\] from 0.1 to 10",
        ),
        ("augment: {noise_snr_db: [5]}", r"key augment.noise_snr_db is \[5.0\]; expected \[low, high\]"),
        (
            "augment: {noise_color: [0, 9]}",
            r"key augment.noise_color is \[0.0, 9.0\]; expected \[low, high\]",
        ),
        ("augment: {gate_probability: -1}", "key augment.gate_probability is -1.0; it must be between"),
        ("augment: {expander_probability: 2}", "key augment.expander_probability is 2.0; it must be between"),
        (
            "augment: {expander_threshold_db: [-1, 5]}",
            r"key augment.expander_threshold_db is \[-1.0, 5.0\]; expected \[low, high\] from 0 to 1000",
        ),
        ("augment: {noise_probability: 2}", "key augment.noise_probability is 2.0; it must be between"),
        ("decoding: {max_symbols: 0}", "key decoding.max_symbols is 0; it must be positive"),
        ("decoding: {head: attention}", "key decoding.head is 'attention'; use one of ctc, transducer"),
        ("decoding: {head: ctc}", "key decoding.head is 'ctc', but the model is trained without it"),
        ("decoding: {beam_width: -1}", "key decoding.beam_width is -1; use 0 for greedy search"),
        ("decoding: {hotword_bonus: -1}", "key decoding.hotword_bonus is -1.0; it must not be negative"),
        ("decoding: {hotwords: []}", r"key decoding.hotwords is \[\]; expected words or phrases"),
        ("decoding: {hotwords: [anna]}", "decoding.hotwords needs beam search: set decoding.beam_width to 8"),
        (
            "decoding: {beam_width: 8, hotwords: [anna], words: [anna]}",
            "decoding.words is a closed list, which hotwords cannot bias: use one",
        ),
        (
            "{training: {ctc_weight: 0.5}, decoding: {head: ctc, beam_width: 8, rescore_weight: 2}}",
            "key decoding.rescore_weight is 2.0; it must be from 0 to 1",
        ),
        (
            "{training: {ctc_weight: 0.5}, decoding: {head: ctc, rescore_weight: 0.3}}",
            "decoding.rescore_weight needs beam search: set decoding.beam_width to 8",
        ),
        (
            "decoding: {beam_width: 8, rescore_weight: 0.3}",
            "key decoding.rescore_weight needs decoding.head: ctc, and a transducer",
        ),
        (
            "{training: {ctc_weight: 1}, decoding: {head: ctc, beam_width: 8, rescore_weight: 0.3}}",
            "key decoding.rescore_weight is 0.3, but the transducer is not trained",
        ),
        ("decoding: {lm_weight: -0.1}", "key decoding.lm_weight is -0.1; it must not be negative"),
        ("decoding: {warps: [1]}", "key decoding.warps needs decoding.head: ctc"),
        (
            "{training: {ctc_weight: 0.5}, decoding: {head: ctc, warps: [0]}}",
            r"key decoding.warps is \[0.0\]; expected factors from 0.1",
        ),
    ],
)
def test_a_value_that_makes_no_sense_names_the_key(text, message):
    with pytest.raises(InputError, match=f"^f.yml: .*{message}") as error:
        parse_config(text, "f.yml")
    assert "\n" not in str(error.value)


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
