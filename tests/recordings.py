"""Where the folders beside the checkout lie: real recordings, and outputs of other systems."""

from pathlib import Path

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
REAL = SHARED / "real"
FIXTURES = SHARED / "fixtures"
