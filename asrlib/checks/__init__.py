"""The checkers of the assignments, one module each; `asrlib.check` is their frame."""
