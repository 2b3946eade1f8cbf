"""The pages that Sphinx reads."""

import importlib
import json
import re

import colab
import pytest
from website import notebooks, reference
from website.sources import CLIP, FRONT, ROOT, Sources

import asrlib


@pytest.fixture(scope="module")
def sources():
    return Sources()


@pytest.fixture(scope="module")
def written(sources, tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    assert sources.write(folder) == sum(
        path.suffix in (".md", ".ipynb", ".rst") for path in folder.rglob("*.*")
    )
    return folder


@pytest.mark.parametrize(
    "target, page, found",
    [
        ("notebooks/06_ctc.ipynb", "index.md", "notebooks/06_ctc.ipynb"),
        ("docs/training.md#long-recordings", "index.md", "docs/training.md#long-recordings"),
        ("exercises", "index.md", "exercises/index.md"),
        ("../README.md#license", "docs/library.md", "../index.md#license"),
        ("../exercises/find_the_bug/", "notebooks/00_start_here.ipynb",
         "../exercises/find_the_bug/exercise_find_the_bug.ipynb"),
        ("#here", "docs/library.md", "#here"),
        ("https://example.org/a.md", "docs/library.md", "https://example.org/a.md"),
        ("CITATION.cff", "index.md", "{}/blob/{}/CITATION.cff"),
        ("../asrlib/models", "docs/extending.md", "{}/tree/{}/asrlib/models"),
    ],
)  # fmt: skip
def test_links_lead_to_pages_or_to_the_repository(sources, target, page, found):
    assert sources.link(target, page) == found.format(*colab.project())


def test_every_lesson_assignment_and_document_is_a_page(written):
    kept = [*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("exercises/*/*.ipynb"), *ROOT.glob("docs/*.md")]
    assert len(kept) > 40
    assert [path for path in kept if not (written / path.relative_to(ROOT)).is_file()] == []


def test_every_document_has_one_title(written):
    titles = {path: notebooks.titles(path.read_text(encoding="utf-8")) for path in written.rglob("*.md")}
    assert {path.name: found for path, found in titles.items() if len(found) != 1} == {}
    assert titles[written / "docs" / "results.md"] == ["# Results"]
    assert "\n## Command words by their phones\n" in (written / "docs" / "results.md").read_text("utf-8")


def test_every_page_is_in_the_contents(written):
    trees = [*written.rglob("index.md"), written / "reference" / "index.rst"]
    named = set()
    for path in trees:
        text = path.read_text(encoding="utf-8")
        for entry in re.findall(r"^(?:   )?(/?[\w./-]+)$", text, re.MULTILINE):
            folder = written if entry.startswith("/") else path.parent
            named.add(re.sub(r"\.(ipynb|md)$", "", str((folder / entry.lstrip("/")).resolve())))
    pages = [path for path in written.rglob("*.*") if path.suffix in (".md", ".ipynb", ".rst")]
    assert [str(p) for p in pages if str(p.with_suffix("")) not in named and p != written / "index.md"] == []


def test_no_page_has_a_solution(written):
    """Beside what handout.contents refuses: the answer cells of assignments do nothing yet."""
    for path in (written / "exercises").rglob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        marks = [cell["metadata"].get("nbgrader", {}) for cell in cells]
        answers = [
            "".join(cell["source"]) for cell, mark in zip(cells, marks, strict=True) if mark.get("solution")
        ]
        assert answers and all("raise NotImplementedError" in answer for answer in answers), path


def test_the_bar_leads_to_file_colab_and_counterpart(sources):
    repository, tag = colab.project()
    bar = sources.bar("notebooks/06_ctc.ipynb")
    assert '<a href="06_ctc.ipynb" download>' in bar
    assert f'/{repository.removeprefix("https://github.com/")}/blob/{tag}/notebooks/06_ctc.ipynb"' in bar
    assert 'href="../exercises/06_ctc/exercise_06_ctc.html">Assignment<' in bar
    assert 'href="../../notebooks/06_ctc.html">Lesson<' in sources.bar(
        "exercises/06_ctc/exercise_06_ctc.ipynb"
    )
    assert sources.bar("notebooks/00_start_here.ipynb").count("<a ") == 2


def test_the_front_page_is_the_readme_with_a_player(sources, written):
    text = (written / "index.md").read_text(encoding="utf-8")
    assert f'<audio controls src="{CLIP}"' in text and (ROOT / CLIP).is_file()
    for heading in re.findall(r"^#+ .*$", (ROOT / FRONT).read_text(encoding="utf-8"), re.MULTILINE):
        assert f"\n{heading}\n" in f"\n{text}"


def test_downloads_are_the_files_of_the_repository(sources, tmp_path):
    sources.write_downloads(tmp_path)
    for name in ("notebooks/06_ctc.ipynb", "exercises/06_ctc/exercise_06_ctc.ipynb", CLIP):
        assert (tmp_path / name).read_bytes() == (ROOT / name).read_bytes()


def test_the_reference_has_every_public_name_and_no_checker():
    names = reference.public_names(ROOT / "asrlib")
    assert set(names) == set(asrlib.__all__)
    written = reference.pages(ROOT / "asrlib")
    documented = set(re.findall(r"automodule:: (\S+)", "\n".join(written.values())))
    assert set(names.values()) <= documented
    for name, module in names.items():
        assert getattr(importlib.import_module(module), name) is getattr(asrlib, name)
        assert f":py:obj:`~{module}.{name}`" in written["index"]
    assert not any("checks" in module or "faults" in module for module in documented)
    packages = {path.parent.name for path in (ROOT / "asrlib").glob("*/__init__.py")} - {"commands"}
    assert packages <= set(written)
