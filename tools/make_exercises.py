"""Generate the student versions of all assignments with nbgrader's converter.

python tools/make_exercises.py [FOLDER]        # default: exercises/
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import assignments
import colab
import nbformat
from nbgrader.converters import GenerateAssignment
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config, PyFileConfigLoader


def make(folder: Path) -> list[Path]:
    """Generate every assignment into ``folder``, replacing the notebooks there; return their paths."""
    config = settings()
    config.SaveCells.enabled = False
    config.CourseDirectory.root = str(assignments.ROOT)
    config.CourseDirectory.release_directory = str(folder)
    for old in assignments.notebooks(folder):
        shutil.rmtree(old.parent)
    made = []
    for source in assignments.notebooks():
        config.CourseDirectory.assignment_id = source.parent.name
        converter = GenerateAssignment(coursedir=CourseDirectory(config=config), config=config)
        converter.no_database, converter.force = True, True
        converter.start()
        made.append(assignments.exercise(source.stem, folder))
        (made[-1].parent / source.name).replace(made[-1])
        tidy(made[-1])
    return made


def settings() -> Config:
    """Return the configuration in ``nbgrader_config.py``."""
    return PyFileConfigLoader("nbgrader_config.py", path=str(assignments.ROOT)).load_config()


def tidy(path: Path) -> None:
    """Write a notebook as this repository's others are, with the lessons' first cell for Colab."""
    notebook = colab.stamped(nbformat.read(path, as_version=4), colab.first_cell(*colab.project()))
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count = None
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.write(notebook, path)
    path.chmod(0o644)


if __name__ == "__main__":
    for path in make(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else assignments.EXERCISES):
        print(path)
