"""The container for graders on other systems: what its recipe names is there. Docker itself is not tried."""

import re

import pytest
from handed_in import ROOT

RECIPE = (ROOT / "tools" / "grading" / "Dockerfile").read_text()
tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")


def test_the_recipe_names_what_the_repository_has():
    for path in re.findall(r"/course/([\w./]+)", RECIPE):
        assert (ROOT / path).exists(), path
    extras = re.search(r"/course\[([\w,]+)\]", RECIPE)[1].split(",")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras) <= set(project["optional-dependencies"])
    assert "nbgrader" in " ".join(item for name in extras for item in project["optional-dependencies"][name])


def test_the_image_holds_nobodys_work():
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {"submitted", "graded"} <= set(ignored)


def test_the_page_says_the_same():
    page = (ROOT / "docs" / "instructors.md").read_text()
    assert "docker build -t asr-grade -f tools/grading/Dockerfile ." in page
    for mounted in re.findall(
        r'"(/\w+)"', RECIPE.split("ENTRYPOINT")[1].replace("/course/tools/grade.py", "")
    ):
        assert f":{mounted}" in page, mounted
