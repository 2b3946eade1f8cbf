"""Mutation testing of the checkers: change the reference solutions and see which changes are caught.

    python tools/mutate.py                  # every task of every assignment, with a report at the end
    python tools/mutate.py 06 07.loss       # some assignments or tasks; -v names every change not caught

A mutant differs from a solution in one sign, comparison, index, axis, constant or connective. It counts only
if it changes what the function does: if the checker rejects it, or if it differs from the reference on any of
300 random cases that the checker does not use. It is caught if the checker that students see rejects it.
"""

from __future__ import annotations

import ast
import copy
import signal
import sys
import time
from collections.abc import Iterator

import assignments
import torch

from asrlib.teaching import check

SWAPS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.MatMult: ast.Mult, ast.Pow: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
NAMES = {"max": "min", "min": "max", "maximum": "minimum", "minimum": "maximum", "inf": "nan"}
SECONDS = 20  # a mutant may loop forever
CASES = 300


class TooLong(BaseException):
    """A time limit was exceeded; not an ``Exception``, so that an answer cannot catch it."""


def mutants(source: str) -> Iterator[tuple[str, str]]:
    """Yield (description of the change, changed source) for every possible change of ``source``."""
    tree = ast.parse(source)
    places = [node for node in ast.walk(tree) if not _is_text(node)]
    for number, node in enumerate(places):
        for change in _changes(node):
            changed = copy.deepcopy(tree)
            twin = [n for n in ast.walk(changed) if not _is_text(n)][number]
            before = ast.unparse(twin)
            after = change(twin)
            where = f"line {getattr(node, 'lineno', '?')}: {before} -> {after}"
            yield where, ast.unparse(ast.fix_missing_locations(changed))


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _changes(node: ast.AST) -> list:
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in SWAPS:
        return [lambda n: _set(n, "op", SWAPS[type(n.op)]())]
    if isinstance(node, ast.BoolOp):
        return [lambda n: _set(n, "op", SWAPS[type(n.op)]())]
    if isinstance(node, ast.Compare):
        return [lambda n, i=i: _set_item(n, i) for i, op in enumerate(node.ops) if type(op) in SWAPS]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return [lambda n: _set(n, "op", ast.UAdd())]
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        return [lambda n: _set(n, "value", not n.value)]
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return [lambda n: _set(n, "value", n.value + 1), lambda n: _set(n, "value", n.value - 1)]
    if isinstance(node, ast.Constant) and isinstance(node.value, float):
        return [lambda n: _set(n, "value", n.value * 1.5 + 0.1)]
    if isinstance(node, ast.Name) and node.id in NAMES:
        return [lambda n: _set(n, "id", NAMES[n.id])]
    if isinstance(node, ast.Attribute) and node.attr in NAMES:
        return [lambda n: _set(n, "attr", NAMES[n.attr])]
    return []


def _set(node: ast.AST, field: str, value) -> str:
    setattr(node, field, value)
    return ast.unparse(node)


def _set_item(node: ast.Compare, i: int) -> str:
    node.ops[i] = SWAPS[type(node.ops[i])]()
    return ast.unparse(node)


def verdict(task: assignments.Task, source: str) -> str:
    """Return "caught", "through" (the mutant behaves differently but passes) or "same" (equivalent)."""
    try:
        with limit(SECONDS):
            try:
                answer = task.namespace(source)[task.function]
            except Exception:
                return "caught"  # the student sees the cell itself fail
            if check.judge(task.name, answer):
                return "caught"
            return "through" if differs(task.name, answer) else "same"
    except TooLong:
        return "caught"


def differs(name: str, answer) -> bool:
    """Return whether ``answer`` differs from the reference on cases that no checker draws."""
    found = check.tasks()[name]
    g = torch.Generator().manual_seed(31415)
    for _ in range(CASES if found.reference else 0):
        args = found.draw(g)
        try:
            came = answer(*copy.deepcopy(args))
        except Exception:
            return True
        if check.difference(came, found.reference(*args), found.tolerance):
            return True
    return False


class limit:
    """Raise ``TooLong`` in the block after ``seconds`` of wall clock."""

    def __init__(self, seconds: int):
        self.seconds = seconds

    def __enter__(self):
        def stop(*_):
            raise TooLong

        self.before = signal.signal(signal.SIGALRM, stop)
        signal.alarm(self.seconds)

    def __exit__(self, *_):
        signal.alarm(0)
        signal.signal(signal.SIGALRM, self.before)


def report(task: assignments.Task, verbose: bool = False) -> tuple[int, int]:
    """Print a line for ``task``; return how many mutants are caught and how many behave differently."""
    started, through, caught, same = time.monotonic(), [], 0, 0
    if (wrong := check.judge(task.name, task.namespace()[task.function])) is not None:
        raise SystemExit(f"the solution of {task.name} is wrong itself:\n{wrong}")
    for what, source in mutants(task.solution):
        came = verdict(task, source)
        caught += came == "caught"
        same += came == "same"
        if came == "through":
            through.append(what)
    changing = caught + len(through)
    share = f"{100 * caught / changing:5.1f} %" if changing else "      -"
    seconds = time.monotonic() - started
    print(
        f"{task.name:28s} {caught:4d} of {changing:4d} {share}  {same:3d} equivalent  {seconds:5.1f} s",
        flush=True,
    )
    for what in through if verbose else []:
        print(f"    through: {what}")
    return caught, changing


def main() -> int:
    """Print the report; return 1 if under 95 % of the mutants are caught, 2 if no task matches."""
    wanted = [name for name in sys.argv[1:] if name != "-v"]
    torch.set_num_threads(1)
    caught = changing = 0
    for name, task in assignments.every_task().items():
        if not wanted or any(name.startswith(want) for want in wanted):
            counts = report(task, "-v" in sys.argv)
            caught, changing = caught + counts[0], changing + counts[1]
    if not changing:
        print(f"there is no task named {', '.join(wanted)}")
        return 2
    print(
        f"\ncaught {caught} of {changing} mutants that change what a function does:"
        f" {100 * caught / changing:.1f} %"
    )
    return 0 if caught >= 0.95 * changing else 1


if __name__ == "__main__":
    sys.exit(main())
