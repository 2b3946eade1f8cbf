"""The constructs that a configuration's template may use; others are refused before it runs. Lesson 10."""

from __future__ import annotations

from jinja2 import nodes

from asrlib.errors import InputError

FILTERS = frozenset(["default", "float", "int", "lower", "string", "trim", "upper"])
_TESTS = frozenset(["boolean", "defined", "false", "none", "number", "string", "true", "undefined"])
_STATEMENTS = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Assign,
    nodes.If,
    nodes.For,
    nodes.Import,
)
_EXPRESSIONS = (
    nodes.Name,
    nodes.Literal,
    nodes.Pair,
    nodes.Keyword,
    nodes.Add,
    nodes.Sub,
    nodes.Mul,
    nodes.Div,
    nodes.FloorDiv,
    nodes.Neg,
    nodes.Pos,
    nodes.Concat,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.CondExpr,
)


def check(tree: nodes.Node, where: str) -> None:
    """Raise ``InputError`` for the first construct that a configuration does not need.

    ``where`` names the file in the message, which also has the line.
    """
    _check(tree, where, {node.target for node in tree.find_all(nodes.Import)}, False)


def _check(tree: nodes.Node, where: str, imported: set[str], looping: bool) -> None:
    for node in tree.iter_child_nodes():
        line = f"{where}, line {node.lineno}"
        if isinstance(node, (nodes.Getattr, nodes.Getitem)):
            name = node.attr if isinstance(node, nodes.Getattr) else getattr(node.arg, "value", "…")
            of_file = isinstance(node.node, nodes.Name) and node.node.name in imported
            if isinstance(node, nodes.Getitem) or not of_file or name.startswith("_"):
                raise InputError(
                    f"{line}: the template uses the attribute {name!r}; it may use only its own variables"
                    " and those of files that it imports"
                )
        elif isinstance(node, nodes.Call):
            called = getattr(node.node, "name", type(node.node).__name__.lower())
            if called in ("getattr", "getitem"):
                _check(node, where, imported, looping)  # reports the attribute
            if called != "range":
                raise InputError(f"{line}: the template calls {called!r}; it may call only range")
        elif isinstance(node, nodes.Filter):
            if node.name not in FILTERS:
                raise InputError(_unknown(line, "filter", node.name, FILTERS))
        elif isinstance(node, nodes.Test):
            if node.name not in _TESTS:
                raise InputError(_unknown(line, "test", node.name, _TESTS))
        elif looping and isinstance(node, nodes.For):
            raise InputError(f"{line}: the template nests loops; use one level of for")
        elif looping and isinstance(node, nodes.Import):
            raise InputError(f"{line}: the template imports a file in a loop; import it before the loop")
        elif not isinstance(node, (*_STATEMENTS, *_EXPRESSIONS)):
            kind = type(node).__name__.lower()
            raise InputError(f"{line}: the template uses {kind!r}, which is not allowed in a configuration")
        _check(node, where, imported, looping or isinstance(node, nodes.For))


def _unknown(line: str, kind: str, name: str, known: frozenset[str]) -> str:
    return f"{line}: the template uses the {kind} {name!r}; use one of {', '.join(sorted(known))}"
