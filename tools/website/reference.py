"""The reference of asrlib: a page for the public names, and one for each package."""

from __future__ import annotations

import ast
from pathlib import Path

# what is for graders, what needs a GPU to be imported, and data
LEFT_OUT = ("checks", "exercise_data", "faults", "kernels")
# the command line is documented in docs/, its functions are of no use elsewhere
COMMANDS = ("cli", "commands")


def pages(package: Path) -> dict[str, str]:
    """Return the pages, reStructuredText by name, of the folder ``package`` of asrlib."""
    grouped: dict[str, list[str]] = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if not parts or parts[0] in COMMANDS or any(p in LEFT_OUT or p.startswith("_") for p in parts):
            continue
        group = parts[0] if (package / parts[0]).is_dir() else "modules"
        grouped.setdefault(group, []).append(".".join(("asrlib", *parts)))
    found = {group: package_page(group, modules) for group, modules in grouped.items()}
    found["index"] = index(public_names(package), sorted(grouped))
    return found


def package_page(group: str, modules: list[str]) -> str:
    """Return the page of one package: its docstring, then each of its modules."""
    title = "Other modules" if group == "modules" else f"asrlib.{group}"
    lines = [title, "=" * len(title), ""]
    for module in modules:
        if module != title:
            lines += [module, "-" * len(module), ""]
        lines += [f".. automodule:: {module}", "   :members:" if module != title else "   :no-members:"]
        lines += ["   :ignore-module-all:", ""]
    return "\n".join(lines)


def public_names(package: Path) -> dict[str, str]:
    """Return for each name that ``import asrlib`` offers the module that defines it."""
    tree = ast.parse((package / "__init__.py").read_text(encoding="utf-8"))
    return {
        alias.name: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }


def index(names: dict[str, str], groups: list[str]) -> str:
    """Return the page of the public names, with the list of the packages' pages."""
    defined = sorted(names.items())
    rows = [f"   * - :py:obj:`~{module}.{name}`\n     - ``{module}``" for name, module in defined]
    return "\n".join(
        [
            "Reference",
            "=========",
            "",
            "``import asrlib`` offers these names. They stay what they are from one version to the next, or",
            "the changelog says so. Shapes in signatures are those of jaxtyping.",
            "",
            ".. list-table::",
            "   :header-rows: 1",
            "",
            "   * - name",
            "     - where it is defined",
            *rows,
            "",
            "The packages follow the data, from sound to text:",
            "",
            ".. toctree::",
            "   :maxdepth: 1",
            "",
            *(f"   {group}" for group in groups if group != "modules"),
            "   modules",
            "",
        ]
    )
