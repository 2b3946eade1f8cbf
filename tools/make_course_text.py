"""Write data/course-text.txt: the course's own sentences, as real English text for lesson 05.

    python tools/make_course_text.py

A snapshot: lesson 05 prints numbers of it, so write it anew only together with that lesson. Sentences with
formulas, code or digits are left out; the others are normalized as transcripts are, one per line.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat

from asrlib.teaching.course_text import TEXT
from asrlib.text.labels import normalize_text

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = re.compile(r"[a-z' ]+")


def sentences(markdown: str) -> list[str]:
    """Return the plain English sentences of a markdown cell."""
    text = re.sub(r"```.*?```|\$\$.*?\$\$|<summary>.*?</summary>", "\n\n", markdown, flags=re.DOTALL)
    text = "\n".join(line for line in text.split("\n") if not re.match(r"\s*(#|\||-{3})", line))
    text = re.sub(r"<[^>]+>", " ", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"^\s*(?:[-*>]|\d+\.)\s+", "\n\n", text, flags=re.MULTILINE)
    found = []
    for paragraph in re.split(r"\n\s*\n", text):
        whole = " ".join(paragraph.split())
        for sentence in re.split(r"(?<=[.!?:;])[\"”)*_]*\s+", whole):
            if "$" in sentence or "`" in sentence:
                continue
            plain = normalize_text(re.sub(r"[*_()\"“”]", "", sentence.replace("–", " ").replace("—", " ")))
            if len(plain.split()) >= 4 and ALLOWED.fullmatch(plain):
                found.append(plain)
    return found


def sources() -> Iterator[str]:
    """Yield the prose of lessons, assignments, pages and docstrings."""
    for folder in ("notebooks", "solutions"):
        for path in sorted((ROOT / folder).rglob("*.ipynb")):
            yield from (
                c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown"
            )
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        yield path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "asrlib").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                yield ast.get_docstring(node) or ""


def main() -> None:
    """Write the file."""
    lines: dict[str, None] = {}  # in order, each once
    for text in sources():
        lines.update(dict.fromkeys(sentences(text)))
    (ROOT / "data" / TEXT).write_text("\n".join(lines) + "\n", encoding="utf-8")
    words = [word for line in lines for word in line.split()]
    print(f"{len(lines)} sentences, {len(words)} words, {len(set(words))} different ones")


if __name__ == "__main__":
    main()
