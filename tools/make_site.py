"""Build the course as a website, to be read without a kernel and without the network.

    python tools/make_site.py [FOLDER]      # default: build/site

It fails at a warning of Sphinx, at a link within the site that leads nowhere, and at anything that a page
would fetch from elsewhere.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from sphinx.cmd.build import main as sphinx
from website.links import problems
from website.sources import ROOT, Sources

from asrlib.errors import InputError, first_line

SETTINGS = Path(__file__).parent / "website"
WORK = ROOT / "build" / "site-work"
MARK = ".buildinfo"  # Sphinx leaves it in what it builds


def build(site: Path) -> int:
    """Build the site into the folder ``site``; return the number of pages.

    The old site stays until the new one is complete. Raises ``InputError`` if it fails, and for a folder
    that has something else in it, or that cannot be written.
    """
    site, work = site.resolve(), WORK.resolve()
    if work.is_relative_to(site) or site.is_relative_to(work):
        raise InputError(f"{site}: the site is made in {work}: choose another folder")
    with disk_errors(site):
        site.parent.mkdir(parents=True, exist_ok=True)  # before the work, not after
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
    with disk_errors(site):
        replace(site, draft)
    return count


def replace(site: Path, draft: Path) -> None:
    """Move the folder ``draft`` to ``site``; what was there stays until all of the new one is beside it."""
    new, old = (site.with_name(f".{site.name}.{part}") for part in ("new", "old"))
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.move(draft, new)  # copies, if it is another disk
    if site.exists():
        site.rename(old)
    new.rename(site)
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def disk_errors(site: Path) -> Iterator[None]:
    """Turn errors of the disk inside the block into an ``InputError``."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{site}: the site cannot be written there ({first_line(error)})") from None


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
