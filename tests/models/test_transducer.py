"""Prediction network, joint and whole model: Keras' counts, one step at a time, torchaudio's loss."""

import pytest
import torch
import torch.nn.functional as F
import torchaudio.functional
from torch import nn

from asrlib.decoding.greedy import greedy_rnnt
from asrlib.errors import InputError
from asrlib.models.contextnet import BlockConfig, ContextNetEncoder
from asrlib.models.joint import JointNetwork
from asrlib.models.parameters import count_parameters
from asrlib.models.prediction import PredictionNetwork
from asrlib.models.transducer import Transducer

V = 6


# of prediction networks: encoding of labels, RNN, layer norm, width of the projection
MODES = [
    ("embedding", "lstm", True, 0),
    ("embedding", "gru", True, 0),
    ("one_hot", "lstm", False, 3),
    ("one_hot", "gru", True, 4),
]
# of joints: how the sides meet, a linear layer after
JOINTS = [("add", False), ("add", True), ("mul", False), ("mul", True)]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(1)


def prediction_network(encoding="embedding", rnn="lstm", layer_norm=True, projection=0, blank=0, layers=2):
    return PredictionNetwork(V, blank, 5, 7, layers, layer_norm, 0.0, encoding, rnn, projection)


def small_model(ctc_weight=0.0, blank=0, activation="tanh", mode="add", post_linear=False, prediction=None):
    blocks = [BlockConfig(8, layers=1, residual=False), BlockConfig(8, layers=1, stride=2)]
    encoder = ContextNetEncoder(4, blocks)
    prediction = prediction or PredictionNetwork(V, blank, embed_dim=5, units=7)
    joint = JointNetwork(8, prediction.dim, 9, V, activation, mode, post_linear=post_linear)
    return Transducer(encoder, prediction, joint, nn.Linear(8, V), blank, ctc_weight)


def small_batch(blank=0):
    """Features and labels of three utterances, rubbish in the padding of both."""
    features, lengths = torch.randn(3, 16, 4), torch.tensor([16, 9, 12])
    targets = torch.randint(0, V - 1, (3, 4))
    targets += targets >= blank
    return features, lengths, targets, torch.tensor([2, 4, 3])


# ---- counts ------------------------------------------------------------------------------------------------


def test_prediction_network_has_keras_count():
    network = PredictionNetwork(1000, 0, embed_dim=640, units=512)
    assert count_parameters(network) == (3_002_368, 0)
    assert 3_002_368 == 1000 * 640 + 4 * 512 * (640 + 512 + 1) + 2 * 512


def test_joint_network_has_keras_count():
    assert count_parameters(JointNetwork(320, 512, 512, 1000)) == (939_496, 0)
    assert 939_496 == 320 * 512 + 512 + 512 * 512 + 512 * 1000 + 1000


def test_counting_follows_keras():
    """One bias vector an LSTM layer, two a GRU layer (reset_after); running statistics are not trainable;
    the batch counter is no weight.
    """
    assert count_parameters(nn.LSTM(3, 5, num_layers=2)) == (4 * 5 * (3 + 5 + 1) + 4 * 5 * (5 + 5 + 1), 0)
    assert count_parameters(nn.GRU(3, 5, num_layers=2)) == (3 * 5 * (3 + 5 + 2) + 3 * 5 * (5 + 5 + 2), 0)
    assert count_parameters(nn.ModuleList([nn.BatchNorm1d(7), nn.Linear(2, 3)])) == (2 * 7 + 9, 2 * 7)


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


def test_joint_networks_have_the_counts_of_their_formulas():
    assert count_parameters(JointNetwork(8, 7, 9, V, mode="mul"))[0] == 9 * 9 + 7 * 9 + 10 * V
    assert count_parameters(JointNetwork(8, 7, 9, V, post_linear=True))[0] == 9 * 9 + 7 * 9 + 10 * 9 + 10 * V
    assert count_parameters(JointNetwork(9, 7, 9, V, encoder_linear=False))[0] == 7 * 9 + 10 * V
    assert count_parameters(JointNetwork(8, 9, 9, V, prediction_linear=False))[0] == 9 * 9 + 10 * V
    bare = JointNetwork(8, 8, 9, V, encoder_linear=False, prediction_linear=False)
    assert count_parameters(bare)[0] == 9 * V


