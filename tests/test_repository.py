"""The files beside the code: what they say of each other agrees."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from asrlib.bench.playgrounds import BROWSERS

ROOT = Path(__file__).parent.parent
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")),
)


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


# -------------------------------------------------------------------------------- the workflow


@pytest.fixture(scope="module")
def workflow():
    return yaml.safe_load(text(".github/workflows/ci.yml"))


@pytest.fixture(scope="module")
def pythons():
    """The versions that pyproject.toml and the README promise."""
    (lowest,) = re.findall(r'requires-python = ">=3\.(\d+)"', text("pyproject.toml"))
    (promised,) = re.findall(r"Python 3\.(\d+) to 3\.(\d+)", text("README.md"))
    assert promised[0] == lowest
    return [f"3.{minor}" for minor in range(int(lowest), int(promised[1]) + 1)]


def commands(workflow):
    return [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]


def test_the_workflow_runs_on_every_python_that_is_promised(workflow, pythons):
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == pythons
    for job in workflow["jobs"].values():
        (setup,) = [step for step in job["steps"] if step.get("uses", "").startswith("actions/setup-python")]
        version = setup["with"]["python-version"]
        assert version in (*pythons, "${{ matrix.python }}")


def test_the_workflow_runs_the_makefiles_targets(workflow):
    targets = [run.split()[1:] for run in commands(workflow) if run.startswith("make ")]
    assert {target for line in targets for target in line} == {
        "lint", "unit", "lessons", "integration", "test-slow",
    }  # fmt: skip
    assert {target for line in targets for target in line} <= TARGETS
    # anything else than a target only looks whether something is there
    assert all("which" in run for run in commands(workflow) if not run.startswith("make "))


def test_no_test_is_left_out(workflow):
    """`make test` is lint, the tests that are not slow (unit and integration in CI), and lessons."""
    recipes = dict(re.findall(r"^([a-z-]+): .*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE))
    marks = {name: re.findall(r'-m "(.*)"', recipes[name]) for name in ("test", "unit", "integration")}
    assert marks == {
        "test": ["not slow"],
        "unit": ["not browser and not processes and not slow"],
        "integration": ["(browser or processes) and not slow"],
    }
    assert "test: $(READY) lint\n" in MAKEFILE and "$(MAKE) lessons" in recipes["test"]


def test_the_workflow_is_bounded_and_may_only_read(workflow):
    assert workflow["permissions"] == {"contents": "read"}
    assert all(0 < job["timeout-minutes"] <= 90 for job in workflow["jobs"].values())
    assert workflow["env"] == {"CPU": "1"}
    # YAML 1.1 reads the key "on" as true
    assert set(workflow[True]) == {"push", "pull_request", "workflow_dispatch", "schedule"}


def test_the_site_is_built_by_the_makefile_and_only_publishing_may_write():
    site = yaml.safe_load(text(".github/workflows/site.yml"))
    assert [step["run"] for step in site["jobs"]["build"]["steps"] if "run" in step] == ["make site"]
    steps = site["jobs"]["build"]["steps"]
    assert steps[-1]["with"]["path"] == "build/site" and "upload-pages" in steps[-1]["uses"]
    assert site["permissions"] == {"contents": "read"} and site["env"] == {"CPU": "1"}
    assert "permissions" not in site["jobs"]["build"]
    assert site["jobs"]["publish"]["permissions"] == {"pages": "write", "id-token": "write"}
    assert site["jobs"]["publish"]["needs"] == "build"
    assert all(0 < job["timeout-minutes"] <= 30 for job in site["jobs"].values())
    assert set(site[True]) == {"push", "workflow_dispatch"}


@pytest.mark.parametrize("job", ["integration", "slow"])
def test_jobs_ask_for_the_browser_that_their_tests_look_for(workflow, job):
    steps = " ".join(commands({"jobs": {"one": workflow["jobs"][job]}}))
    for name in BROWSERS:
        assert f"which {name}" in steps
    assert "which chromedriver" in steps


# -------------------------------------------------------------------------------- pages


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_that_a_page_names_exists(page):
    named = re.findall(r"`(?:\w+=\S+ )?make ([^`\n]+)`|^make (.+?)(?: +#.*)?$", text(page), re.MULTILINE)
    words = {word for pair in named for word in "".join(pair).split() if "=" not in word}
    assert {word for word in words if re.fullmatch("[a-z][a-z-]*", word)} <= TARGETS


@pytest.mark.parametrize("page", PAGES)
def test_links_to_files_exist(page):
    folder = (ROOT / page).parent
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)", text(page))
    assert [target for target in targets if not (folder / target).exists()] == []


def test_every_marker_is_explained():
    known = re.findall(r'^    "(\w+): ', text("pyproject.toml").split("markers = [")[1], re.MULTILINE)
    explained = re.findall(r"^\| `(\w+)` \|", text("CONTRIBUTING.md"), re.MULTILINE)
    assert sorted(explained) == sorted(known)


def test_the_changelog_has_this_version():
    (version,) = re.findall(r'^version = "(.+)"', text("pyproject.toml"), re.MULTILINE)
    headings = re.findall(
        r"^## \[(.+?)\] - (unreleased|\d{4}-\d\d-\d\d)$", text("CHANGELOG.md"), re.MULTILINE
    )
    assert headings and headings[0][0] == version
    kinds = set(re.findall(r"^### (.+)$", text("CHANGELOG.md"), re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "Known limits"}
    assert f'__version__ = "{version}"' in text("asrlib/__init__.py")


def test_the_changelog_names_every_command():
    from asrlib.cli import app

    commands = [command.name or command.callback.__name__ for command in app.registered_commands]
    commands += [group.name for group in app.registered_groups]
    (line,) = re.findall(r"^- `asrlib`, the command: (.*)$", text("CHANGELOG.md"), re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", line)) == sorted(commands)


def test_the_citation_is_valid():
    citation = yaml.safe_load(text("CITATION.cff"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # what 1.2.0 requires
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software"
    assert all("name" in author or "family-names" in author for author in citation["authors"])
    assert f'license = "{citation["license"]}"' in text("pyproject.toml")
    for reference in citation["references"]:
        assert {"type", "title", "authors"} <= set(reference)


# -------------------------------------------------------------------------------- lint


def test_make_lint_checks_style_form_layers_types_and_lock():
    recipe = MAKEFILE.split("lint: $(READY)\n")[1].split("\n\n")[0]
    for command in (
        "ruff check",
        "ruff format --check",
        "lint-imports",
        "mypy",
        "python tools/lock.py --check",
    ):
        assert f"$(BIN)/{command}" in recipe


def test_the_code_is_written_for_the_lowest_python(tmp_path):
    """ruff's syntax checks know what the lowest version lacks: proven by a statement of 3.11."""
    bad = tmp_path / "new.py"
    bad.write_text("try:\n    pass\nexcept* ValueError:\n    pass\n")
    command = [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), str(bad)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "Python 3.10" in done.stdout, done.stdout
