"""Every worked example of docs/extending.md runs in a copy of this checkout: files, changes and commands."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
# what the examples change, and what they read; never a virtual environment or a run
COPIED = ("asrlib", "data", "docs", "exercises", "notebooks", "solutions", "tests", "tools")
FILES = ("CITATION.cff", "README.md", "nbgrader_config.py", "pyproject.toml")


@dataclass
class Block:
    """A fenced block: the language after its fence, and the path in the line above, if there is one."""

    language: str
    path: str | None
    text: str


def sections() -> dict[str, list[Block]]:
    """Return the blocks of each section that has any, by its heading."""
    found = {}
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        title, body = section.split("\n", 1)
        fenced = re.findall(r"(?:^`([^`\n]+)`\n\n)?^```(\w+)\n(.*?)^```$", body, re.MULTILINE | re.DOTALL)
        found[title] = [Block(language, path or None, text) for path, language, text in fenced]
    return {title: blocks for title, blocks in found.items() if blocks}


@pytest.fixture
def checkout(tmp_path):
    """A copy of this checkout without what git would ignore."""
    for name in COPIED:
        ignored = shutil.ignore_patterns("__pycache__", ".*", "*.egg-info", "runs", "graded")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path / name)
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, what in (("python", ""), ("asrlib", " -m asrlib.cli")):
        (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{what} "$@"\n')
        (commands / name).chmod(0o755)
    return tmp_path


def perform(block: Block, checkout: Path) -> None:
    if block.language == "sh":
        for command in block.text.splitlines():
            run(command, checkout)
        return
    assert block.path, f"a {block.language} block without a path above it:\n{block.text}"
    file = checkout / block.path
    if block.language == "diff":
        file.write_text(patched(file.read_text(encoding="utf-8"), block), encoding="utf-8")
        return
    assert not file.exists(), f"{block.path} exists already"
    assert file.parent.is_dir(), f"{block.path}: its folder does not exist"
    file.write_text(block.text, encoding="utf-8")


def patched(text: str, block: Block) -> str:
    """Return ``text`` with the block's lines with + in it; those with a space or - are there exactly once."""
    lines = block.text.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] in " -")
    after = "".join(line[1:] for line in lines if line[0] in " +")
    if text.count(before) != 1:
        raise AssertionError(f"{block.path} must contain exactly once:\n{before}")
    return text.replace(before, after)


def run(command: str, checkout: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    environment |= {
        "PATH": f"{checkout / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(checkout),
        "ASRLIB_CACHE": str(checkout / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.mark.processes
@pytest.mark.parametrize("title", sections())
def test_a_worked_example_works(title, checkout):
    for block in sections()[title]:
        perform(block, checkout)


def test_the_examples_that_the_page_promises_are_there():
    assert list(sections()) == ["An encoder", "A loss", "A corpus", "A lesson", "A task"]
    assert all(blocks[-1].language == "sh" for blocks in sections().values())
    # every fence has been read: none is left out of the sections because of how it is written
    assert PAGE.count("\n```") == 2 * sum(map(len, sections().values()))


def test_a_change_that_does_not_fit_is_an_error():
    block = Block("diff", "f.py", " one\n+two\n")
    assert patched("zero\none\nthree\n", block) == "zero\none\ntwo\nthree\n"
    for text in ("zero\n", "one\none\n"):
        with pytest.raises(AssertionError, match="f.py must contain exactly once:\none"):
            patched(text, block)