# ---- prediction network ------------------------------------------------------------------------------------


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


# ---- joint -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["tanh", "relu", "swish", "linear"])
def test_the_joint_broadcasts_over_the_lattice(activation):
    functions = {"tanh": torch.tanh, "relu": F.relu, "swish": F.silu, "linear": lambda z: z}
    joint = JointNetwork(8, 7, 9, V, activation)
    heard, said = torch.randn(2, 5, 8), torch.randn(2, 3, 7)
    scores = joint(heard[:, :, None], said[:, None])
    assert scores.shape == (2, 5, 3, V)
    for t in range(5):
        for u in range(3):
            e = joint.encoder_linear.weight @ heard[1, t] + joint.encoder_linear.bias
            hidden = functions[activation](e + joint.prediction_linear.weight @ said[1, u])
            by_hand = joint.output.weight @ hidden + joint.output.bias
            torch.testing.assert_close(scores[1, t, u], by_hand, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(joint(heard[1, t], said[1, u]), by_hand, atol=1e-5, rtol=1e-5)


def test_scores_are_the_joint_from_projections_made_before():
    joint = JointNetwork(8, 7, 9, V)
    heard, said = torch.randn(2, 8), torch.randn(2, 7)
    scores = joint.scores(joint.encoder_linear(heard), joint.prediction_linear(said))
    torch.testing.assert_close(scores, joint(heard, said))


@pytest.mark.parametrize("mode, post_linear", JOINTS)
def test_both_ways_to_meet_by_hand(mode, post_linear):
    joint = JointNetwork(8, 7, 9, V, "relu", mode, post_linear=post_linear)
    heard, said = torch.randn(8), torch.randn(7)
    e = joint.encoder_linear.weight @ heard + joint.encoder_linear.bias
    p = joint.prediction_linear.weight @ said
    z = e + p if mode == "add" else e * p
    if post_linear:
        z = joint.post_linear.weight @ z + joint.post_linear.bias
    by_hand = joint.output.weight @ z.relu() + joint.output.bias
    torch.testing.assert_close(joint(heard, said), by_hand, atol=1e-5, rtol=1e-5)
    scores = joint.scores(joint.encoder_linear(heard), joint.prediction_linear(said))
    torch.testing.assert_close(scores, by_hand, atol=1e-5, rtol=1e-5)


def test_a_side_without_linear_layer_comes_as_it_is():
    bare = JointNetwork(8, 8, 9, V, encoder_linear=False, prediction_linear=False)
    heard, said = torch.randn(8), torch.randn(8)
    by_hand = bare.output.weight @ (heard + said).tanh() + bare.output.bias
    torch.testing.assert_close(bare(heard, said), by_hand, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(activation="softmax"), "joint activation is 'softmax'; use one of"),
        (dict(mode="concat"), "joint mode is 'concat'; use one of add, mul"),
        (dict(encoder_linear=False), "encoder's side is 8 wide and the prediction network's 9"),
        (dict(prediction_linear=False), "encoder's side is 9 wide and the prediction network's 7"),
    ],
)
def test_impossible_joints_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        JointNetwork(8, 7, 9, V, **arguments)


# ---- loss --------------------------------------------------------------------------------------------------


def witness_loss(model, features, lengths, targets, target_lengths):
    """torchaudio's transducer loss on the whole lattice, PyTorch's CTC loss; mean over utterances."""
    encoder_out, frames = model.encoder(features, lengths)
    lattice = model.joint(encoder_out[:, :, None], model.prediction(targets)[:, None])
    rnnt = torchaudio.functional.rnnt_loss(
        lattice, targets.int(), frames.int(), target_lengths.int(), blank=model.blank, reduction="mean"
    )
    log_probs = model.ctc_head(encoder_out).log_softmax(-1).transpose(0, 1)
    ctc = F.ctc_loss(log_probs, targets, frames, target_lengths, model.blank, "none", zero_infinity=True)
    return (1 - model.ctc_weight) * rnnt + model.ctc_weight * ctc.mean()


