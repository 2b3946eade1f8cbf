"""Render configurations that are Jinja templates, safely even for untrusted files.

The first line of defense is a list of the constructs that a configuration needs: ``set``, ``if``, one
level of ``for``, simple arithmetic and text. Attributes, calls other than ``range``, macros and other
files are refused before anything runs, so that time, memory and output stay bounded. Jinja's sandbox is
the second line of defense. Lesson 10.
"""

from __future__ import annotations

from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.sandbox import SandboxedEnvironment
from jinja2.visitor import NodeTransformer

from asrlib.errors import InputError

MAX_CHARACTERS = 1_000_000
_FILTERS = frozenset(["default", "float", "int", "lower", "string", "trim", "upper"])
_STATEMENTS = (nodes.Template, nodes.Output, nodes.TemplateData, nodes.Assign, nodes.If, nodes.For)
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
    nodes.Test,
)


def is_template(text: str) -> bool:
    """Return whether a configuration is a Jinja template, which must be rendered before it is YAML."""
    return "{%" in text or "{{" in text


def render(text: str, where: str) -> str:
    """Return the text that a template produces.

    Raises ``InputError`` for a template that is not valid, uses a construct that is not allowed, or
    produces more than ``MAX_CHARACTERS``. The message names the file ``where`` and, if known, the line.
    """
    environment = _Environment(undefined=StrictUndefined, optimized=False, keep_trailing_newline=True)
    environment.globals = {"range": environment.globals["range"]}
    try:
        tree = environment.parse(text)
        _check(tree, where)
        code = environment.compile(_Joined().visit(tree))
        pieces, size = [], 0
        for piece in Template.from_code(environment, code, environment.globals).generate():
            pieces.append(piece)
            size += len(piece)
            if size > MAX_CHARACTERS:
                raise InputError(f"{where}: the template produces more than {MAX_CHARACTERS} characters")
    except InputError:
        raise
    except TemplateSyntaxError as error:
        raise InputError(
            f"{where}, line {error.lineno}: not a valid Jinja template: {error.message}"
        ) from None
    except (TemplateError, ArithmeticError, TypeError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{where}: the template cannot be rendered: {reason}") from None
    return "".join(pieces)


class _Environment(SandboxedEnvironment):
    intercepted_binops = frozenset(["+", "*"])

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Add or multiply only if the result is small, as repeated doubling would soon fill the memory."""
        sizes = [abs(part) if isinstance(part, (int, float)) else len(part) for part in (left, right)]
        size = sizes[0] * sizes[1] if operator == "*" else sizes[0] + sizes[1]
        if size > MAX_CHARACTERS**2 or (size > MAX_CHARACTERS and not _numbers(left, right)):
            raise TypeError(f"the result of {operator} is too large")
        return super().call_binop(context, operator, left, right)


class _Joined(NodeTransformer):
    """Rewrite ``a ~ b`` as ``a|string + b|string``, whose sizes ``_Environment`` checks."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:
        self.generic_visit(node)
        texts = [nodes.Filter(part, "string", [], [], None, None, lineno=node.lineno) for part in node.nodes]
        joined = texts[0]
        for text in texts[1:]:
            joined = nodes.Add(joined, text, lineno=node.lineno)
        return joined.set_environment(node.environment)


def _numbers(*values: Any) -> bool:
    return all(isinstance(value, (int, float)) for value in values)


def _check(tree: nodes.Node, where: str, inside: tuple[str, ...] = ()) -> None:
    """Raise ``InputError`` for the first construct that a configuration does not need."""
    for node in tree.iter_child_nodes():
        line = f"{where}, line {node.lineno}"
        if isinstance(node, (nodes.Getattr, nodes.Getitem)):
            name = node.attr if isinstance(node, nodes.Getattr) else getattr(node.arg, "value", "…")
            raise InputError(
                f"{line}: the template uses the attribute {name!r}; it may use only its own variables"
            )
        if isinstance(node, nodes.Call):
            called = getattr(node.node, "name", type(node.node).__name__.lower())
            if called not in ("range", "getattr", "getitem"):  # the last two are reported as attributes
                raise InputError(f"{line}: the template calls {called!r}; it may call only range")
        elif isinstance(node, nodes.Filter):
            if node.name not in _FILTERS:
                allowed = ", ".join(sorted(_FILTERS))
                raise InputError(f"{line}: the template uses the filter {node.name!r}; use one of {allowed}")
        elif isinstance(node, nodes.For) and "for" in inside:
            raise InputError(f"{line}: the template nests loops; use one level of for")
        elif not isinstance(node, (*_STATEMENTS, *_EXPRESSIONS)):
            kind = type(node).__name__.lower()
            raise InputError(f"{line}: the template uses {kind!r}, which is not allowed in a configuration")
        _check(node, where, (*inside, "for") if isinstance(node, nodes.For) else inside)
