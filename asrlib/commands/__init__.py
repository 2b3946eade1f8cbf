"""What each command of ``asrlib`` does; ``asrlib.cli`` gathers them."""