@pytest.mark.parametrize("ctc_weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("blank", [0, 5])
@pytest.mark.filterwarnings("ignore:.*rnnt_loss has been deprecated")
def test_the_models_loss_and_gradients_are_torchaudios(ctc_weight, blank):
    model, batch = small_model(ctc_weight, blank), small_batch(blank)
    loss = model(*batch)
    ours = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    expected = witness_loss(model, *batch)
    theirs = torch.autograd.grad(expected, list(model.parameters()), allow_unused=True)
    torch.testing.assert_close(loss, expected, atol=1e-4, rtol=1e-4)
    assert loss.shape == ()
    for a, b in zip(ours, theirs, strict=True):
        a, b = (0.0 if g is None else g for g in (a, b))
        torch.testing.assert_close(
            torch.as_tensor(a).expand_as(torch.as_tensor(b)), torch.as_tensor(b), atol=1e-4, rtol=1e-3
        )


@pytest.mark.parametrize("activation", ["relu", "swish", "linear"])
def test_the_loss_knows_every_activation_of_the_joint(activation):
    model, batch = small_model(activation=activation), small_batch()
    torch.testing.assert_close(model(*batch), witness_loss(model, *batch), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("mode, post_linear", JOINTS)
@pytest.mark.filterwarnings("ignore:.*rnnt_loss has been deprecated")
def test_the_loss_knows_both_ways_to_meet(mode, post_linear):
    model, batch = small_model(mode=mode, post_linear=post_linear), small_batch()
    loss, expected = model(*batch), witness_loss(model, *batch)
    torch.testing.assert_close(loss, expected, atol=1e-4, rtol=1e-4)
    weights = [*model.joint.parameters(), *model.prediction.parameters()]
    for ours, theirs in zip(
        torch.autograd.grad(loss, weights), torch.autograd.grad(expected, weights), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)


# ---- padding -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode, post_linear", JOINTS)
@pytest.mark.parametrize("options", MODES)
def test_an_utterance_alone_or_among_others_is_decoded_the_same(options, mode, post_linear):
    model = small_model(mode=mode, post_linear=post_linear, prediction=prediction_network(*options)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)  # so that more than one label wins
    features, lengths = torch.randn(4, 24, 4), torch.tensor([24, 17, 3, 24])
    together = greedy_rnnt(model, *model.encoder(features, lengths), max_symbols=3)
    assert len({label for path in together for label in path.labels}) > 1
    for row, length, path in zip(features, lengths.tolist(), together, strict=True):
        encoder_out, frames = model.encoder(row[None, :length], torch.tensor([length]))
        (alone,) = greedy_rnnt(model, encoder_out, frames, max_symbols=3)
        assert (alone.labels, alone.frames) == (path.labels, path.frames)
        assert alone.score == pytest.approx(path.score, abs=1e-5 * (1 + len(path.labels) + int(frames)))


@pytest.mark.parametrize("ctc_weight", [0.0, 0.4])
def test_padding_does_not_change_the_loss(ctc_weight):
    model = small_model(ctc_weight).eval()
    features, lengths, targets, target_lengths = small_batch()
    longer, more = F.pad(features, (0, 0, 0, 9), value=5.0), F.pad(targets, (0, 3), value=1)
    padded = model(longer, lengths, more, target_lengths)
    torch.testing.assert_close(padded, model(features, lengths, targets, target_lengths))


def test_the_loss_is_the_mean_over_utterances():
    model = small_model(0.4).eval()
    batch = small_batch()
    each = [model(*(tensor[b : b + 1] for tensor in batch)) for b in range(3)]
    torch.testing.assert_close(model(*batch), torch.stack(each).mean(), atol=1e-4, rtol=1e-5)


def test_pure_ctc_needs_neither_prediction_nor_joint():
    model = small_model(1.0)
    pure = Transducer(model.encoder, None, None, model.ctc_head, ctc_weight=1.0)
    batch = small_batch()
    torch.testing.assert_close(pure(*batch), model(*batch))


def test_an_utterance_too_short_for_ctc_adds_nothing():
    model = small_model(1.0).eval()
    features, targets = torch.randn(2, 8, 4), torch.tensor([[1, 2, 3, 4, 5], [1, 2, 0, 0, 0]])
    both = model(features, torch.tensor([8, 8]), targets, torch.tensor([5, 2]))  # four frames, five labels
    alone = model(features[1:], torch.tensor([8]), targets[1:], torch.tensor([2]))
    torch.testing.assert_close(both, alone / 2)
