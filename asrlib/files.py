"""The location of the shipped data, and atomic writes of files."""

from __future__ import annotations

import contextlib
import importlib.resources
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


def assets() -> Path:
    """Return the folder of the shipped clips and models: ASRLIB_DATA if set, or else the package's own."""
    if named := os.environ.get("ASRLIB_DATA"):
        return Path(named)
    package = package_folder("asrlib")
    # A wheel has them inside the package. A checkout has them beside it, in data, whether it is installed
    # with -e or only on the path. Importing asrlib.assets does not work there: it may find those of another
    # checkout that is installed with -e.
    inside = package / "assets"
    return inside if inside.is_dir() else package.parent / "data"


def package_folder(package: str) -> Path:
    """Return the folder of a package of asrlib, for the files that ship with it, with links resolved."""
    return Path(str(importlib.resources.files(package))).resolve()


@contextlib.contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Yield an empty draft folder; on success, move its files into ``folder``, replacing the old ones.

    If anything fails before the move, the old files stay as they are. Raises ``OSError``; its ``filename`` is
    the folder if the operating system does not name a file.
    """
    draft = folder / "draft.partial"
    try:
        shutil.rmtree(draft, ignore_errors=True)  # left over from a killed process
        draft.mkdir(parents=True)
        yield draft
        for file in sorted(draft.iterdir()):
            with open(file, "rb") as written:
                os.fsync(written.fileno())
        for file in sorted(draft.iterdir()):
            os.replace(file, folder / file.name)
    except OSError as error:
        error.filename = error.filename or str(folder)  # the error of a failed write names no file
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` atomically: the old content stays until the new content is complete.

    Raises ``OSError``, whose ``filename`` is ``path``.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        # never replace /dev/stdout, a pipe or a link: write into it
        if path.is_symlink() or (path.exists() and not path.is_file()):
            path.write_bytes(content)
            return
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        error.filename = str(path)
        raise
