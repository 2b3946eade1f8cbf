"""Checkpoints of other systems as model directories: ``table`` has the systems, one module each."""
