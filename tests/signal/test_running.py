"""Running means that forget: a recursion frame by frame as the witness, whole, in chunks and recorded."""

import pytest
import torch

from asrlib.signal import running
from asrlib.signal.running import running_mean, running_sum


def by_recursion(x, memory):
    keep, total, count, means = 1 - 1 / memory, 0.0, 0.0, []
    for frame in x.double().unbind(1):
        total, count = keep * total + frame, keep * count + 1
        means.append(total / count)
    return torch.stack(means, 1), total, count


@pytest.mark.parametrize("frames", [1, 63, 64, 65, 300])
@pytest.mark.parametrize("memory", [1, 7, 200])
def test_a_fading_mean_is_its_recursion(frames, memory):
    x = torch.randn(2, frames, 3, generator=torch.Generator().manual_seed(frames))
    means, total, count = by_recursion(x, memory)
    found, found_total, found_count = running_mean(x, memory=memory)
    torch.testing.assert_close(found, means.float())
    torch.testing.assert_close(found_total[:, 0], total)
    assert float(found_count) == pytest.approx(count) and count <= memory


@pytest.mark.parametrize("memory", [None, 9])
def test_chunks_of_any_size_continue_the_mean(memory):
    x, state, found = torch.randn(1, 200, 4), (), []
    for part in x.split([1, 0, 70, 3, 126], dim=1):
        means, *state = running_mean(part, *state, memory=memory)
        found.append(means)
    torch.testing.assert_close(torch.cat(found, 1), running_mean(x, memory=memory)[0])


def test_a_recorded_graph_sums_the_same(monkeypatch):
    x, before = torch.randn(2, 150, 3, dtype=torch.float64), torch.randn(2, 1, 3, dtype=torch.float64)
    expected = running_sum(x, before, 20)
    monkeypatch.setattr(running, "is_traced", lambda: True)
    torch.testing.assert_close(running_sum(x, before, 20), expected)


def test_an_hour_of_silence_is_forgotten():
    speech = torch.full((1, 500, 1), 5.0)
    silence = torch.full((1, 3600, 1), -5.0)
    stream = torch.cat([silence.repeat(1, 100, 1), speech], 1)
    assert float(running_mean(stream)[0][0, -1, 0]) < -4.9
    assert float(running_mean(stream, memory=100)[0][0, -1, 0]) > 4.9


def test_the_gradient_of_a_fading_sum():
    x = torch.randn(1, 130, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: running_sum(x, torch.zeros_like(x[:, :1]), 30), x)
