"""From samples to log-mel features, and the augmentation of both."""
