"""Import of checkpoints of other systems; ``table`` lists the systems, with one module for each."""
