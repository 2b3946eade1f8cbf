"""A prediction network that is trained on texts: what it learns, and what stays as it was."""

import math

import pytest
import torch

from asrlib.config.parse import load_config, override
from asrlib.errors import InputError
from asrlib.models.build import build_model
from asrlib.training.language_stage import train_prediction

SMALL = ["encoder.alpha=0.1", "prediction.embed_dim=8", "prediction.units=16", "prediction.dropout=0"]


@pytest.fixture
def model():
    torch.manual_seed(1)
    return build_model(override(load_config("pieces-sentences"), [*SMALL, "joint.dim=16"]), 6)


def test_it_learns_what_follows_what(model):
    """After 1 and 2 the rest is certain: the perplexity per label is 2^(1/4)."""
    texts = [[1, 3, 4, 5], [2, 5, 4, 3]] * 50
    before = train_prediction(model, texts, steps=0)
    after = train_prediction(model, texts, steps=150, max_lr=0.02)
    assert before > 3 and after == pytest.approx(2**0.25, rel=0.03)


def test_texts_of_other_lengths_do_not_matter(model):
    """The perplexity of a text is the same alone and padded."""
    from asrlib.training.language_stage import _cross_entropy

    model.eval()
    short, long = [1, 3], [2, 5, 4, 3, 1, 1]
    alone = [float(_cross_entropy(model, [text])[0].detach()) for text in (short, long)]
    together, labels = _cross_entropy(model, [short, long])
    assert labels == 8 and float(together.detach()) == pytest.approx(sum(alone), rel=1e-5)
    uniform = 8 * math.log(5)  # five labels; blank has no share
    assert float(together.detach()) == pytest.approx(uniform, rel=0.5)


def test_the_encoder_and_its_side_of_the_joint_stay(model):
    kept = {n: w.clone() for n, w in model.state_dict().items() if n.startswith(("encoder", "ctc_head"))}
    kept |= {
        n: w.clone() for n, w in model.joint.encoder_linear.state_dict(prefix="joint.encoder_linear.").items()
    }
    for weight in model.prediction.parameters():
        weight.requires_grad_(False)  # as after training with CTC alone
    before = model.prediction.rnn.weight_hh_l0.clone()
    train_prediction(model, [[1, 2, 3]] * 20, steps=3)
    state = model.state_dict()
    assert all(torch.equal(state[name], weight) for name, weight in kept.items())
    assert not torch.equal(before, model.prediction.rnn.weight_hh_l0)
    assert not any(weight.requires_grad for weight in model.prediction.parameters())


def test_the_same_seed_gives_the_same_weights(model):
    texts = [[1, 3, 4, 5], [2, 5, 4, 3], [5]] * 10
    start = {name: weight.clone() for name, weight in model.state_dict().items()}
    found = []
    for seed in (7, 7, 8):
        model.load_state_dict(start)
        found.append(train_prediction(model, texts, steps=4, seed=seed))
    assert found[0] == found[1] != found[2]


def test_what_cannot_be_trained_is_one_line(model):
    with pytest.raises(InputError, match="at least 2"):
        train_prediction(model, [[1]])
    model.joint = None
    with pytest.raises(InputError, match="pure CTC"):
        train_prediction(model, [[1], [2]])
