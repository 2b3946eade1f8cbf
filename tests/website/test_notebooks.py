"""Lessons and assignments as pages."""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from website import notebooks

ROOT = Path(__file__).parents[2]
ALL = [*sorted((ROOT / "notebooks").glob("*.ipynb")), *sorted((ROOT / "exercises").glob("*/*.ipynb"))]
BAR = '<p class="bar"></p>'


def page(*cells, link=lambda target: target):
    return notebooks.page(new_notebook(cells=list(cells)), BAR, link).cells


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_every_page_has_one_title_the_bar_and_no_widget(path):
    notebook = nbformat.read(path, as_version=4)
    codes = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    cells = notebooks.page(notebook, BAR, lambda target: target).cells
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    assert sum(len(notebooks.titles(text)) for text in texts) == 1
    assert texts[0].split("\n")[2] == BAR and sum(BAR in text for text in texts) == 1
    # the code is left as it is, but for the cell that is for Colab alone
    assert [cell.source for cell in cells if cell.cell_type == "code"] == codes[1:]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert not any(notebooks.WIDGET in output.get("data", {}) for output in outputs)


def test_several_titles_become_headings_below_the_first():
    (*_, first, code, second) = page(
        new_markdown_cell("# 11 · Decode\n\ntext"),
        new_code_cell("# a comment", outputs=[]),
        new_markdown_cell("# Part 1\n\n## Greedy\n\n```\n# a comment\n```"),
    )
    assert first.source.startswith("# 11 · Decode\n\n" + BAR)
    assert second.source == "## Part 1\n\n### Greedy\n\n```\n# a comment\n```"
    assert code.source == "# a comment"


def test_headings_below_one_title_stay():
    assert page(new_markdown_cell("# 06 · CTC\n\n## α"))[0].source == f"# 06 · CTC\n\n{BAR}\n\n## α"


def test_a_widget_becomes_a_line_and_other_outputs_stay():
    view = new_output("execute_result", {notebooks.WIDGET: {"model_id": "1"}, "text/plain": "interactive(…)"})
    printed = new_output("stream", text="0.5\n")
    _, cell = page(new_markdown_cell("# T"), new_code_cell("explorer()", outputs=[view, printed]))
    assert (
        cell.outputs[0].data["text/html"] == notebooks.STILL and notebooks.WIDGET not in cell.outputs[0].data
    )
    assert cell.outputs[1] == printed


def test_formulas_in_html_are_marked_for_mathjax_and_others_left_to_markdown():
    source = (
        "# T\n\nso $a < b$\n\n<details><summary>Answer</summary>No, $a &lt; b$, and $$c$$</details>\n\n$d$"
    )
    text = page(new_markdown_cell(source))[0].source
    assert "so $a < b$" in text and text.endswith("\n\n$d$")
    assert r'No, <span class="math notranslate nohighlight">\(a &lt; b\)</span>' in text
    assert r'<span class="math notranslate nohighlight">\[c\]</span></details>' in text


def test_links_are_changed_and_code_is_not():
    source = "# T\n\n[a](x.md) and `[b]`\n\n```\n[c](y.md)\n```"
    text = page(new_markdown_cell(source), link=str.upper)[0].source
    assert "[a](X.MD)" in text and "[c](y.md)" in text
