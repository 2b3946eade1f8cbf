"""Encoders, prediction networks and joint networks: from features to label scores."""
