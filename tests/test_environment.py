"""environment.yml is the conda way to what pyproject.toml says, and constraints.txt pins all of it."""

import re
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent


@pytest.fixture
def wanted():
    tomllib = pytest.importorskip("tomllib", reason="tomllib comes with Python 3.11")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    return set(project["dependencies"]) | set(extras["lab"]) | set(extras["test"])


def test_environment_yml_agrees_with_pyproject(wanted):
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert set(pip) == wanted


def test_every_dependency_is_pinned(wanted):
    pinned = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert {re.split("[><=]", requirement)[0] for requirement in wanted} <= pinned


def test_constraints_are_versions_only():
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"[a-z0-9_.-]+==[^ ]+( ; .+)?", line), line


def test_readme_and_pyproject_name_the_same_pythons():
    text = (ROOT / "pyproject.toml").read_text()
    assert 'requires-python = ">=3.10"' in text and "3.10 to 3.13" in (ROOT / "README.md").read_text()
    assert sys.version_info >= (3, 10)
