"""From a configuration to its network: every key has an effect."""

import pytest
import torch
from small_config import TINY

from asrlib.config.parse import override, parse_config
from asrlib.models.build import build_model
from asrlib.models.parameters import count_parameters


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


def test_checkpointed_blocks_reach_the_encoder():
    config = override(parse_config(TINY, "tiny.yml"), ["training.checkpoint_blocks=true"])
    assert build_model(config).encoder.checkpoint_blocks
    assert not build_model(parse_config(TINY, "tiny.yml")).encoder.checkpoint_blocks
