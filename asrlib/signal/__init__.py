"""From samples to features: log-mel spectrograms, and the augmentation of both."""
