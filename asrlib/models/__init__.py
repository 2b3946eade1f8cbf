"""Encoders, prediction and joint networks: what turns features into scores."""
