"""What `asrlib bench` measures: losses, training steps, decoding."""
