"""Render configurations that are Jinja templates, safely even for untrusted files.

The first line of defense is a list of the constructs that a configuration needs: ``set``, ``if``, one
level of ``for``, ``import``, simple arithmetic and text. Calls other than ``range``, attributes of anything
but an imported file, and macros are refused before anything runs. The second is a budget: every value, every
piece of output and every pass of a loop is charged for its size, so that time, memory and output stay
bounded. The third is Jinja's sandbox. Lesson 10.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jinja2 import BaseLoader, StrictUndefined, Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.environment import TemplateModule
from jinja2.sandbox import SandboxedEnvironment
from jinja2.visitor import NodeTransformer

from asrlib.config.template_files import Folder
from asrlib.config.template_rules import FILTERS, check
from asrlib.errors import InputError

MAX_CHARACTERS = 1_000_000
# what rendering may cost in all, in characters made or looked at
_BUDGET = 10 * MAX_CHARACTERS
# what a value inside a list, and an imported file beyond its length, is charged
_VALUE, _FILE = 1000, 1000


def is_template(text: str) -> bool:
    """Return whether a configuration is a Jinja template, which must be rendered before it is YAML."""
    return "{%" in text or "{{" in text


def render(text: str, where: str, folder: str | Path | None = None) -> str:
    """Return the text that a template produces.

    ``folder`` is the folder of the template. Files that it imports are searched there and in the folders
    above. It also defines the variables that TensorFlowASR's commands define: ``repodir`` is where the
    imported files are found, and ``datadir`` and ``modeldir`` stand for paths that asrlib takes from its
    command line. Without a folder, nothing can be imported.

    Raises ``InputError`` for a template that is not valid, uses a construct that is not allowed, produces
    more than ``MAX_CHARACTERS``, or takes too much work. The message names the file and, if known, the line.
    """
    environment = _Environment(where)
    try:
        tree = environment.parse(text)
        check(tree, where)
        environment.charge(len(text))
        if folder is not None:
            environment.loader = _Loader(Folder(Path(folder), tree, where))
            paths = {"repodir": str(environment.loader.folder.root), "datadir": "datadir"}
            environment.globals |= paths | {"modeldir": "modeldir"}
        elif tree.find(nodes.Import):
            raise InputError(f"{where}: a template can import files only if it is itself a file")
        code = environment.compile(_Charged().visit(tree))
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
    """A sandbox that knows only the allowed filters and keeps account of the work that it does."""

    intercepted_binops = frozenset(["+", "*"])

    def __init__(self, where: str):
        super().__init__(undefined=StrictUndefined, optimized=False, keep_trailing_newline=True)
        self.where = where
        self.left = _BUDGET
        self.globals = {"range": self.globals["range"]}
        self.filters = {name: self._charging(self.filters[name]) for name in FILTERS}
        self.filters |= {"_seen": self._seen, "_passes": self._passes, "_file": self._file}

    def charge(self, cost: int) -> None:
        """Subtract ``cost`` from what is left of the budget; raise ``InputError`` if that is not enough."""
        self.left -= cost
        if self.left < 0:
            raise InputError(f"{self.where}: the template takes too much work: shorten its loops and texts")

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Add or multiply only if the result is small, as repeated doubling would soon fill the memory."""
        sizes = [abs(part) if isinstance(part, (int, float)) else len(part) for part in (left, right)]
        size = sizes[0] * sizes[1] if operator == "*" else sizes[0] + sizes[1]
        if size > MAX_CHARACTERS**2 or (size > MAX_CHARACTERS and not _numbers(left, right)):
            raise TypeError(f"the result of {operator} is too large")
        if not _numbers(left, right):
            self.charge(int(size))
        return super().call_binop(context, operator, left, right)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return a variable of an imported file."""
        if not isinstance(obj, TemplateModule):
            raise TypeError(f"only imported files have attributes such as {attribute!r}")
        return super().getattr(obj, attribute)

    def _charging(self, function: Callable) -> Callable:
        def charged(value: Any, *arguments: Any, **options: Any) -> Any:
            return self._seen(function(self._seen(value), *arguments, **options))

        return charged

    def _seen(self, value: Any) -> Any:
        """Charge for all of a value that something is going to look at, and return it."""
        if isinstance(value, (str, TemplateModule)):
            self.charge(len(str(value)))
        elif isinstance(value, (list, tuple, dict)):
            for part in value:
                self.charge(_VALUE)
                self._seen(part)
                if isinstance(value, dict):
                    self._seen(value[part])
        return value

    def _passes(self, values: Any, cost: int) -> Iterator[Any]:
        """Yield the values of a loop, each of whose passes costs ``cost``."""
        for value in values:
            self.charge(cost)
            yield value

    def _file(self, name: Any) -> Any:
        """Charge for a file that is going to be imported, and return its name."""
        if isinstance(self.loader, _Loader):
            self.charge(len(self.loader.folder.read(str(name))[0]) + _FILE)
        return name


class _Loader(BaseLoader):
    """Compile the files that a template imports, under the rules of the template itself."""

    def __init__(self, folder: Folder):
        self.folder = folder

    def load(self, environment: Any, name: str, globals: Any = None) -> Template:
        """Return the compiled file ``name``; raise ``InputError`` if it cannot be had or is not allowed."""
        text, path = self.folder.read(name)
        try:
            tree = environment.parse(text)
        except TemplateSyntaxError as error:
            raise InputError(
                f"{path}, line {error.lineno}: not a valid Jinja template: {error.message}"
            ) from None
        check(tree, path)
        code = environment.compile(_Charged().visit(tree), name)
        return environment.template_class.from_code(environment, code, dict(environment.globals))


class _Charged(NodeTransformer):
    """Have what a template looks at charged, and rewrite ``a ~ b`` as ``a|string + b|string``."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:
        self.generic_visit(node)
        texts = [_filtered(part, "string") for part in node.nodes]
        joined = texts[0]
        for text in texts[1:]:
            joined = nodes.Add(joined, text, lineno=node.lineno)
        return joined.set_environment(node.environment)

    def visit_Output(self, node: nodes.Output) -> nodes.Output:
        self.generic_visit(node)
        node.nodes = [
            part if isinstance(part, nodes.TemplateData) else _filtered(part, "_seen") for part in node.nodes
        ]
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Compare:
        self.generic_visit(node)
        node.expr = _filtered(node.expr, "_seen")
        for operand in node.ops:
            operand.expr = _filtered(operand.expr, "_seen")
        return node

    def visit_For(self, node: nodes.For) -> nodes.For:
        cost = sum(
            len(part.data) if isinstance(part, nodes.TemplateData) else 1
            for part in node.find_all(nodes.Node)
        )
        self.generic_visit(node)
        node.iter = _filtered(node.iter, "_passes", nodes.Const(cost, lineno=node.lineno))
        return node

    def visit_Import(self, node: nodes.Import) -> nodes.Import:
        self.generic_visit(node)
        node.template = _filtered(node.template, "_file")
        return node


def _filtered(node: nodes.Expr, name: str, *arguments: nodes.Expr) -> nodes.Filter:
    new = nodes.Filter(node, name, list(arguments), [], None, None, lineno=node.lineno)
    return new.set_environment(node.environment)


def _numbers(*values: Any) -> bool:
    return all(isinstance(value, (int, float)) for value in values)
