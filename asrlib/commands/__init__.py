"""The commands of ``asrlib``; ``asrlib.cli`` registers them."""
