"""A configuration of a few weights, as YAML."""

TINY = """
name: tiny
features: {sample_rate: 8000, mels: 10}
tokenizer: {kind: words, vocabulary: 5}
encoder:
  blocks:
    - {filters: 8, layers: 1, stride: 2, residual: false}
    - {filters: 8, layers: 2, se: 256}
prediction: {embed_dim: 4, units: 6}
joint: {dim: 7}
training: {ctc_weight: 0.3, eps: 1e-9}
"""
