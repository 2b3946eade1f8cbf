"""The folder that Sphinx reads: the repository's documents, lessons and assignments as pages.

Files keep their places, so that the links between them stay what they are in the repository. A link to what
is no page leads to the repository on the web.
"""

from __future__ import annotations

import html
import posixpath
import re
import shutil
from pathlib import Path

import colab
import handout
import make_picture
import nbformat

from website import notebooks, playgrounds, reference

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md", "data/README.md", "data/*/README.md")
PICTURES = ("docs/*.png", "docs/*.svg", "data/*/*.png")
FRONT, PLAYGROUNDS = "README.md", "playgrounds.md"
PICTURE, CLIP = "docs/front.png", "data/clips/" + make_picture.CLIP
COURSE = {  # the order of the documents in the site's contents
    "Using it": ("docs/command-line", "docs/library", "docs/configuration", "docs/training", "docs/glossary"),
    "What was measured": ("docs/digits", "docs/results", "docs/benchmarks", "docs/gpu"),
    "Teaching and building": ("docs/instructors", "docs/extending", "CONTRIBUTING"),
}


class Sources:
    """The pages of the repository ``root``, for the folder that Sphinx reads."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self.repository, self.tag = colab.project()
        # no solution may come in: handout.contents raises InputError if one does
        self.notebooks = handout.contents()
        self.documents = sorted({path for glob in DOCUMENTS for path in root.glob(glob)})
        self.pages = {self.name(path) for path in self.documents} | set(self.notebooks)

    def name(self, path: Path) -> str:
        """Return the path within the repository."""
        return path.relative_to(self.root).as_posix()

    def write(self, target: Path) -> int:
        """Write all pages into the folder ``target``, anew; return their number."""
        shutil.rmtree(target, ignore_errors=True)
        pages = {"index.md": self.front(), "exercises/index.md": self.assignments()}
        pages |= {PLAYGROUNDS: playgrounds.page()}
        pages |= {self.name(path): self.document(path) for path in self.documents}
        pages |= {name: self.notebook(name) for name in self.notebooks}
        listed = reference.pages(self.root / "asrlib")
        pages |= {f"reference/{name}.rst": text for name, text in listed.items()}
        for name, text in pages.items():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_text(text, encoding="utf-8")
        for path in [path for glob in PICTURES for path in self.root.glob(glob)]:
            (target / self.name(path)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target / self.name(path))
        return len(pages)

    def write_downloads(self, site: Path) -> None:
        """Put the notebooks, as the repository has them, and the front page's clip into ``site``."""
        for name, content in (self.notebooks | {CLIP: (self.root / CLIP).read_bytes()}).items():
            (site / name).parent.mkdir(parents=True, exist_ok=True)
            (site / name).write_bytes(content)

    # ---------------------------------------------------------------------------- pages

    def document(self, path: Path) -> str:
        """Return the text of a document with its links leading to pages or to the repository.

        A page has one title: that of a document with several is its file's name.
        """
        text = self.relinked(path.read_text(encoding="utf-8"), self.name(path))
        if len(notebooks.titles(text)) > 1:
            text = f"# {path.stem.capitalize()}\n\n" + notebooks.outside_code(text, notebooks.shifted)
        return text

    def front(self) -> str:
        """Return the first page: the README, followed by the contents of the site."""
        text = self.relinked((self.root / FRONT).read_text(encoding="utf-8"), "index.md")
        # after the picture's caption
        above, rest = re.split(rf"(?<=\({re.escape(PICTURE)}\)\n\n)", text, maxsplit=1)
        caption, rest = rest.split("\n\n", 1)
        player = f'<audio controls src="{html.escape(CLIP)}" aria-label="the clip of the picture"></audio>'
        text = (
            f"{above}{caption}\n\n{player}\n\n**[Move it yourself]({PLAYGROUNDS})**: playgrounds.\n\n{rest}"
        )
        lessons = [name for name in self.notebooks if name.startswith("notebooks/")]
        parts = [("Lessons", [*lessons, PLAYGROUNDS]), ("Assignments", ["exercises/index"])]
        known = {posixpath.splitext(page)[0] for page in self.pages}
        parts += [(title, [page for page in pages if page in known]) for title, pages in COURSE.items()]
        placed = {posixpath.splitext(page)[0] for _, pages in parts for page in pages}
        others = sorted(page for page in known - placed if not page.startswith("exercises/"))
        parts += [("Reference", ["reference/index"]), ("Also", others)]
        trees = (
            "\n".join(["```{toctree}", ":hidden:", ":maxdepth: 1", f":caption: {title}", "", *pages, "```"])
            for title, pages in parts
        )
        return "\n\n".join([text, *trees]) + "\n"

    def assignments(self) -> str:
        """Return the page that lists the assignments."""
        names = [posixpath.splitext(name)[0] for name in self.notebooks if name.startswith("exercises/")]
        tree = "\n".join(["```{toctree}", ":maxdepth: 1", "", *(f"/{name}" for name in names), "```"])
        return (
            "# Assignments\n\nEach task has a checker that says whether an answer is right and, if not, what "
            "was expected, what came, and where to look. Tasks are answered in a running notebook: each page "
            f"has the links on top.\n\n{tree}\n"
        )

    def notebook(self, name: str) -> str:
        """Return a lesson or an assignment as a notebook for Sphinx."""
        notebook = nbformat.reads(self.notebooks[name].decode(), as_version=4)
        live = playgrounds.found(notebook)
        page = notebooks.page(notebook, self.bar(name), lambda target: self.link(target, name), live)
        return nbformat.writes(page)

    def bar(self, name: str) -> str:
        """Return the links on top of a lesson or an assignment: to its file, to Colab, to its counterpart."""
        colab_page = self.repository.replace("github.com", "colab.research.google.com/github")
        file = posixpath.basename(name)
        links = [
            f'<a href="{html.escape(file)}" download>Download the notebook</a>',
            f'<a href="{html.escape(f"{colab_page}/blob/{self.tag}/{name}")}">Open in Colab</a>',
        ]
        stem = posixpath.splitext(file)[0].removeprefix("exercise_")
        lesson, task = f"notebooks/{stem}.ipynb", f"exercises/{stem}/exercise_{stem}.ipynb"
        other, title = (task, "Assignment") if name == lesson else (lesson, "Lesson")
        if other in self.notebooks:
            address = posixpath.relpath(posixpath.splitext(other)[0] + ".html", posixpath.dirname(name))
            links.append(f'<a href="{html.escape(address)}">{title}</a>')
        return f'<p class="bar">{" ".join(links)}</p>'

    # ---------------------------------------------------------------------------- links

    def relinked(self, text: str, name: str) -> str:
        """Return Markdown of the page ``name`` with its links leading to pages or to the repository."""
        change = notebooks.relinked
        return notebooks.outside_code(text, lambda part: change(part, lambda target: self.link(target, name)))

    def link(self, target: str, name: str) -> str:
        """Return the address to write on page ``name`` for a link's ``target``."""
        if re.match(r"[a-z]+:|#", target):
            return target
        path, _, anchor = target.partition("#")
        folder = posixpath.dirname(name)
        found = posixpath.normpath(posixpath.join(folder, path))
        anchor = f"#{anchor}" if anchor else ""
        for page, source in ((FRONT, "index.md"), ("exercises", "exercises/index.md")):
            if found == page:
                return posixpath.relpath(source, folder or ".") + anchor
        only = [page for page in self.pages if posixpath.dirname(page) == found]
        if len(only) == 1:  # a folder of one page
            return posixpath.relpath(only[0], folder or ".") + anchor
        if found in self.pages or re.search(r"\.(png|svg)$", found):
            return target
        kind = "tree" if (self.root / found).is_dir() else "blob"
        return f"{self.repository}/{kind}/{self.tag}/{found}{anchor}"
