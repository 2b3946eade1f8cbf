"""The layers that encoders are made of."""
