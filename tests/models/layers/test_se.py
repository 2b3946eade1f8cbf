"""Squeeze-and-excitation by hand: what each context averages, and that padding never counts."""

import pytest
import torch

from asrlib.errors import InputError
from asrlib.models.layers.mask import frame_mask
from asrlib.models.layers.se import SqueezeExcite, squeeze

CONTEXTS = ["global", "causal", 1, 3, 4, 50]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(1)


def frames_in_context(t, length, context):
    """The frames that frame t averages over, from the documentation's words."""
    if context == "global":
        return range(length)
    if context == "causal":
        return range(min(t + 1, length))
    first = t - context // 2
    return [n for n in range(first, first + context) if 0 <= n < length]


@pytest.mark.parametrize("context", CONTEXTS)
def test_squeeze_is_the_mean_over_its_context(context):
    lengths = torch.tensor([12, 7, 1])
    x = torch.randn(3, 12, 4)
    out = squeeze(x, frame_mask(lengths, 12), context)
    assert out.shape == (3, 1 if context == "global" else 12, 4)
    for b, length in enumerate(lengths.tolist()):
        for t in range(length):
            by_hand = torch.stack([x[b, n] for n in frames_in_context(t, length, context)]).mean(0)
            torch.testing.assert_close(out[b, 0 if context == "global" else t], by_hand, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("context", CONTEXTS)
def test_no_mask_means_that_every_frame_counts(context):
    x = torch.randn(2, 9, 4)
    every = torch.ones(2, 9, dtype=torch.bool)
    torch.testing.assert_close(squeeze(x, None, context), squeeze(x, every, context))


def test_a_memory_of_a_frame_is_the_frame_and_a_long_one_is_none():
    x, mask = torch.randn(2, 9, 4), frame_mask(torch.tensor([9, 5]), 9)
    torch.testing.assert_close(squeeze(x, mask, "causal", 1)[0], x[0])
    every = squeeze(x, mask, "causal")
    torch.testing.assert_close(squeeze(x, mask, "causal", 10**6), every, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(squeeze(x, mask, "causal", 3)[:, 3:], every[:, 3:], atol=1e-2)


@pytest.mark.parametrize("memory", [None, 5])
def test_steps_with_a_memory_are_the_whole(memory):
    se = SqueezeExcite(16, "causal", memory=memory)
    x, state, found = torch.randn(1, 90, 16), se.initial_state(), []
    for part in x.split([1, 7, 80, 2], dim=1):
        y, *state = se.step(part, *state)
        found.append(y)
    torch.testing.assert_close(torch.cat(found, 1), se(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("context", CONTEXTS)
def test_padding_is_invisible(context):
    se = SqueezeExcite(16, context)
    x, mask = torch.randn(1, 6, 16), frame_mask(torch.tensor([6]), 15)
    padded = torch.cat([x, 99 * torch.randn(1, 9, 16)], dim=1)
    torch.testing.assert_close(se(padded, mask)[:, :6], se(x), atol=1e-5, rtol=1e-5)


def test_a_causal_gate_does_not_change_with_the_future():
    se = SqueezeExcite(16, "causal")
    x = torch.randn(1, 20, 16)
    changed = x.clone()
    changed[:, 12:] += 3.0
    torch.testing.assert_close(se(x)[:, :12], se(changed)[:, :12])
    assert not torch.allclose(se(x)[:, 12:] / x[:, 12:], se(changed)[:, 12:] / changed[:, 12:])


def test_a_window_as_long_as_twice_the_utterance_is_global():
    x = torch.randn(2, 10, 4)
    torch.testing.assert_close(squeeze(x, None, 20), squeeze(x).expand(-1, 10, -1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("activation, before", [("swish", "linear"), ("relu", "relu"), ("swish", "swish")])
def test_gates_by_hand(activation, before):
    functions = {"swish": lambda z: z * z.sigmoid(), "relu": torch.relu, "linear": lambda z: z}
    se = SqueezeExcite(16, "global", activation, before)
    x = torch.randn(2, 5, 16)
    hidden = functions[activation](x.mean(1) @ se.down.weight.T + se.down.bias)
    gates = functions[before](hidden @ se.up.weight.T + se.up.bias).sigmoid()
    torch.testing.assert_close(se.gates(x), gates[:, None])
    torch.testing.assert_close(se(x), x * gates[:, None])


def test_default_gates_lie_between_0_and_1():
    gates = SqueezeExcite(16)(torch.ones(3, 5, 16))
    assert ((gates > 0) & (gates < 1)).all()


@pytest.mark.parametrize("channels", [128, 256, 320, 20, 5])
def test_parameter_count(channels):
    bottleneck = max(channels // 8, 1)
    expected = channels * bottleneck + bottleneck + bottleneck * channels + channels
    assert sum(p.numel() for p in SqueezeExcite(channels).parameters()) == expected


@pytest.mark.parametrize("context", ["local", "none", 0, -256])
def test_unknown_contexts_are_refused(context):
    with pytest.raises(InputError, match="SE context is .*; use none, global, causal or a positive number"):
        SqueezeExcite(8, context)
