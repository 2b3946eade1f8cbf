"""Playgrounds of lessons in the site's pages."""

import json
import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from website import notebooks, playgrounds
from website.sources import ROOT

from asrlib import InputError
from asrlib.teaching.playgrounds import ctc_options

pytest.importorskip("anywidget", reason="needs anywidget")

IMPORT = "from asrlib.teaching.playgrounds import ctc_playground\nprint('not shown')"
MAKE = 'play = ctc_playground("∅ab", target)\nplay'


def lesson(*sources, shown="CTCPlayground: run this cell to move it"):
    view = new_output("execute_result", {notebooks.WIDGET: {"model_id": "1"}, "text/plain": shown})
    cells = [new_code_cell(source, id=f"cell-{n}") for n, source in enumerate(sources)]
    cells[-1].outputs = [view]
    setup = new_code_cell("%pip install asrlib", metadata={"tags": [notebooks.SETUP]})
    return new_notebook(cells=[new_markdown_cell("# 06 · CTC"), setup, *cells])


def options_in(html):
    return json.loads(re.search(r'<script type="application/json"[^>]*>(.*?)</script>', html)[1])


def test_a_lessons_playground_has_the_options_of_its_cell(capsys):
    """The cells that it needs are run, those that it does not need are not."""
    notebook = lesson(IMPORT, 'target = "ba"', "raise RuntimeError", MAKE)
    found = playgrounds.found(notebook)
    assert list(found) == ["cell-3"] and options_in(found["cell-3"]) == ctc_options("∅ab", "ba")
    assert capsys.readouterr().out == ""
    page = notebooks.page(notebook, "", lambda target: target, found)
    assert page.cells[-1].outputs[0].data["text/html"] == found["cell-3"]


def test_other_widgets_are_none():
    assert playgrounds.found(lesson("explorer()", shown="interactive(...)")) == {}


@pytest.mark.parametrize(
    "last, said",
    [
        ('ctc_playground("∅ab", "c")', "cell-1 with a playground fails: InputError"),
        ('play = ctc_playground("∅ab", "a")', "cell-1 shows a playground, but does not end with it"),
    ],
)
def test_a_cell_that_makes_none_is_said(last, said):
    with pytest.raises(InputError, match=said):
        playgrounds.found(lesson(IMPORT, last))


def test_no_text_of_the_options_ends_the_script():
    html = playgrounds.in_page("ctc", {"value": {"path": "</script><script>"}}, "here")
    assert options_in(html) == {"value": {"path": "</script><script>"}}
    assert html.count("</script>") == html.count("<script") == 2


def test_each_playground_of_the_lessons_is_found():
    """Whatever a lesson stores as a playground stands in its page."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text = path.read_text(encoding="utf-8")
        if "Playground: run this cell" in text:
            found = playgrounds.found(nbformat.reads(text, as_version=4))
            assert len(found) == text.count("Playground: run this cell"), path
