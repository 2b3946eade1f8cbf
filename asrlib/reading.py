"""Read text, YAML and JSON from outside. Every problem is one ``InputError`` that names the file.

All of asrlib reads these kinds of files here, so that a bad file gets the same answer in every command. Files
may come from anywhere: nothing in them runs, and time and memory stay in proportion to their size.
"""

from __future__ import annotations

import contextlib
import json
import os
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from asrlib.errors import InputError, first_line

# values that a YAML file may have; an alias counts as often as it is used
MAX_VALUES = 100_000
MAX_YAML_CHARACTERS = 1_000_000
MAX_YAML_DEPTH = 100

# what Python raises when data have a form that the code does not expect
_WRONG_FORM = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    MemoryError,
)


def shown(value: Any) -> str:
    """Return the ``repr`` of a value from a file, cut off where it is long or deep."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = 80
    return short.repr(value)


@contextlib.contextmanager
def damaged(where: str | os.PathLike, problem: str, remedy: str) -> Iterator[None]:
    """Turn what data of the wrong form raise within the block into an ``InputError``.

    Its message is ``where``, ``problem`` (such as "is damaged"), the reason, and ``remedy``. An
    ``InputError`` passes unchanged.
    """
    try:
        yield
    except InputError:
        raise
    except _WRONG_FORM as error:
        raise InputError(f"{where} {problem} ({reason(error)}); {remedy}") from None


def reason(error: BaseException) -> str:
    """Return the reason for an error that data of the wrong form have caused, in a few words."""
    if isinstance(error, KeyError):
        return f"{shown(error.args[0])} is missing" if error.args else "a key is missing"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return "it needs too much memory"
    return first_line(error)[:200]


def read_text(path: str | os.PathLike, missing: str = "does not exist") -> str:
    """Return the content of a UTF-8 file, without a byte order mark; lines end with ``\\n``.

    ``missing`` follows the name of a file that does not exist in the message. Raises ``InputError`` for that,
    for a folder, a file that cannot be read, one that is not UTF-8, and a name that no file can have.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} {missing}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:  # a NUL character
        raise InputError(f"{os.fspath(path)!r} cannot be the name of a file") from None
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a UTF-8 text file (byte {error.start}): save it as UTF-8") from None


# ---------------------------------------------------------------------------------- JSON


def read_json(
    path: str | os.PathLike,
    missing: str = "does not exist",
    remedy: str = "copy it again",
    infinite: bool = False,
) -> Any:
    """Return the value in a JSON file. Raises ``InputError`` as ``read_text`` and ``parse_json`` do."""
    return parse_json(read_text(path, missing), path, remedy, infinite)


def parse_json(
    text: str | bytes, where: str | os.PathLike, remedy: str = "copy it again", infinite: bool = False
) -> Any:
    """Return the value of a JSON text; ``where`` names its origin in messages.

    Raises ``InputError``, which ends with ``remedy``, for text that is not JSON, for a key that an object has
    twice, and, unless ``infinite``, for NaN and infinity.
    """
    with damaged(where, "is not valid JSON", remedy):
        return json.loads(
            text,
            object_pairs_hook=_without_repetition,
            parse_constant=float if infinite else _refuse_constant,
        )


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for place, key in enumerate(keys) if key in keys[:place])
        raise ValueError(f"the key {shown(twice)} occurs twice")
    return content


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number that JSON has")


# ---------------------------------------------------------------------------------- YAML


def parse_yaml(text: str, where: str) -> Any:
    """Return the value of a YAML text of plain values; ``where`` names its origin in messages.

    Raises ``InputError``, naming the line, for text that is not YAML, tags of other types, a key that a
    section has twice, aliases that stand for more than ``MAX_VALUES`` values in all, and values that cannot
    exist, such as 2023-13-45.
    """
    if len(text) > MAX_YAML_CHARACTERS:
        raise InputError(f"{where} has {len(text):,} characters; expected at most {MAX_YAML_CHARACTERS:,}")
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return None
            _check_node(root, where, {})
            return loader.construct_document(root)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise InputError(f"{where}{line}: not valid YAML: {problem}") from None
    except (RecursionError, MemoryError) as error:
        raise InputError(f"{where}: not valid YAML: {reason(error)}") from None


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, with a limit of depth, that names the line of a value that cannot exist."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Return the next node of the text."""
        self.depth += 1
        if self.depth > MAX_YAML_DEPTH:
            raise RecursionError
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the value of a node."""
        try:
            value = super().construct_object(node, deep)  # type: ignore[no-untyped-call]
        except (ValueError, KeyError, IndexError, AttributeError, TypeError, OverflowError):
            kind = node.tag.rsplit(":")[-1]
            raise _at(node, f"{shown(node.value)} cannot be of the type {kind}") from None
        if isinstance(value, int) and value.bit_length() > 64:
            raise _at(node, f"the number {node.value[:20]}… is too large")
        return value


def _at(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def _check_node(node: yaml.Node, where: str, sizes: dict[yaml.Node, int]) -> int:
    """Return the number of values below a node, and store it in ``sizes``.

    Raises ``InputError`` for a key that a section has twice, an alias inside of what it stands for, and more
    than ``MAX_VALUES`` values.
    """
    if node in sizes:
        if not sizes[node]:
            raise _at(node, "an alias stands for a value that it is part of")
        return sizes[node]
    sizes[node] = 0  # not yet known
    lines: dict[tuple[str, str], int] = {}
    size = 1
    for part in node.value if isinstance(node, yaml.CollectionNode) else ():
        pair = part if isinstance(part, tuple) else (part,)
        if len(pair) == 2 and isinstance(pair[0], yaml.ScalarNode):
            name, line = (pair[0].tag, pair[0].value), pair[0].start_mark.line + 1
            if name in lines:
                key = shown(name[1])[1:-1]
                raise InputError(f"{where}, line {line}: key {key} is in line {lines[name]}, too: keep one")
            lines[name] = line
        size += sum(_check_node(each, where, sizes) for each in pair)
    if size > MAX_VALUES:
        raise InputError(
            f"{where}: its aliases stand for more than {MAX_VALUES:,} values: write less, or no aliases"
        )
    sizes[node] = size
    return size
