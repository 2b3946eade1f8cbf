"""What the lessons draw, move and check."""
