"""The files that a template may import: those of the folder of its project, and no others. Lesson 10."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from jinja2 import nodes

from asrlib.errors import InputError
from asrlib.reading import read_text

SUFFIXES = (".j2", ".jinja2", ".yaml", ".yml")


class Folder:
    """The folder that the names of imported files are relative to, and the files in it.

    TensorFlowASR names files from the root of its repository, wherever the template is. The root is the
    nearest folder, from the template's own (``start``) upward, that has a file which the template ``tree``
    imports. ``where`` names the template in messages.
    """

    def __init__(self, start: Path, tree: nodes.Template, where: str):
        self.where = where
        self.root = start.resolve()
        for name in _names(tree):
            for root in (self.root, *self.root.parents):
                if _inside(root, name) is not None:
                    self.root = root
                    return

    def read(self, name: str) -> tuple[str, str]:
        """Return the text of the file ``name``, and its path for messages.

        Raises ``InputError`` for a name that leads out of the folder or is not a configuration's, and for a
        file that does not exist or is not text.
        """
        relative = name.removeprefix(str(self.root)).lstrip("/") if name.startswith(str(self.root)) else name
        path = _inside(self.root, relative)
        if path is None:
            raise InputError(
                f"{self.where}: the template imports {name[:200]!r}, which is no {' or '.join(SUFFIXES)} file"
                " in its folder or one above: place the template as in its repository"
            )
        return read_text(path), str(path)


def _inside(root: Path, name: str) -> Path | None:
    """Return the file ``name`` in ``root`` if it exists and is a configuration; None otherwise."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or ".." in parts or name.startswith("/") or not name.endswith(SUFFIXES) or "\0" in name:
        return None
    path = root.joinpath(*parts)
    try:
        found = path.is_file() and path.resolve().is_relative_to(root)
    except OSError:  # for example, a name that is too long
        return None
    return path if found else None


def _names(tree: nodes.Template) -> list[str]:
    """Return the names of the files that a template imports, as far as it spells them out.

    Of ``repodir ~ "/a/b.j2"`` this is ``a/b.j2``.
    """
    found = []
    for node in tree.find_all(nodes.Import):
        parts = (node.template, *node.template.find_all(nodes.Const))
        texts = [part.value for part in parts if isinstance(part, nodes.Const)]
        found += [text.lstrip("/") for text in texts[-1:] if isinstance(text, str)]
    return found
