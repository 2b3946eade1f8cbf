"""Update what depends on pyproject.toml and on the headers of the lessons.

    python tools/colab.py            # after a change of the repository's address, the version, or a header

That is the first code cell of every lesson, which installs the library on Colab, the table of lessons in the
README, and address and version in CITATION.cff. The address of the repository is only in pyproject.toml,
under [project.urls]. The tag is "v" followed by the version.
"""

import re
import sys
from pathlib import Path
from textwrap import dedent

import nbformat

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- lessons: written by tools/colab.py -->\n", "<!-- end of lessons -->\n"
TAG = "colab"


def project() -> tuple[str, str]:
    """Return the address of the repository and the tag that this version of the lessons installs."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return settings["urls"]["Repository"], f"v{settings['version']}"


def first_cell(repository: str, tag: str) -> str:
    """Return the three lines of IPython that install asrlib on Colab, keeping Colab's packages.

    Elsewhere they do nothing.
    """
    return dedent(f"""\
        import importlib.util, sys  # asrlib, the course's library: `make lab` has installed it
        if "google.colab" in sys.modules and not importlib.util.find_spec("asrlib"):  # a minute
            %pip install -q "asrlib[colab] @ git+{repository}@{tag}\"""")


def stamped(notebook: nbformat.NotebookNode, source: str) -> nbformat.NotebookNode:
    """Return the notebook with ``source`` as its first code cell, numbered as if it had been executed."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if code and TAG in code[0].metadata.get("tags", []):
        code[0].source = source
        return notebook
    cell = nbformat.v4.new_code_cell(source, execution_count=1, id=TAG, metadata={"tags": [TAG]})
    for other in code:
        if other.execution_count:
            other.execution_count += 1
            for output in other.outputs:
                if "execution_count" in output:
                    output.execution_count += 1
    notebook.cells.insert(1, cell)
    return notebook


def table(lessons: list[Path], repository: str, tag: str) -> str:
    """Return the table of lessons, with a row from the header of each lesson."""
    rows = ["| lesson | minutes | needs | |", "|---|---|---|---|"]
    colab = repository.replace("https://github.com/", "https://colab.research.google.com/github/")
    for path in lessons:
        header = nbformat.read(path, as_version=4).cells[0].source
        number, title = re.match(r"# (\d\db?) · (.*)", header).groups()
        minutes = re.search(r"\*\*Minutes\.\*\* (\d+)", header).group(1)
        needed = re.search(r"\*\*Needs\.\*\*(.*)", header).group(1)
        needs = ", ".join(re.findall(r"\b\d\db?\b", needed)) or "–"
        there = f"[Colab]({colab}/blob/{tag}/notebooks/{path.name})"
        rows.append(f"| [{number} {title}](notebooks/{path.name}) | {minutes} | {needs} | {there} |")
    return "\n".join(rows) + "\n"


def readme(lessons: list[Path]) -> str:
    """Return the text of the README with its table of lessons replaced."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    return before + BEGIN + table(lessons, *project()) + END + rest.split(END)[1]


def citation() -> str:
    """Return the text of CITATION.cff with the current version and address of the repository."""
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    repository, tag = project()
    for key, value in (("version", tag.removeprefix("v")), ("repository-code", f'"{repository}"')):
        text, found = re.subn(rf"^{key}: .*$", f"{key}: {value}", text, flags=re.MULTILINE)
        assert found == 1, f"CITATION.cff has {found} lines {key}"
    return text


def main() -> None:
    """Update the lessons, the README and CITATION.cff."""
    lessons = sorted((ROOT / "notebooks").glob("*.ipynb"))
    for path in lessons:
        notebook = nbformat.read(path, as_version=4)
        if nbformat.writes(stamped(notebook, first_cell(*project()))) != path.read_text(encoding="utf-8"):
            nbformat.write(notebook, path)
    (ROOT / "README.md").write_text(readme(lessons), encoding="utf-8")
    (ROOT / "CITATION.cff").write_text(citation(), encoding="utf-8")


if __name__ == "__main__":
    main()
