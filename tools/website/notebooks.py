"""Lessons and assignments as pages, for readers without a kernel."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping

from nbformat import NotebookNode

SETUP = "colab"  # the tag of the cell that installs the library on Colab
WIDGET = "application/vnd.jupyter.widget-view+json"
STILL = (
    '<p class="still">Here stands something to move with the mouse. It needs a running notebook: '
    "the links on top of this page lead to one. The figure before it shows the same.</p>"
)
FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+?)\$", re.DOTALL)
HEADING = re.compile(r"^(#+)(?= )", re.MULTILINE)
FENCE = re.compile(r"(^```.*?^```[ ]*$)", re.MULTILINE | re.DOTALL)


def page(
    notebook: NotebookNode, bar: str, link: Callable[[str], str], playgrounds: Mapping[str, str] | None = None
) -> NotebookNode:
    """Return the notebook as a page: ``bar``, HTML, stands under its title.

    The cell that installs the library on Colab is left out, and titles after the first become headings.
    ``link`` gives the address to write for that of a link. A widget is replaced by the HTML that
    ``playgrounds`` has for the id of its cell, or else by a line that says how to get it.
    """
    cells = [cell for cell in notebook.cells if SETUP not in cell.metadata.get("tags", [])]
    texts = [cell for cell in cells if cell.cell_type == "markdown"]
    deeper = sum(len(titles(cell.source)) for cell in texts) > 1
    for cell in texts:
        source = outside_code(cell.source, lambda text: shifted(text) if deeper else text)
        source = outside_code(source, lambda text: relinked(formulas_in_html(text), link))
        if cell is texts[0]:
            title, _, rest = source.partition("\n")
            source = f"{re.sub('^#+', '#', title)}\n\n{bar}\n\n{rest.strip()}"
        cell.source = source
    for cell in cells:
        if cell.cell_type == "code":
            instead = (playgrounds or {}).get(cell.id, STILL)
            cell.outputs = [without_widget(output, instead) for output in cell.outputs]
    notebook.cells = cells
    return notebook


def titles(markdown: str) -> list[str]:
    """Return the headings of the first level."""
    return re.findall(r"^# .*$", FENCE.sub("", markdown), re.MULTILINE)


def shifted(markdown: str) -> str:
    """Return the text with all headings one level deeper."""
    return HEADING.sub(r"#\1", markdown)


def relinked(markdown: str, link: Callable[[str], str]) -> str:
    """Return the text with the address of each link replaced by what ``link`` returns for it."""
    return re.sub(r"(?<=\]\()([^)\s]+)(?=\))", lambda match: link(match[1]), markdown)


def formulas_in_html(markdown: str) -> str:
    """Return the text with the formulas in HTML, which Markdown leaves alone, marked up for MathJax."""

    def marked(match: re.Match[str]) -> str:
        left, right = (r"\[", r"\]") if match[1] else (r"\(", r"\)")
        formula = html.escape(html.unescape(match[1] or match[2]), quote=False)
        return f'<span class="math notranslate nohighlight">{left}{formula}{right}</span>'

    # HTML that begins a line goes on to the next empty line
    blocks = re.split(r"(\n[ \t]*\n)", markdown)
    return "".join(
        FORMULA.sub(marked, block) if re.match(r"\s{0,3}</?[a-z]", block) else block for block in blocks
    )


def outside_code(markdown: str, change: Callable[[str], str]) -> str:
    """Return the text with ``change`` applied to what is not in fenced blocks of code."""
    parts = FENCE.split(markdown)
    return "".join(part if i % 2 else change(part) for i, part in enumerate(parts))


def without_widget(output: NotebookNode, instead: str) -> NotebookNode:
    """Return the output; if it is a widget, which needs a kernel, the HTML ``instead``."""
    if WIDGET not in output.get("data", {}):
        return output
    still = NotebookNode(output)
    still.data = NotebookNode({"text/html": instead, "text/plain": "a widget"})
    return still
