"""From synthetic or real recordings to batches."""
