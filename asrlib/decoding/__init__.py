"""Decoding: greedy search, beam search and streaming recognition."""
