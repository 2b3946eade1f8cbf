"""Training: from a configuration and a corpus to a model directory."""
