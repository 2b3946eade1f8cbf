"""Build the course as a website, to be read without a kernel and without the network.

    python tools/make_site.py [FOLDER]      # default: build/site

It fails at a warning of Sphinx, at a link within the site that leads nowhere, and at anything that a page
would fetch from elsewhere.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from sphinx.cmd.build import main as sphinx
from website.links import problems
from website.sources import ROOT, Sources

from asrlib.errors import InputError

SETTINGS = Path(__file__).parent / "website"
WORK = ROOT / "build" / "site-work"
MARK = ".buildinfo"  # Sphinx leaves it in what it builds


def build(site: Path) -> int:
    """Build the site into the folder ``site``; return the number of pages.

    Raises ``InputError`` if it fails, and for a folder with something else in it.
    """
    if site.exists() and (not site.is_dir() or (any(site.iterdir()) and not (site / MARK).is_file())):
        raise InputError(f"{site} is not a site that this tool built: choose another folder")
    shutil.rmtree(WORK, ignore_errors=True)
    sources, draft = Sources(), WORK / "site"
    count = sources.write(WORK / "source")
    options = ["-q", "-W", "--keep-going", "-E", "-b", "html"]
    options += ["-c", str(SETTINGS), "-d", str(WORK / "doctrees")]
    if sphinx([*options, str(WORK / "source"), str(draft)]):
        raise InputError("the site was not built: the warnings above say why")
    sources.write_downloads(draft)
    if found := problems(draft):
        raise InputError("\n".join(found))
    shutil.rmtree(site, ignore_errors=True)
    site.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(draft, site)
    return count


def main() -> int:
    """Run the tool; return 0, or 2 after printing why there is no site."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path, nargs="?", default=ROOT / "build" / "site")
    site = parser.parse_args().site
    start = time.monotonic()
    try:
        count = build(site)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    print(f"{count} pages, {size / 1e6:.0f} MB, {time.monotonic() - start:.0f} s: {site}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
