"""Parameters counted as Keras counts them."""

from torch import nn

from asrlib.models.parameters import count_parameters


def test_counting_follows_keras():
    """One bias vector an LSTM layer, two a GRU layer (reset_after); running statistics are not trainable;
    the batch counter is no weight.
    """
    assert count_parameters(nn.LSTM(3, 5, num_layers=2)) == (4 * 5 * (3 + 5 + 1) + 4 * 5 * (5 + 5 + 1), 0)
    assert count_parameters(nn.GRU(3, 5, num_layers=2)) == (3 * 5 * (3 + 5 + 2) + 3 * 5 * (5 + 5 + 2), 0)
    assert count_parameters(nn.ModuleList([nn.BatchNorm1d(7), nn.Linear(2, 3)])) == (2 * 7 + 9, 2 * 7)
