"""The whole model: torchaudio's loss, and padding that changes nothing."""

import conformers
import pytest
import torch
import torch.nn.functional as F
import torchaudio.functional
from networks import MODES, V, prediction_network
from torch import nn

from asrlib.decoding.greedy import greedy_rnnt
from asrlib.models.contextnet import BlockConfig, ContextNetEncoder
from asrlib.models.joint import JointNetwork
from asrlib.models.prediction import PredictionNetwork
from asrlib.models.transducer import Transducer

# how the two sides meet, a linear layer after
JOINTS = [("add", False), ("add", True), ("mul", False), ("mul", True)]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(1)


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


@pytest.mark.parametrize("ctc_weight", [0.4, 1.0])
def test_a_share_of_the_ctc_loss_is_of_what_is_written_between_layers(ctc_weight):
    """(1 - w) · CTC of the end + w · the mean of those between (Nozaki & Komatsu 2021, equation 8)."""
    encoder, head = conformers.small()
    joint = None if ctc_weight == 1 else JointNetwork(encoder.dim, 7, 9, conformers.V)
    prediction = None if joint is None else PredictionNetwork(conformers.V, 0, embed_dim=5, units=7)
    model = Transducer(encoder, prediction, joint, head, ctc_weight=ctc_weight, intermediate_weight=0.3)
    features, lengths = torch.randn(3, 90, conformers.MELS), torch.tensor([90, 51, 80])
    targets, target_lengths = torch.randint(1, conformers.V, (3, 4)), torch.tensor([2, 4, 3])
    encoder_out, frames, between = encoder.forward_with_intermediate(features, lengths)
    assert len(between) == 2

    def ctc(log_probs):
        rows = log_probs.transpose(0, 1), targets, frames, target_lengths
        return F.ctc_loss(*rows, 0, "none", zero_infinity=True).mean()

    expected = 0.7 * ctc(head(encoder_out).log_softmax(-1)) + 0.15 * (ctc(between[0]) + ctc(between[1]))
    if joint is not None:
        rows = encoder_out, prediction(targets), targets, frames, target_lengths, 0
        expected = ctc_weight * expected + (1 - ctc_weight) * joint.loss(*rows) / 3
    loss = model(features, lengths, targets, target_lengths)
    torch.testing.assert_close(loss, expected, atol=1e-4, rtol=1e-4)
    weights = [encoder.way_back.weight, head.linear.weight]
    for found, wanted in zip(
        torch.autograd.grad(loss, weights), torch.autograd.grad(expected, weights), strict=True
    ):
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-3)
