"""Answers that hand their task to a function that is there already: found in the text, and noted.

The text is read, not executed, so nothing that runs can hide it: what asrlib's names an answer uses, itself
or through the student's other cells, beyond those that the official solution uses; losses of PyTorch that are
whole tasks; and the ways in which a name can be reached without being written.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

import assignments

from .execution import ADDED
from .matching import defined_functions

# data and pictures, which are nobody's task
_FREE = (
    "asrlib.clips",
    "asrlib.teaching.viz",
    "asrlib.teaching.check.check",
    "asrlib.errors",
)
_WHOLE_TASKS = {
    "torch.nn.functional.ctc_loss", "torch.nn.CTCLoss", "torch.nn.functional.conv1d", "torch.nn.Conv1d",
    "torch.ctc_loss", "torch.conv1d", "torch.stft", "torch.hann_window",
    "torch.optim.lr_scheduler.OneCycleLR", "torch.nn.utils.clip_grad_norm_", "numpy.hanning",
}  # fmt: skip
_WHOLE_MODULES = ("torch.autograd.", "torch.func.")
_WHOLE_PACKAGES = ("torchaudio", "librosa", "jiwer", "sentencepiece", "lhotse", "k2", "whisper")
_INDIRECT = {
    "eval", "exec", "compile", "__import__", "importlib", "globals", "vars", "locals", "inspect", "ctypes",
    "_ctypes", "gc", "marshal", "pickle", "runpy", "pkgutil", "zipimport", "operator.attrgetter", "getattr",
    "builtins", "__builtins__", "__subclasses__", "__globals__", "__code__", "f_globals", "f_back",
    "settrace", "gettrace", "setprofile", "subprocess", "socket", "os.system", "threading", "_thread",
    "multiprocessing", "concurrent", "enable_grad", "set_grad_enabled",
    "modules", "_getframe", "_current_frames",
}  # fmt: skip


def delegated(notebook, tasks: Iterable[assignments.Task]) -> dict[str, str]:
    """What to note on each task's answer in an assembled notebook, by the task's name."""
    tasks = list(tasks)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    answers, shared = {}, [_setup(tasks)]
    for cell in code:
        marked = cell.metadata.get("nbgrader", {})
        if marked.get("solution"):
            answers[marked["grade_id"].replace("-", ".", 1)] = cell.source
        elif ADDED in cell.metadata.get("tags", []):
            shared.append(cell.source)
    found = {}
    for task in tasks:
        if task.function not in defined_functions(answers.get(task.name, "")):
            continue
        usual = _reach([_setup(tasks), task.solution], task.function)
        if usual is None:
            continue
        theirs = _reach([*shared, answers[task.name]], task.function)
        if theirs is None:  # it cannot be compiled, so it earns nothing
            continue
        if what := _verdict(theirs - usual):
            found[task.name] = what
    return found


def _setup(tasks: list[assignments.Task]) -> str:
    return tasks[0].setup if tasks else ""


def _verdict(names: set[str]) -> str:
    own = sorted(n for n in names if n.startswith("asrlib.") and not n.startswith(_FREE))
    whole = sorted(n for n in names if n in _WHOLE_TASKS or n.startswith(_WHOLE_MODULES) or _package(n))
    hidden = sorted(
        n for n in names if n in _INDIRECT or n.split(".")[0] in _INDIRECT or _last(n) in _INDIRECT
    )
    if own or whole:
        return f"calls {', '.join((own + whole)[:5])}, which the task asks to write; look at it by hand"
    if hidden:
        return f"uses {', '.join(hidden[:5])}, which may reach any function; look at it by hand"
    return ""


def _package(name: str) -> bool:
    return name.split(".")[0] in _WHOLE_PACKAGES


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def _reach(sources: list[str], function: str) -> set[str] | None:
    """The full names that ``function`` uses, through all that ``sources`` define; None for bad syntax."""
    uses: dict[str, set[str]] = {}
    aliases: dict[str, str] = {}
    for source in sources:
        try:
            tree = ast.parse(_without_magics(source))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            if source is sources[-1]:
                return None
            continue
        for node in ast.walk(tree):
            aliases.update(_imports(node))
        for statement in tree.body:
            names = set(_names(statement))
            for defined in _defined(statement):
                uses.setdefault(defined, set()).update(names - {defined})
    reached, waiting, found = set(), [function], set()
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        for used in uses.get(name, ()):
            head, _, rest = used.partition(".")
            if head in aliases:
                found.add(aliases[head] + ("." + rest if rest else ""))
            elif head in uses:
                waiting.append(head)
            found.add(used)
    return found


def _without_magics(source: str) -> str:
    return "\n".join("pass" if line.startswith(("%", "!")) else line for line in source.splitlines())


def _imports(node: ast.AST) -> Iterator[tuple[str, str]]:
    """(name here, full name) of what a statement imports."""
    if isinstance(node, ast.Import):
        for item in node.names:
            yield (
                item.asname or item.name.split(".")[0],
                item.name if item.asname else item.name.split(".")[0],
            )
    if isinstance(node, ast.ImportFrom):
        for item in node.names:
            yield item.asname or item.name, f"{node.module or ''}.{item.name}"


def _defined(statement: ast.stmt) -> Iterator[str]:
    """Names that a statement at the top defines, inside branches and loops, too."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
        return
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name


def _names(statement: ast.AST) -> Iterator[str]:
    """Names with their attributes, "asrlib.losses.ctc", the longest of each, and what is imported inside."""
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        chain, at = [], node
        while isinstance(at, ast.Attribute):
            chain.append(at.attr)
            at = at.value
        if isinstance(at, ast.Name):
            yield ".".join([at.id, *reversed(chain)])
            continue
        if chain:
            yield from chain
        for item in _imports(node):
            yield item[1]
        waiting += ast.iter_child_nodes(node)
