"""An interpreter behind symbolic links, and libraries that lie elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from grading.sandbox.namespaces import follow
from handed_in import ROOT

SCRIPT = """
import sys; sys.path[:0] = sys.argv[1:]
from grading import sandbox
with sandbox.Sandbox(sandbox.Limits(hidden=tuple(sandbox.hidden_folders()))) as server:
    with server.session() as session:
        print(server.isolation, session.run("import IPython.core.interactiveshell, sys; print(sys.prefix)"))
"""


def link(path, target):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    return path


def test_every_link_on_the_way_is_found(tmp_path):
    tmp_path = Path(os.path.realpath(tmp_path))
    (tmp_path / "real" / "venv" / "bin").mkdir(parents=True)
    link(tmp_path / "a" / "middle", "../real")
    link(tmp_path / "venv", tmp_path / "a" / "middle" / "venv")
    links, real = follow(str(tmp_path / "venv" / "bin" / ".." / "bin"))
    assert real == str(tmp_path / "real" / "venv" / "bin")
    assert links == [
        (str(tmp_path / "venv"), str(tmp_path / "a" / "middle" / "venv")),
        (str(tmp_path / "a" / "middle"), "../real"),
    ]


def test_links_in_a_circle_end(tmp_path):
    link(tmp_path / "one", "two")
    link(tmp_path / "two", "one")
    with pytest.raises(OSError, match="too many symbolic links"):
        follow(str(tmp_path / "one"))


def by_link_to_venv(folder):
    """The environment itself is a link."""
    return link(folder / "My Course (1)" / ".venv", sys.prefix) / "bin" / "python"


def by_copied_venv(folder):
    """An environment of its own, whose interpreter is a link to a link, and whose libraries lie elsewhere."""
    venv = folder / "My Course (2)" / ".venv"
    home = link(folder / "pythons" / "3", sys.base_prefix)
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    link(venv / "bin" / "python", home / "bin" / name)
    (venv / "pyvenv.cfg").write_text(f"home = {home / 'bin'}\ninclude-system-site-packages = false\n")
    site = venv / "lib" / name / "site-packages"
    site.mkdir(parents=True)
    libraries = link(folder / "libraries", next(p for p in sys.path if p.endswith("site-packages")))
    (site / "elsewhere.pth").write_text(f"{libraries}\n")
    return venv / "bin" / "python"


@pytest.mark.parametrize("make", [by_link_to_venv, by_copied_venv])
def test_a_notebook_runs_behind_links(tmp_path, make):
    if sys.prefix == sys.base_prefix:
        pytest.skip("not in a virtual environment")
    python = make(tmp_path)
    done = subprocess.run(
        [python, "-c", SCRIPT, ROOT / "tools", ROOT], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split(" ", 1)[1].strip() == str(python.parent.parent), done.stdout
