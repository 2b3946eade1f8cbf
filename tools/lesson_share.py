"""Count the tasks that the code of their lesson already answers.

    python tools/lesson_share.py            # every assignment; -v names the tasks
    python tools/lesson_share.py 06 07      # some assignments
    python tools/lesson_share.py --most 25  # exit code 1 if more than 25 % of an assignment's tasks are

A task counts as answered if a function defined in its lesson passes the task's checker, under any name and
with its arguments in any order, or if one cell of the lesson has nearly all statements of the official
solution, with any names.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import inspect
import io
import itertools
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import assignments
import nbformat
from mutate import TooLong, limit

from asrlib.teaching import check

LESSONS = assignments.ROOT / "notebooks"
PRELOADED = ("torch._dynamo", "lhotse", "accelerate", "matplotlib.pyplot", "asrlib.teaching.viz")
SECONDS = 10  # limit for a definition or a checker; lessons also train models
SAME = 0.9  # fraction of the solution's statements


def lesson_cells(name: str) -> list[str]:
    """Return the code cells of the lesson of an assignment; the debugging assignment has no lesson."""
    found = sorted(LESSONS.glob(f"{name[:2]}*_*.ipynb"))  # 06_ctc and its companion 06b_ctc_gradient
    cells = [cell for path in found for cell in nbformat.read(path, as_version=4).cells]
    return [cell.source for cell in cells if cell.cell_type == "code" and "colab" not in cell.source[:200]]


def lesson_functions(cells: list[str]) -> dict[str, Callable]:
    """Return the functions of the lesson; only imports, definitions and assignments are executed."""
    names: dict = {"display": print, "__name__": "lesson"}
    for cell in cells:
        for statement in _statements(cell):
            run = compile(ast.Module([statement], []), "<lesson>", "exec")
            with contextlib.suppress(Exception, TooLong):
                if isinstance(statement, ast.Import | ast.ImportFrom):
                    exec(run, names)  # never interrupted: half a module would stay behind
                elif isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.Assign):
                    with limit(SECONDS):
                        exec(run, names)
    return {
        name: value
        for name, value in names.items()
        if isinstance(value, types.FunctionType) and value.__module__ == "lesson"
    }


def _statements(source: str) -> list[ast.stmt]:
    plain = "\n".join(line for line in source.splitlines() if not line.startswith(("%", "!")))
    try:
        return ast.parse(plain).body
    except SyntaxError:
        return []


def answered(task: assignments.Task, functions: dict[str, Callable], cells: list[str]) -> str:
    """Return what in the lesson answers the task; an empty string if nothing does."""
    wanted = len(inspect.signature(task.namespace()[task.function]).parameters)
    for name, function in functions.items():
        for order, variant in _variants(function, wanted):
            with contextlib.suppress(TooLong), limit(SECONDS), contextlib.redirect_stdout(io.StringIO()):
                if check.judge(task.name, variant) is None:
                    return f"the lesson's {name}{order} passes"
    solution = _shapes(task.solution)
    for number, cell in enumerate(cells):
        there = _shapes(cell)
        same = sum(shape in there for shape in solution) / max(1, len(solution))
        if same >= SAME:
            return f"{100 * same:.0f} % of the solution's statements are in code cell {number} of the lesson"
    return ""


def _variants(function: Callable, wanted: int) -> Iterator[tuple[str, Callable]]:
    yield "", function
    if wanted <= 4:
        for order in itertools.permutations(range(wanted)):
            if list(order) != sorted(order):

                def turned(*args, order=order, **kwargs):
                    return function(*(args[i] for i in order if i < len(args)), **kwargs)

                yield f" with its arguments in the order {order}", turned


class _Nameless(ast.NodeTransformer):
    """Replace the names of variables, which may differ; keep attributes, which name what is called."""

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name("x", ast.Load())

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg("x")


def _shapes(source: str) -> list[str]:
    """Return a cell's simple statements and the heads of its loops and branches, without names and texts."""
    found = []
    for top in _statements(source):
        for node in ast.walk(top):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom | ast.Raise):
                continue
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue
            if isinstance(node, ast.For):
                node = ast.Tuple([node.target, node.iter], ast.Load())
            elif isinstance(node, ast.If | ast.While):
                node = node.test
            elif not isinstance(node, ast.stmt):
                continue
            found.append(ast.dump(_Nameless().visit(node)).replace("Store()", "Load()"))
    return found


def report(path: Path, verbose: bool) -> tuple[int, int]:
    """Print a line for an assignment; return the numbers of answered tasks and of all tasks."""
    cells = lesson_cells(path.stem)
    functions = lesson_functions(cells)
    tasks = assignments.tasks(path)
    found = {task.name: answered(task, functions, cells) for task in tasks}
    count = sum(map(bool, found.values()))
    print(f"{path.stem:28s} {count} of {len(tasks)} tasks  {100 * count / len(tasks):3.0f} %", flush=True)
    for name, how in found.items():
        if verbose and how:
            print(f"    {name}: {how}")
    return count, len(tasks)


def main() -> int:
    """Run the tool; return 1 if a share is above ``--most``, 2 if no assignment matches, else 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="prefixes of assignment names; default: all")
    parser.add_argument("-v", action="store_true", help="name the tasks")
    parser.add_argument("--most", type=float, default=100, help="limit in per cent of an assignment's tasks")
    options = parser.parse_args()
    wanted = tuple(options.names) or ("",)
    for module in PRELOADED:  # their imports must not be interrupted either
        importlib.import_module(module)
    counts = [report(path, options.v) for path in assignments.notebooks() if path.stem.startswith(wanted)]
    if not counts:
        print(f"no assignment's name begins with {', '.join(options.names)}", file=sys.stderr)
        return 2
    return int(any(100 * count > options.most * of for count, of in counts))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())
