"""The checkers of the assignments, one module each; `asrlib.teaching.check` is their frame."""
