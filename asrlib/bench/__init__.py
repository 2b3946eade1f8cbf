"""The benchmarks behind ``asrlib bench``: losses, training steps and decoding."""
