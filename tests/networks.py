"""Small prediction networks of every kind."""

from asrlib.models.prediction import PredictionNetwork

V = 6

# of prediction networks: encoding of labels, RNN, layer norm, width of the projection
MODES = [
    ("embedding", "lstm", True, 0),
    ("embedding", "gru", True, 0),
    ("one_hot", "lstm", False, 3),
    ("one_hot", "gru", True, 4),
]


def prediction_network(encoding="embedding", rnn="lstm", layer_norm=True, projection=0, blank=0, layers=2):
    return PredictionNetwork(V, blank, 5, 7, layers, layer_norm, 0.0, encoding, rnn, projection)
