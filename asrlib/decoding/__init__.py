"""From scores to labels: greedy and beam search, and streams."""
