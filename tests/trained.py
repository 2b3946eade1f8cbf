"""Which asserts of a lesson compare a number that a training, a trained model or a clock gave.

Such an assert stops a student whose seed, machine or library gives another number. The lessons' code is
followed name by name, coarsely: what a tainted name, or a function that trains, measures or uses a tainted
name, goes into is tainted. Equality ("by hand = asrlib") may be asserted of anything.
"""

import ast

SOURCES = {"perf_counter", "evaluate", "transcribe", "transcribe_batch", "transcribe_cuts", "word_error_rate"}
TRAINED = "Recognizer.load"
ORDER = ast.Lt | ast.LtE | ast.Gt | ast.GtE


def bad_asserts(sources):
    """The asserts of a lesson, given as the sources of its code cells, that order a measured number."""
    found: list[str] = []
    _follow(ast.parse("\n".join(sources)).body, set(), found)
    return list(dict.fromkeys(found))


def _follow(statements, tainted, found):
    """Go through statements in order; ``tainted`` grows and shrinks, ``found`` takes the asserts."""

    def measured(node):
        return bool(_names(node) & tainted) or _is_source(node)

    for node in statements:
        if isinstance(node, ast.FunctionDef):
            if _trains(node) or _is_source(node) or _uses(node, tainted):
                tainted.add(node.name)
            else:
                tainted.discard(node.name)
            _follow(node.body, set(tainted) - _local(node), found)
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if node.value is not None and measured(node.value):
                    tainted |= _names(target)
                elif isinstance(node, ast.Assign) and isinstance(target, ast.Name | ast.Tuple):
                    tainted -= _names(target)
        elif isinstance(node, ast.For):
            change = tainted.update if measured(node.iter) else tainted.difference_update
            change(_names(node.target))
            for _ in range(2):  # what the end of a loop sets, its beginning sees
                _follow(node.body, tainted, found)
        elif isinstance(node, ast.If | ast.With | ast.Try):
            for part in ("body", "handlers", "orelse", "finalbody"):
                for inner in getattr(node, part, []):
                    _follow(inner.body if isinstance(inner, ast.ExceptHandler) else [inner], tainted, found)
        elif isinstance(node, ast.Assert):
            ordered = [c for c in ast.walk(node.test) if isinstance(c, ast.Compare) and _orders(c)]
            if any(map(measured, ordered)):
                found.append(ast.unparse(node))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            call = node.value  # a list that grows: delays.append(late)
            if isinstance(call.func, ast.Attribute) and any(map(measured, call.args)):
                if call.func.attr in ("append", "extend", "update"):
                    tainted |= _names(call.func.value)


def _orders(compare):
    return any(isinstance(op, ORDER) for op in compare.ops)


def _trains(function):
    attributes = {
        n.func.attr
        for n in ast.walk(function)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)
    }
    return {"backward", "step"} <= attributes


def _uses(function, tainted):
    return bool((_names(function) - _local(function)) & tainted)


def _local(function):
    """Arguments and what is assigned within."""
    stored = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return stored | {arg.arg for arg in ast.walk(function) if isinstance(arg, ast.arg)}


def _is_source(node):
    for call in ast.walk(node):
        if isinstance(call, ast.Call):
            name = ast.unparse(call.func)
            if name.endswith(TRAINED) or name.split(".")[-1] in SOURCES or name == "train":
                return True
    return False


def _names(node):
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
