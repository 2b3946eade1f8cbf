"""The graph's prediction network against the one that was trained."""

import pytest
import torch

from asrlib.export.transducer_graph import Predict
from asrlib.models.joint import JointNetwork
from asrlib.models.prediction import PredictionNetwork
from asrlib.models.transducer import Transducer


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"rnn": "gru"},
        {"layers": 3, "projection": 5, "encoding": "one_hot"},
        {"rnn": "gru", "layers": 2, "layer_norm": False},
    ],
)
def test_the_prediction_network_of_the_graph_is_the_prediction_network(settings):
    torch.manual_seed(0)
    prediction = PredictionNetwork(7, embed_dim=6, units=8, **settings)
    joint = JointNetwork(4, prediction.dim, 9, 7)
    model = Transducer(torch.nn.Identity(), prediction, joint, None).eval()
    graph, state, flat = Predict(model), None, Predict(model).start
    for label in torch.tensor([0, 3, 3, 6, 1]):
        expected, state = prediction.step(label[None], state)
        found, *flat = graph(label[None].int(), *flat)
        torch.testing.assert_close(found, joint.prediction_linear(expected))
        torch.testing.assert_close(tuple(flat), state)
