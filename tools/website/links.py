"""Links and resources of a built site: what leads nowhere, and what would be fetched from elsewhere."""

from __future__ import annotations

import posixpath
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# what a browser fetches by itself, against what one clicks
FETCHED = {
    "img": ("src", "srcset"), "script": ("src",), "audio": ("src",), "video": ("src", "poster"),
    "source": ("src", "srcset"), "iframe": ("src",), "embed": ("src",), "object": ("data",),
    "track": ("src",), "image": ("href", "xlink:href"), "use": ("href", "xlink:href"),
}  # fmt: skip
# of <link>, these only tell of something
TOLD = {"next", "prev", "index", "search", "author", "canonical", "copyright", "license"}
STYLE = re.compile(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)")


class Page(HTMLParser):
    """A page's ``anchors``, its ``links`` to click, and what a browser gets with it, ``fetched``."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.in_style = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect what the tag names."""
        values = {key: value or "" for key, value in attrs}
        self.in_style = tag == "style"
        self.anchors |= {values[key] for key in ("id", "name") if key in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "link" and "href" in values:
            told = TOLD & set(values.get("rel", "").lower().split())
            (self.links if told else self.fetched).append(values["href"])
        self.fetched += [values[key] for key in FETCHED.get(tag, ()) if key in values]
        self.fetched += addresses(values.get("style", ""))

    def handle_endtag(self, tag: str) -> None:
        """Note the end of a style sheet within the page."""
        self.in_style = False

    def handle_data(self, data: str) -> None:
        """Collect what a style sheet within the page names."""
        if self.in_style:
            self.fetched += addresses(data)


def addresses(style: str) -> list[str]:
    """Return the addresses in a style sheet."""
    return [one or other for one, other in STYLE.findall(style)]


def problems(site: Path) -> list[str]:
    """Return a line for each link of the site's pages that leads nowhere or is fetched from elsewhere."""
    pages = {
        path.relative_to(site).as_posix(): Page(path.read_text(encoding="utf-8"))
        for path in sorted(site.rglob("*.html"))
    }
    if "index.html" not in pages:
        return [f"{site} has no index.html"]
    found: list[str] = []
    for name, page in pages.items():
        for address in page.fetched:
            found += [f"{name}: {wrong}" for wrong in broken(site, pages, name, address, fetched=True)]
        for address in page.links:
            found += [f"{name}: {wrong}" for wrong in broken(site, pages, name, address)]
    for path in sorted(site.rglob("*.css")):
        name = path.relative_to(site).as_posix()
        for address in addresses(path.read_text(encoding="utf-8")):
            found += [f"{name}: {wrong}" for wrong in broken(site, pages, name, address, fetched=True)]
    return list(dict.fromkeys(found))


def broken(site: Path, pages: dict[str, Page], name: str, address: str, fetched: bool = False) -> list[str]:
    """Return what is wrong with one address on the page ``name``."""
    try:
        parts = urlsplit(address)
    except ValueError as error:
        return [f"{address} is no address: {error}"]
    if parts.scheme == "data" or (parts.scheme in ("http", "https", "mailto") and not fetched):
        return []
    if parts.scheme or parts.netloc:
        return [f"{address} would be fetched from elsewhere"]
    path = unquote(parts.path)
    target = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) if path else name
    if target.startswith(("..", "/")) or not (site / target).is_file():
        return [f"{address} leads nowhere"]
    anchor = unquote(parts.fragment)
    if anchor and not fetched and target in pages and anchor not in pages[target].anchors:
        return [f"{address}: {target} has no #{anchor}"]
    return []
