"""Joint network: Keras' counts, every way in which the two sides meet, by hand."""

import pytest
import torch
import torch.nn.functional as F
from networks import V

from asrlib.errors import InputError
from asrlib.models.joint import JointNetwork
from asrlib.models.parameters import count_parameters

# how the two sides meet, a linear layer after
JOINTS = [("add", False), ("add", True), ("mul", False), ("mul", True)]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(1)


def test_joint_network_has_keras_count():
    assert count_parameters(JointNetwork(320, 512, 512, 1000)) == (939_496, 0)
    assert 939_496 == 320 * 512 + 512 + 512 * 512 + 512 * 1000 + 1000


def test_joint_networks_have_the_counts_of_their_formulas():
    assert count_parameters(JointNetwork(8, 7, 9, V, mode="mul"))[0] == 9 * 9 + 7 * 9 + 10 * V
    assert count_parameters(JointNetwork(8, 7, 9, V, post_linear=True))[0] == 9 * 9 + 7 * 9 + 10 * 9 + 10 * V
    assert count_parameters(JointNetwork(9, 7, 9, V, encoder_linear=False))[0] == 7 * 9 + 10 * V
    assert count_parameters(JointNetwork(8, 9, 9, V, prediction_linear=False))[0] == 9 * 9 + 10 * V
    bare = JointNetwork(8, 8, 9, V, encoder_linear=False, prediction_linear=False)
    assert count_parameters(bare)[0] == 9 * V


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
        (dict(encoder_linear=False), "encoder side is 8 wide and its prediction side 9"),
        (dict(prediction_linear=False), "encoder side is 9 wide and its prediction side 7"),
    ],
)
def test_impossible_joints_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        JointNetwork(8, 7, 9, V, **arguments)
