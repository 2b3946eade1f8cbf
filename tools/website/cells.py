"""What the cells of a notebook need of one another, and running only those that one of them needs."""

from __future__ import annotations

import ast
import builtins
import contextlib
import io
import symtable
import warnings
from typing import Any


def global_names(source: str) -> tuple[set[str], set[str], set[str]]:
    """Return of a cell's global names those it binds, those it needs, and those its functions need later."""
    table = symtable.symtable(source, "cell", "exec")
    binds = {name.get_name() for name in table.get_symbols() if name.is_assigned() or name.is_imported()}
    needs = {name.get_name() for name in table.get_symbols() if name.is_referenced()} - binds
    late, tables = set(), list(table.get_children())
    while tables:
        inner = tables.pop()
        tables += inner.get_children()
        late |= {name.get_name() for name in inner.get_symbols() if name.is_global() and name.is_referenced()}
    known = set(dir(builtins))
    return binds, needs - known, late - known - binds


def needed_for(last: int, facts: list[tuple[set[str], set[str], set[str]]]) -> set[int]:
    """Return the cells that cell ``last`` needs, itself included: of each name the last binding before.

    ``facts`` has ``global_names`` of each cell.
    """
    chosen: set[int] = set()
    todo = [last]
    while todo:
        n = todo.pop()
        if n not in chosen:
            chosen.add(n)
            _, needs, late = facts[n]
            for name, before in [(name, n) for name in needs] + [(name, last) for name in late]:
                todo.append(max(m for m in range(before) if name in facts[m][0]))
    return chosen


def value_of(last: int, sources: list[str]) -> Any:
    """Return the value of the last expression of cell ``last`` of a notebook whose code is ``sources``.

    Only the cells that it needs are run, and what they print or warn of is dropped.
    """
    facts = [global_names(source) for source in sources]
    names: dict[str, Any] = {"__name__": "__main__"}
    value = None
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n in sorted(needed_for(last, facts)):
            body = ast.parse(sources[n]).body
            end = body.pop() if n == last and isinstance(body[-1], ast.Expr) else None
            exec(compile(ast.Module(body, []), f"cell {n}", "exec"), names)
            if isinstance(end, ast.Expr):
                value = eval(compile(ast.Expression(end.value), f"cell {n}", "eval"), names)
    return value
