"""The moving average of the weights."""

import pytest
import torch

from asrlib.training.average import WeightAverage


def test_the_average_follows_its_formula():
    model = torch.nn.BatchNorm1d(1)
    average = WeightAverage(model, 0.9)
    expected = 1.0
    for step, value in enumerate([2.0, 3.0, 5.0]):
        with torch.no_grad():
            model.weight.fill_(value)
        model.num_batches_tracked.fill_(step + 7)
        average.update(model, step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    assert average.weights["weight"].item() == pytest.approx(expected)
    assert average.weights["num_batches_tracked"].item() == 9
    with average.applied(model):
        assert model.weight.item() == pytest.approx(expected)
    assert model.weight.item() == 5.0
