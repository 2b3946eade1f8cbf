"""What the README says is so."""

import json
import re
import shlex
from pathlib import Path

import pytest

from asrlib import InputError
from asrlib.config.parse import load_config

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve".split()


def commands(page):
    """Each asrlib command of a page's blocks: its words, and what its comment says."""
    blocks = re.findall(
        r"^```\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        if line.startswith("asrlib "):
            command, _, comment = line.partition(" # ")
            yield shlex.split(command)[1:], comment.strip()


def test_the_clip_is_transcribed_as_it_says(asrlib, monkeypatch):
    monkeypatch.chdir(ROOT)
    ((words, comment),) = [found for found in commands("README.md") if found[0][0] == "transcribe"]
    code, printed, _ = asrlib(*words)
    assert (code, printed) == (0, comment + "\n")


@pytest.mark.parametrize("page", ["README.md", "docs/command-line.md"])
def test_commands_and_their_options_exist(page, asrlib):
    found = list(commands(page))
    assert len(found) >= 3
    for words, _ in found:
        code, help, _ = asrlib(words[0], "--help")
        assert code == 0, words
        plain = re.sub(r"\x1b\[[0-9;]*m", "", help)
        for option in (word for word in words if word.startswith("--")):
            assert option in plain, (words, option)


def test_the_configuration_that_it_trains_exists():
    names = re.findall(r"asrlib train (\S+)", TEXT)
    assert names
    for name in names:
        try:
            load_config(name)
        except InputError as error:
            pytest.fail(str(error))


def test_tasks_and_bugs_are_counted():
    """Marked cells, as nbgrader counts points."""
    tasks = {}
    for path in (ROOT / "exercises").glob("*/*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        tasks[path.parent.name] = sum(
            bool(cell["metadata"].get("nbgrader", {}).get("grade")) for cell in cells
        )
    bugs = tasks.pop("find_the_bug")
    (said,) = re.findall(r"(\d+) tasks", TEXT)
    assert int(said) == sum(tasks.values())
    (said,) = re.findall(r"and (\w+) bugs", TEXT)
    assert NUMBERS.index(said) == bugs


@pytest.mark.parametrize("page", ["digits", "results"])
def test_what_it_reaches_stands_on_the_page_that_it_links(page):
    """Each figure in percent of a paragraph that links a page stands there too."""
    other = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    section = TEXT.split("## What it reaches\n")[1].split("\n## ")[0]
    items = [item for item in section.split("\n- ")[1:] if f"(docs/{page}.md)" in item]
    assert items
    for item in items:
        for figure in re.findall(r"\d+\.\d+", item):
            assert re.search(rf"\b{re.escape(figure)}\b", other), figure
