"""From recordings, synthetic or real, to batches."""
