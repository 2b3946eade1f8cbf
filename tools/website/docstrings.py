"""asrlib's docstrings as reStructuredText.

The docstrings are plain text: paragraphs, lists, names in backticks, and tables and code that are aligned by
spaces. What is aligned stays as it is, in a block of its own; the rest is escaped.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Mapping

CODE = re.compile(r"(``.+?``|`[^`\n]+`)", re.DOTALL)
GAP = re.compile(r"\S(?:  +)\S")
LESSONS = re.compile(r"\b[Ll]essons? (\d\d[a-z]?)\b((?:(?:, | and |, and | to )\d\d[a-z]?\b)*)")
ITEM = re.compile(r"(?:-|\d+\.) ")


def restructured(lines: list[str], lessons: Mapping[str, str]) -> list[str]:
    """Return a docstring's lines as reStructuredText; ``lessons`` has the page of each lesson's number."""
    found: list[str] = []
    for paragraph in paragraphs(lines):
        if aligned(paragraph):
            text = textwrap.dedent("\n".join(paragraph))
            found += [f".. code-block:: {'python' if is_code(text) else 'text'}", ""]
            found += [*textwrap.indent(text, "    ").split("\n"), ""]
        else:
            found += [*escaped("\n".join(paragraph), lessons).split("\n"), ""]
    return found


def paragraphs(lines: list[str]) -> list[list[str]]:
    """Return what empty lines separate; pieces of code that follow one another are one."""
    found: list[list[str]] = []
    for text in re.split(r"\n\s*\n", "\n".join(line.rstrip() for line in lines).strip("\n")):
        piece = text.split("\n")
        if found and all(line.startswith(" ") for line in piece) and aligned(found[-1]):
            found[-1] += ["", *piece]
        else:
            found.append(piece)
    return found


def aligned(paragraph: list[str]) -> bool:
    """Return whether the spaces of a paragraph matter: it is indented, or has columns."""
    if ITEM.match(paragraph[0]):
        return False
    indented = all(line.startswith(" ") for line in paragraph if line)
    return indented or any(GAP.search(line.replace(".  ", ". ")) for line in paragraph)


def is_code(text: str) -> bool:
    """Return whether the text is Python that does something, and no table of words."""
    try:
        statements = ast.parse(text).body
    except SyntaxError:
        return False
    return any(not isinstance(node, ast.Expr) or isinstance(node.value, ast.Call) for node in statements)


def escaped(text: str, lessons: Mapping[str, str]) -> str:
    """Return the text with code between double backticks, links to lessons, and no other markup."""
    parts = CODE.split(text)
    for i, part in enumerate(parts):
        if i % 2:
            parts[i] = f"``{part.strip('`')}``"
        else:
            part = re.sub(r"([\\*|`]|(?<=\w)_(?!\w))", r"\\\1", part)
            parts[i] = LESSONS.sub(lambda match: linked(match[0], lessons), part)
        if i and parts[i - 1].endswith("``") and re.match(r"\w", parts[i]):
            parts[i] = "\\ " + parts[i]  # reStructuredText wants markup to end at the end of a word
    return re.sub(r"(?<=[\w])(?=``\w)", r"\\ ", "".join(parts))


def linked(mention: str, lessons: Mapping[str, str]) -> str:
    """Return a mention of one or several lessons with each number a link to its page."""

    def link(match: re.Match[str]) -> str:
        page = lessons.get(match[1])
        return f":doc:`{match[1]} <{page}>`" if page else match[1]

    return re.sub(r"\b(\d\d[a-z]?)\b", link, mention)
