"""Prediction network: Keras' counts, by hand, and one step at a time."""

import pytest
import torch
from networks import MODES, V, prediction_network
from torch import nn

from asrlib.errors import InputError
from asrlib.models.parameters import count_parameters
from asrlib.models.prediction import PredictionNetwork


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(1)


def test_prediction_network_has_keras_count():
    network = PredictionNetwork(1000, 0, embed_dim=640, units=512)
    assert count_parameters(network) == (3_002_368, 0)
    assert 3_002_368 == 1000 * 640 + 4 * 512 * (640 + 512 + 1) + 2 * 512


@pytest.mark.parametrize("encoding, rnn, layer_norm, projection", MODES)
def test_every_prediction_network_has_the_count_of_its_formula(encoding, rnn, layer_norm, projection):
    """Two layers of 7 units, V labels, embeddings of 5."""
    width, count = (5, V * 5) if encoding == "embedding" else (V, 0)
    for _ in range(2):
        count += 4 * 7 * (width + 7 + 1) if rnn == "lstm" else 3 * 7 * (width + 7 + 2)
        count += 2 * 7 if layer_norm else 0
        count += (7 + 1) * projection
        width = projection or 7
    assert count_parameters(prediction_network(encoding, rnn, layer_norm, projection)) == (count, 0)


@pytest.mark.parametrize("blank", [0, 5])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("encoding, rnn, layer_norm, projection", MODES)
def test_steps_are_the_whole_sequence(encoding, rnn, layer_norm, projection, layers, blank):
    network = prediction_network(encoding, rnn, layer_norm, projection, blank, layers).eval()
    targets = torch.tensor([[1, 3, 3, 2], [4, 1, 2, 3]])
    whole = network(targets)
    assert whole.shape == (2, 5, projection or 7) and network.dim == (projection or 7)
    out, state = network.step(torch.full((2,), blank))
    torch.testing.assert_close(out, whole[:, 0])
    for u in range(4):
        assert [part.shape for part in state] == (2 if rnn == "lstm" else 1) * [(layers, 2, 7)]
        out, state = network.step(targets[:, u], state)
        torch.testing.assert_close(out, whole[:, u + 1])


def test_a_deep_prediction_network_by_hand():
    """Norm and projection behind each GRU, as TensorFlowASR has them; the next one hears the projection."""
    network = prediction_network("one_hot", "gru", True, 3).eval()
    hot = torch.eye(V)[[0, 4, 1]]
    hot[0] = 0  # blank
    x = hot
    for rnn, norm, projection in [(network.rnn, network.norm, network.projection), *network.deeper]:
        h, rows = torch.zeros(7), []
        for row in x:
            input_part = rnn.weight_ih_l0 @ row + rnn.bias_ih_l0
            state_part = rnn.weight_hh_l0 @ h + rnn.bias_hh_l0
            (r, z, n), (r_h, z_h, n_h) = input_part.split(7), state_part.split(7)
            keep = (z + z_h).sigmoid()
            h = keep * h + (1 - keep) * (n + (r + r_h).sigmoid() * n_h).tanh()  # reset after the product
            normed = (h - h.mean()) / (h.var(correction=0) + 1e-3).sqrt() * norm.weight + norm.bias
            rows.append(projection.weight @ normed + projection.bias)
        x = torch.stack(rows)
    torch.testing.assert_close(network(torch.tensor([[4, 1]]))[0], x, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(encoding="onehot"), "encoding is 'onehot'; use one of embedding, one_hot"),
        (dict(rnn="rnn"), "rnn is 'rnn'; use one of lstm, gru"),
    ],
)
def test_unknown_options_of_the_prediction_network_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        PredictionNetwork(V, **options)


def test_prediction_network_by_hand():
    """The sequence starts with blank; the LSTM's gates are kept in the order i, f, g, o."""
    network = PredictionNetwork(V, 2, embed_dim=5, units=7).eval()
    rnn = network.rnn
    h = c = torch.zeros(7)
    for u, label in enumerate([2, 4, 1]):
        z = rnn.weight_ih_l0 @ network.embedding.weight[label] + rnn.bias_ih_l0
        i, f, g, o = (z + rnn.weight_hh_l0 @ h + rnn.bias_hh_l0).split(7)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        normed = (h - h.mean()) / (h.var(correction=0) + 1e-3).sqrt()
        torch.testing.assert_close(network(torch.tensor([[4, 1]]))[0, u], normed, atol=1e-5, rtol=1e-5)


def test_labels_do_not_see_those_that_follow():
    network = PredictionNetwork(V, 0, 5, 7).eval()
    a, b = network(torch.tensor([[1, 2, 3, 4]])), network(torch.tensor([[1, 2, 5, 1]]))
    torch.testing.assert_close(a[:, :3], b[:, :3])
    assert not torch.allclose(a[:, 3], b[:, 3])


def test_options_of_the_prediction_network():
    plain = PredictionNetwork(V, 0, 5, 7, layer_norm=False).eval()
    assert isinstance(plain.norm, nn.Identity)
    torch.testing.assert_close(plain(torch.tensor([[1]]))[:, 0], plain.step(torch.tensor([0]))[0])
    dropped = PredictionNetwork(V, 0, 5, 7, dropout=0.5)
    targets = torch.tensor([[1, 2, 3]])
    assert not torch.equal(dropped(targets), dropped(targets))
    dropped.eval()
    assert torch.equal(dropped(targets), dropped(targets))
