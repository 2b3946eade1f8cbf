"""Write the handout for students: the lessons and the exercises, without solutions.

python tools/handout.py [FOLDER or FILE.zip]        # default: handout.zip
"""

from __future__ import annotations

import argparse
import io
import sys
import zipfile
from pathlib import Path

import assignments

from asrlib.errors import InputError
from asrlib.files import write_atomically

LESSONS = assignments.ROOT / "notebooks"
SECRETS = ("BEGIN SOLUTION", "BEGIN HIDDEN TESTS")
DATE = (2026, 1, 1, 0, 0, 0)  # fixed, so that the same notebooks give the same file


def contents() -> dict[str, bytes]:
    """Return the contents of the files by name; raise ``InputError`` if one of them has a solution."""
    paths = [*sorted(LESSONS.glob("*.ipynb")), *assignments.notebooks(assignments.EXERCISES)]
    found = {path.relative_to(assignments.ROOT).as_posix(): path.read_bytes() for path in paths}
    for name, content in found.items():
        if any(secret.encode() in content for secret in SECRETS):
            raise InputError(f"{name} contains a solution: run make exercises to write it again")
    if not found:
        raise InputError("there are no lessons and no exercises: run this in the course's folder")
    return found


def write(target: Path) -> int:
    """Write a zip file or a folder, which must be new or empty; return the number of files."""
    found = contents()
    if target.suffix == ".zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in found.items():
                entry = zipfile.ZipInfo(f"{target.stem}/{name}", DATE)
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(entry, content)
        write_atomically(target, buffer.getvalue())
        return len(found)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target} is not an empty folder: choose another, or a name that ends in .zip")
    for name, content in found.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(content)
    return len(found)


def main() -> int:
    """Run the tool; return 0, or 2 after printing why nothing was written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", type=Path, nargs="?", default=Path("handout.zip"))
    target = parser.parse_args().target
    try:
        count = write(target)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{target} cannot be written: {error.strerror or error}", file=sys.stderr)
        return 2
    print(f"{count} notebooks: {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
