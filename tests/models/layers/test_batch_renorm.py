"""Batch renorm against the formulas of the paper, on the valid frames alone."""

import pytest
import torch
import torch.nn.functional as F

from asrlib.models.layers.batch_renorm import MaskedBatchRenorm
from asrlib.models.layers.mask import FrameMask, frame_mask


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(1)


def layer(batches=0, channels=5):
    norm = MaskedBatchRenorm(channels).double()
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_()
        norm.running_mean.normal_()
        norm.running_std.uniform_(0.5, 2)
        norm.num_batches_tracked.fill_(batches)
    return norm


def frames():
    """Frames of four utterances, rubbish behind each; (x, mask)."""
    return 3 * torch.randn(4, 9, 5, dtype=torch.float64) + 1, frame_mask(torch.tensor([9, 3, 1, 6]), 9)


def by_hand(norm, picked):
    """Algorithm 1 of the paper on (frames, channels)."""
    mean, std = picked.mean(0), (picked.var(0, unbiased=False) + norm.eps).sqrt()
    r_max, d_max = (float(limit) for limit in norm.limits())
    r = (std / norm.running_std).clamp(1 / r_max, r_max).detach()
    d = ((mean - norm.running_mean) / norm.running_std).clamp(-d_max, d_max).detach()
    return ((picked - mean) / std * r + d) * norm.weight + norm.bias, mean, std


@pytest.mark.parametrize(
    "batches, r_max, d_max",
    [(0, 1, 0), (5000, 1, 0), (15000, 1 + 4 / 7, 2.5), (25000, 1 + 8 / 7, 5), (40000, 3, 5)],
)
def test_the_limits_are_the_papers(batches, r_max, d_max):
    found = [float(limit) for limit in layer(batches).limits()]
    assert found == pytest.approx([r_max, d_max])


@pytest.mark.parametrize("batches", [0, 15000, 60000])
@pytest.mark.parametrize("masked", [True, False])
def test_training_is_algorithm_1(batches, masked):
    norm, (x, mask) = layer(batches), frames()
    mask = mask if masked else torch.ones_like(mask)
    x.requires_grad_()
    expected, mean, std = by_hand(norm, x[mask])
    d_expected = torch.autograd.grad(expected.sin().sum(), [x, norm.weight, norm.bias])
    running = [
        norm.running_mean + 0.01 * (mean - norm.running_mean),
        norm.running_std + 0.01 * (std - norm.running_std),
    ]
    y = norm(x, mask if masked else None)
    torch.testing.assert_close(y[mask], expected)
    assert not y[~mask].any()
    torch.testing.assert_close(
        torch.autograd.grad(y[mask].sin().sum(), [x, norm.weight, norm.bias]), d_expected
    )
    torch.testing.assert_close([norm.running_mean, norm.running_std], running)
    assert int(norm.num_batches_tracked) == batches + 1


def test_before_5000_batches_it_is_batch_norm():
    norm, (x, mask) = layer(100), frames()
    plain = F.batch_norm(x[mask], None, None, norm.weight, norm.bias, training=True, eps=norm.eps)
    torch.testing.assert_close(norm(x, FrameMask(mask))[mask], plain)


def test_unclipped_it_is_what_evaluation_computes():
    norm, (x, mask) = layer(60000), frames()
    x = (x - x[mask].mean(0)) * 0.5 + norm.running_mean + 0.1  # near enough that nothing is clipped
    evaluated = layer(60000).eval()
    evaluated.load_state_dict(norm.state_dict())
    torch.testing.assert_close(norm(x, mask), evaluated(x, mask))


def test_evaluation_by_hand_and_an_activation_behind():
    norm, (x, mask) = layer().eval(), frames()
    expected = (x - norm.running_mean) / norm.running_std * norm.weight + norm.bias
    torch.testing.assert_close(norm(x, None), expected)
    y = norm(x, mask, F.silu)
    torch.testing.assert_close(y[mask], F.silu(expected[mask]))
    assert not y[~mask].any()


def test_rubbish_in_the_padding_changes_nothing():
    (x, mask), outputs = frames(), []
    for rubbish in (0.0, 100.0):
        norm = layer(30000) if not outputs else again
        again = layer(30000)
        again.load_state_dict(norm.state_dict())
        y = norm(x.masked_fill(~mask[..., None], rubbish), mask)
        outputs.append((y, norm.running_mean, norm.running_std))
    torch.testing.assert_close(*outputs)
