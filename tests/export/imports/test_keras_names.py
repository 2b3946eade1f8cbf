"""Names of Keras's weights, and the layouts that the checkpoints beside the checkout do not have."""

import numpy as np
import pytest
import torch

from asrlib.config.parse import parse_config
from asrlib.export.imports.keras_names import expected_weights, plain_name
from asrlib.models.build import build_model

NETWORK = """
encoder: {variant: tensorflowasr, alpha: 0.05, downsampling: 2x}
prediction: {rnn: gru, units: 5, layers: 2, encoding: one_hot, projection: 3, layer_norm: false}
joint: {dim: 4, prediction_linear: true, post_linear: true}
tokenizer: {kind: characters, vocabulary: 6}
"""


@pytest.mark.parametrize(
    "name",
    [
        "contextnet/encoder/block_0/se/fc1/kernel:0",
        "my_model/encoder/block_0/se/fc1/kernel:0",
        "encoder/block_0/se/fc1/kernel",
        "contextnet/contextnet_encoder/contextnet_encoder_block_0/contextnet_encoder_block_0_se"
        "/contextnet_encoder_block_0_se_fc1/kernel:0",
    ],
)
def test_names_of_every_year_are_one_name(name):
    assert plain_name(name) == "encoder/block_0/se/fc1/kernel"


def test_a_cell_that_keras_numbered():
    assert plain_name("m/prediction/lstm_1/lstm_cell_7/bias:0") == "prediction/lstm_1/lstm_cell/bias"


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model(parse_config(NETWORK, "t"))


def test_every_tensor_of_the_network_has_its_weight(model):
    weights = expected_weights(model)
    ours = {}
    for name, weight in weights.items():
        found = weight.convert(torch.rand(weight.shape))
        assert not ours.keys() & found.keys(), name
        ours |= found
    state = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in state.items()}
    assert "prediction/embedding/embeddings" not in weights and "prediction/projection_1/bias" in weights


def test_a_gru_is_kerass_gru(model):
    """Keras's equations with reset_after: the gates z, r and the candidate h, each with two biases."""
    rng = np.random.default_rng(1)
    names = [f"prediction/gru_0/gru_cell/{leaf}" for leaf in ("kernel", "recurrent_kernel", "bias")]
    weights = {name: expected_weights(model)[name] for name in names}
    kernel, recurrent, bias = (rng.normal(size=weight.shape) for weight in weights.values())
    for weight, value in zip(weights.values(), (kernel, recurrent, bias), strict=True):
        model.load_state_dict(weight.convert(torch.from_numpy(value)), strict=False)
    x, h, outputs = rng.normal(size=(7, 6)), np.zeros(5), []
    for frame in x:
        inner = np.split(frame @ kernel + bias[0], 3)
        own = np.split(h @ recurrent + bias[1], 3)
        z, r = (1 / (1 + np.exp(-(a + b))) for a, b in zip(inner[:2], own[:2], strict=True))
        h = z * h + (1 - z) * np.tanh(inner[2] + r * own[2])
        outputs.append(h)
    with torch.no_grad():
        found, _ = model.prediction.rnn(torch.from_numpy(x).float()[None])
    np.testing.assert_allclose(found[0], outputs, atol=1e-5)
