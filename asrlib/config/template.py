"""Render configurations that are Jinja templates, safely even for untrusted files.

The first line of defense is a list of the constructs that a configuration needs: ``set``, ``if``, one
level of ``for``, simple arithmetic and text. Attributes, calls other than ``range``, macros and other
files are refused before anything runs. The second line is a budget: every pass of a loop and every text
that is made or compared counts, so that time and memory stay bounded. Jinja's sandbox is the third.
Lesson 10.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.sandbox import SandboxedEnvironment
from jinja2.visitor import NodeTransformer

from asrlib.errors import InputError

MAX_CHARACTERS = 1_000_000
MAX_TEMPLATE = 100_000
MAX_EXPRESSIONS = 5_000
# characters handled and expressions evaluated, which take less than a second
MAX_WORK = 3_000_000
# names that no template can write
_WEIGHED, _PASSES = "weighed value", "counted passes"
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

    Raises ``InputError`` for a template that is not valid, uses a construct that is not allowed, or takes or
    produces too much (see the constants ``MAX_...``). The message names the file
    ``where`` and, if known, the line.
    """
    if len(text) > MAX_TEMPLATE:
        raise InputError(f"{where}: the template has {len(text):,} characters; use at most {MAX_TEMPLATE:,}")
    environment = _Environment(undefined=StrictUndefined, optimized=False, keep_trailing_newline=True)
    environment.globals = {"range": environment.globals["range"]}
    try:
        tree = environment.parse(text)
        _check(tree, where)
        environment.pass_work = sum(1 for _ in tree.find_all(nodes.Node))
        if environment.pass_work > MAX_EXPRESSIONS:
            raise InputError(f"{where}: the template has more than {MAX_EXPRESSIONS:,} expressions")
        code = environment.compile(_Counted().visit(tree))
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
    except (TemplateError, ArithmeticError, TypeError, ValueError, RecursionError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{where}: the template cannot be rendered: {reason}") from None
    return "".join(pieces)


class _Environment(SandboxedEnvironment):
    """An environment that counts its work, and ends when there is too much."""

    intercepted_binops = frozenset(["+", "*"])

    def __init__(self, **options: Any):
        super().__init__(**options)
        self.work = 0
        self.pass_work = 0  # one pass of a loop counts as all expressions of the template
        self.filters = {name: self._filter(self.filters[name]) for name in _FILTERS}
        self.filters |= {_WEIGHED: self.weighed, _PASSES: self.passes}

    def charge(self, work: int) -> None:
        """Count some work, and the call that does it, which takes as long as some fifty characters."""
        self.work += 50 + work
        if self.work > MAX_WORK:
            raise TypeError("it takes too long; use shorter loops and texts")

    def weighed(self, value: Any) -> Any:
        """Count the size of a value, with all that lists in lists repeat, and return it."""
        left, work = [value], 0
        while left:
            part = left.pop()
            work += 1 + (len(part) if isinstance(part, str) else 0)
            if isinstance(part, dict):
                left += [*part.keys(), *part.values()]
            elif isinstance(part, (list, tuple)):
                left += part
            if work > MAX_WORK:
                break
        self.charge(work)
        return value

    def passes(self, items: Iterable[Any]) -> Iterator[Any]:
        """Yield the items of a loop, and count each pass."""
        for item in items:
            self.charge(self.pass_work)
            yield item

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Add or multiply numbers and texts if the result is small; doubling would soon fill the memory."""
        if not all(isinstance(part, (int, float, str)) for part in (left, right)):
            raise TypeError(f"{operator} takes numbers and texts only")
        sizes = [abs(part) if isinstance(part, (int, float)) else len(part) for part in (left, right)]
        size = sizes[0] * sizes[1] if operator == "*" else sizes[0] + sizes[1]
        numbers = not any(isinstance(part, str) for part in (left, right))
        if size > MAX_CHARACTERS**2 or (size > MAX_CHARACTERS and not numbers):
            raise TypeError(f"the result of {operator} is too large")
        return self.weighed(super().call_binop(context, operator, left, right))

    def _filter(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(value: Any, *arguments: Any, **named: Any) -> Any:
            return self.weighed(function(self.weighed(value), *arguments, **named))

        return counted


class _Counted(NodeTransformer):
    """Rewrite a template so that ``_Environment`` counts what it prints, compares, joins and repeats."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:
        """Rewrite ``a ~ b`` as ``a|string + b|string``, whose sizes are checked."""
        self.generic_visit(node)
        texts = [_filtered(part, "string") for part in node.nodes]
        joined = texts[0]
        for text in texts[1:]:
            joined = nodes.Add(joined, text, lineno=node.lineno)
        return joined.set_environment(node.environment)

    def visit_Output(self, node: nodes.Output) -> nodes.Output:
        """Count the values that are printed."""
        self.generic_visit(node)
        node.nodes = [p if isinstance(p, nodes.TemplateData) else _filtered(p, _WEIGHED) for p in node.nodes]
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Compare:
        """Count the values that are compared."""
        self.generic_visit(node)
        node.expr = _filtered(node.expr, _WEIGHED)
        for operand in node.ops:
            operand.expr = _filtered(operand.expr, _WEIGHED)
        return node

    def visit_Test(self, node: nodes.Test) -> nodes.Test:
        """Count the values that are tested."""
        self.generic_visit(node)
        node.node = _filtered(node.node, _WEIGHED)
        node.args = [_filtered(part, _WEIGHED) for part in node.args]
        return node

    def visit_For(self, node: nodes.For) -> nodes.For:
        """Count the passes of a loop."""
        self.generic_visit(node)
        node.iter = _filtered(node.iter, _PASSES)
        return node


def _filtered(node: nodes.Expr, name: str) -> nodes.Expr:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno).set_environment(node.environment)


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
