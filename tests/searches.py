"""Small random transducers, and greedy search written out from the definition."""

import pytest
import torch

from asrlib.decoding.hypothesis import SearchResult
from asrlib.models.contextnet import BlockConfig, ContextNetEncoder
from asrlib.models.joint import JointNetwork
from asrlib.models.prediction import PredictionNetwork
from asrlib.models.transducer import Transducer

V, D = 5, 8


def random_transducer(seed, blank=0, blank_bias=1.0, vocabulary=V):
    """Return a model that emits labels on some frames: weights above initialization, blank favored."""
    torch.manual_seed(seed)
    encoder = ContextNetEncoder(4, [BlockConfig(D, layers=1)])
    prediction, joint = PredictionNetwork(vocabulary, blank, 6, 7), JointNetwork(D, 7, 9, vocabulary)
    model = Transducer(encoder, prediction, joint, None, blank)
    with torch.no_grad():
        model.joint.output.weight.mul_(6)
        model.joint.output.bias[blank] += blank_bias
    return model.eval()


def naive_rnnt(model, frames, max_symbols):
    """Search as Graves 2012 does, one (t, u) at a time: a label stays at the frame, blank goes to the next.

    After ``max_symbols`` labels at a frame, blank is taken whatever its score.
    """
    path, t, here = SearchResult(), 0, 0
    prediction_out, state = model.prediction.step(torch.tensor([model.blank]))
    while t < len(frames):
        log_probs = model.joint(frames[t], prediction_out[0]).log_softmax(-1)
        label = model.blank if here == max_symbols else int(log_probs.argmax())
        path.score += float(log_probs[label])
        if label == model.blank:
            t, here = t + 1, 0
        else:
            path.labels.append(label)
            path.frames.append(t)
            path.log_probs.append(float(log_probs[label]))
            prediction_out, state = model.prediction.step(torch.tensor([label]), state)
            here += 1
    return path


def assert_same_path(found, expected):
    assert found.labels == expected.labels
    assert found.frames == expected.frames
    assert found.log_probs == pytest.approx(expected.log_probs, abs=1e-4)
    assert found.score == pytest.approx(expected.score, abs=1e-3)
