"""Configurations that are Jinja templates, rendered so that a stranger's file can only name values.

Jinja's sandbox is the second wall; the first is a list of what a configuration needs: ``set``,
``if``, one level of ``for``, a little arithmetic and text. Attributes, calls (but for ``range``),
macros and other files are refused before anything runs, so that neither time, memory nor output
can grow without bound. Lesson 10.
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
    """Whether a configuration is to be rendered before it is YAML."""
    return "{%" in text or "{{" in text


def render(text: str, where: str) -> str:
    """The text that a template stands for. Raises ``InputError`` with the file's name ``where``,
    and the line as far as it is known, for a template that is wrong or wants too much.
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
                raise InputError(f"{where}: the template makes more than {MAX_CHARACTERS} characters")
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
        """Sums and products of what is small: sizes that double line by line soon fill any memory."""
        sizes = [abs(part) if isinstance(part, (int, float)) else len(part) for part in (left, right)]
        size = sizes[0] * sizes[1] if operator == "*" else sizes[0] + sizes[1]
        if size > MAX_CHARACTERS**2 or (size > MAX_CHARACTERS and not _numbers(left, right)):
            raise TypeError(f"the result of {operator} is too large")
        return super().call_binop(context, operator, left, right)


class _Joined(NodeTransformer):
    """``a ~ b`` as ``a|string + b|string``, which the environment watches."""

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
    """Refuses every node of the template that a configuration has no need of."""
    for node in tree.iter_child_nodes():
        line = f"{where}, line {node.lineno}"
        if isinstance(node, (nodes.Getattr, nodes.Getitem)):
            name = node.attr if isinstance(node, nodes.Getattr) else getattr(node.arg, "value", "…")
            raise InputError(
                f"{line}: the template reaches for the attribute {name!r}; it may use its own variables only"
            )
        if isinstance(node, nodes.Call):
            called = getattr(node.node, "name", type(node.node).__name__.lower())
            if called not in ("range", "getattr", "getitem"):  # of the last two is said what they reach for
                raise InputError(f"{line}: the template calls {called!r}; it may call range only")
        elif isinstance(node, nodes.Filter):
            if node.name not in _FILTERS:
                allowed = ", ".join(sorted(_FILTERS))
                raise InputError(f"{line}: the template uses the filter {node.name!r}; use one of {allowed}")
        elif isinstance(node, nodes.For) and "for" in inside:
            raise InputError(f"{line}: the template has a loop within a loop")
        elif not isinstance(node, (*_STATEMENTS, *_EXPRESSIONS)):
            kind = type(node).__name__.lower()
            raise InputError(f"{line}: the template uses {kind!r}, which a configuration has no need of")
        _check(node, where, (*inside, "for") if isinstance(node, nodes.For) else inside)
