"""The internal language model against the joint network by hand, and sums against their parts."""

import pytest
import torch
from searches import D, V, random_transducer
from torch import nn

from asrlib.decoding.beam import BeamOptions, beam_rnnt
from asrlib.decoding.internal import InternalLM, WeightedLM
from asrlib.errors import InputError
from asrlib.models.transducer import Transducer
from asrlib.text.ngram import train_ngram

LM = train_ngram([[1, 2], [1, 3, 2, 4], [4, 1]], ["a", "b", "c", "d"], order=2)


@pytest.mark.parametrize("blank", [0, 4])
@torch.no_grad()
def test_scores_are_those_of_the_joint_without_sound_and_without_blank(blank):
    model = random_transducer(3, blank)
    internal = InternalLM(model)
    state = internal.start()
    for label in (2, 3, 3, 1):
        state = internal.advance(state, label)
    read = model.prediction(torch.tensor([[2, 3, 3, 1]]))[0, -1]
    bias = model.joint.encoder_linear.bias  # what is left of the encoder's side for an output of zeros
    assert bias.abs().max() > 0
    logits = model.joint.output(torch.tanh(model.joint.prediction_linear(read) + bias))
    labels = [k for k in range(V) if k != blank]
    expected = logits[labels].softmax(-1)
    torch.testing.assert_close(internal.scores(state)[labels].exp(), expected)
    assert internal.scores(state)[blank] == 0.0


def test_a_sum_is_the_sum_of_its_parts():
    other = train_ngram([[2, 2], [3]], ["a", "b", "c", "d"], order=3)
    total = WeightedLM([(LM, 1.0), (other, -0.5)])
    state = total.start()
    for label in (1, 3):
        state = total.advance(state, label)
    parts = [lm.scores(lm.advance(lm.advance(lm.start(), 1), 3)) for lm in (LM, other)]
    torch.testing.assert_close(total.scores(state), parts[0] - 0.5 * parts[1])


@torch.no_grad()
def test_in_a_search_the_internal_model_is_divided_out():
    """An exhaustive beam ranks texts by ln P less half of what the internal model gives their labels."""
    model, frames = random_transducer(1, vocabulary=3), 2 * torch.randn(1, 2, D)
    internal, T = InternalLM(model), torch.tensor([2])

    def score(path):
        state, total = internal.start(), path.score
        for label in path.labels:
            total -= 0.5 * float(internal.scores(state)[label])
            state = internal.advance(state, label)
        return total

    (plain,) = beam_rnnt(model, frames, T, BeamOptions(200, False), 2)
    less = BeamOptions(200, False, lm=WeightedLM([(internal, -0.5)]), lm_weight=1.0)
    (divided,) = beam_rnnt(model, frames, T, less, 2)
    assert divided[0].labels == max(plain, key=score).labels


def test_a_model_with_a_ctc_head_only_has_none():
    with pytest.raises(InputError, match="only a transducer has an internal language model"):
        InternalLM(Transducer(nn.Identity(), None, None, nn.Linear(3, 4)))


def test_a_sum_needs_a_part():
    with pytest.raises(InputError, match="needs at least one"):
        WeightedLM([])
