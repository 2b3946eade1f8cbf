"""Lessons on Colab: one cell installs the library there, from one address, beside what Colab brings along."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
import colab  # noqa: E402 (tools is no package)

LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_first_code_cell_is_the_one_of_the_tool(path):
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert code[0].source == colab.first_cell(*colab.project()), "run python tools/colab.py"
    assert colab.TAG in code[0].metadata.tags and not code[0].outputs


def test_table_of_lessons_is_the_one_of_the_tool():
    written = (ROOT / "README.md").read_text(encoding="utf-8")
    assert written == colab.readme(LESSONS), "run python tools/colab.py"


def test_citation_is_the_one_of_the_tool():
    written = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert written == colab.citation(), "run python tools/colab.py"


def test_address_is_written_by_hand_in_one_place_only():
    address = colab.project()[0].removeprefix("https://github.com/")
    exercises = (ROOT / "exercises").glob("*/*.ipynb")
    files = (ROOT / name for name in ("pyproject.toml", "README.md", "CITATION.cff"))
    written = {*files, *LESSONS, *exercises}  # by tools, but the first
    kept = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if kept.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, kept.stdout.split("\0")):
        path = ROOT / name
        if path not in written and path.is_file():
            assert address.encode() not in path.read_bytes(), name


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """An interpreter that has the packages of this one, and a stand-in for google.colab, but no asrlib."""
    folder = tmp_path_factory.mktemp("colab")
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    found = subprocess.run([python, "-c", where], capture_output=True, text=True, check=True)
    site = Path(found.stdout.strip())
    # a path named in a .pth file is searched, but its own .pth files, such as asrlib's, are not read
    (site / "preinstalled.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (site / "google" / "colab").mkdir(parents=True)
    (site / "google" / "colab" / "__init__.py").touch()
    (site / "sitecustomize.py").write_text("import google.colab\n")  # as Colab's kernel has imported it
    return python


def run(python, source, folder):
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    command = [python, "-m", "IPython", "--no-banner", "--colors=NoColor", "-c", source]  # it knows %pip
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture
def repository(tmp_path):
    """A clone of this checkout's last commit with the tag that the cell asks for, and the cell for it."""
    if subprocess.run(["git", "rev-parse"], cwd=ROOT, capture_output=True).returncode:
        pytest.skip("not a git checkout")
    clone, tag = tmp_path / "repository", colab.project()[1]
    clone.mkdir()
    # a repository of one commit: from a shallow clone pip would fetch the files one by one
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x"], cwd=clone, input=archive, check=True)
    me = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*me, "commit", "-q", "-m", "All"], ["tag", tag]):
        subprocess.run(["git", *command], cwd=clone, check=True)
    return colab.first_cell(f"file://localhost{clone}", tag)  # pip 23 wants a host


def test_cell_installs_the_library_on_colab_and_leaves_colabs_own_packages(empty, repository, tmp_path):
    alone = run(empty, "import importlib.util as i; print(i.find_spec('asrlib'))", tmp_path)
    assert alone.stdout.strip() == "None", alone.stderr
    use = (
        "\nimport asrlib, torch, numpy, ipywidgets\n"
        "print(len(asrlib.clips()), asrlib.Recognizer.load().tokenizer.vocabulary)\n"
        "print(asrlib.__file__, torch.__file__, numpy.__file__, ipywidgets.__file__)\n"
    )
    done = run(empty, repository + use, tmp_path)
    if "Could not find a version" in done.stdout + done.stderr:
        pytest.skip("pip cannot reach a package index")
    assert done.returncode == 0, done.stderr
    counts, files = done.stdout.splitlines()[-2:]
    assert counts == "9 11"
    ours, *theirs = files.split()
    assert Path(ours).is_relative_to(empty.parents[1])  # the environment of the stand-in
    assert all(Path(file).is_relative_to(sysconfig.get_path("purelib")) for file in theirs)
    again = run(empty, repository + use, tmp_path)  # a restarted runtime: found, not installed again
    assert again.returncode == 0, again.stderr


def test_cell_does_nothing_elsewhere(tmp_path):
    """It says what to do in a comment; nothing is installed where nobody asked for it."""
    missing = "import sys, importlib.util\nimportlib.util.find_spec = lambda name: None\n"
    done = run(sys.executable, missing + colab.first_cell(*colab.project()), tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
    assert "make lab" in colab.first_cell(*colab.project()).splitlines()[0]
