"""The layers that encoders consist of."""
