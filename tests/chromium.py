"""Where chromium is, and how the tests start it."""

import shutil

from asrlib.bench.playgrounds import BROWSERS, FLAGS

CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
CHROMEDRIVER = shutil.which("chromedriver")

__all__ = ["CHROMEDRIVER", "CHROMIUM", "FLAGS"]
