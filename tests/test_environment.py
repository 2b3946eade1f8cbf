"""environment.yml is the conda way to what pyproject.toml says; constraints and lock pin all of it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import lock  # of tools
import pytest
import yaml

ROOT = Path(__file__).parent.parent


def test_environment_yml_agrees_with_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert set(pip) == set(lock.wanted())


def test_the_core_is_small():
    """What transcribing needs: no corpora, no notebooks, no synthesis under the GPL."""
    core = {re.split("[><=]", requirement)[0] for requirement in lock.wanted(extras=())}
    assert core == {
        *("torch", "numpy", "soundfile", "safetensors", "sentencepiece", "jiwer"),
        *("jaxtyping", "pyyaml", "jinja2", "typer", "tqdm"),
    }


def test_every_file_beside_the_code_is_installed_with_it():
    """What a wheel really holds, the slow tests look at."""
    tomllib = pytest.importorskip("tomllib", reason="tomllib comes with Python 3.11")
    listed = subprocess.run(["git", "ls-files", "-z", "asrlib", "data"], cwd=ROOT, capture_output=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    globs = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    installed = {
        path.relative_to(ROOT).as_posix()
        for package, patterns in globs.items()
        for pattern in patterns
        for path in (ROOT / package.replace("asrlib.assets", "data").replace(".", "/")).glob(pattern)
    }
    files = set(filter(None, listed.stdout.decode().split("\0")))
    assert {name for name in files if not name.endswith(".py")} - installed == set()


def test_constraints_are_versions_only():
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"[a-z0-9_.-]+==[^ ]+( ; .+)?", line), line


def test_the_lock_agrees_with_pyproject_and_constraints():
    assert lock.problems() == []


@pytest.fixture
def copied(tmp_path):
    for name in ("pyproject.toml", "constraints.txt", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "name, old, new, problem",
    [
        ("requirements.lock", r"(safetensors==\S+ \\\n)(    --hash=.*\n)+", "safetensors==9.9\n", "sha256"),
        ("requirements.lock", r"--hash=sha256:", "--hash=md5:", "sha256"),
        ("requirements.lock", r"tqdm==\S+", "tqdm @ https://example.org/tqdm.whl", "not a pinned version"),
        ("requirements.lock", r"\A", "--index-url https://example.org/simple\n", "not a pinned version"),
        ("requirements.lock", r"tqdm==\S+", "tqdm==4.0", "constraints.txt does not"),
        ("constraints.txt", r"tqdm==\S+", "tqdm==4.0", "requirements.lock does not"),
        ("pyproject.toml", r"tqdm>=4.66", "tqdm>=99", "Python 3.13: pyproject.toml wants tqdm>=99, "),
        (
            "pyproject.toml",
            r"lhotse>=1.31",
            "left-out>=1",
            "left-out>=1, requirements.lock pins nothing",
        ),
    ],
)
def test_a_lock_that_does_not_agree_is_found(copied, name, old, new, problem):
    text = (copied / name).read_text()
    assert re.search(old, text)
    (copied / name).write_text(re.sub(old, lambda _: new, text))
    assert any(problem in found for found in lock.problems(copied)), lock.problems(copied)


def test_each_python_gets_one_version_of_each_package(copied):
    pin = "\nnumpy==1.0 ; python_full_version < '3.13'"
    for name in ("requirements.lock", "constraints.txt"):
        with open(copied / name, "a") as file:
            file.write(f"{pin[1:]} \\\n    --hash=sha256:{'0' * 64}\n" if "lock" in name else pin[1:] + "\n")
    found = lock.problems(copied)
    assert len(found) == 3 and all("wants numpy" in line and " and 1.0" in line for line in found), found


def test_readme_and_pyproject_name_the_same_pythons():
    text = (ROOT / "pyproject.toml").read_text()
    assert 'requires-python = ">=3.10"' in text and "3.10 to 3.13" in (ROOT / "README.md").read_text()
    assert sys.version_info >= (3, 10)
