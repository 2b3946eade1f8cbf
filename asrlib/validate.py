"""Checks of configuration values: an ``InputError`` names the file, the key, its value, and what to do.

Every function takes ``where`` (the file's name), ``section`` (the path to ``settings`` in the file),
``settings``, and the names of the attributes of ``settings`` to check. ``positive``, ``not_negative``,
``at_most`` and ``intervals`` skip values of None, which stand for keys that were left out. Lesson 09.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from asrlib.errors import InputError
from asrlib.reading import shown


def positive(where: str, section: str, settings: Any, *keys: str) -> None:
    """Raise ``InputError`` unless every value is above 0."""
    for key, value in _values(settings, keys):
        if value is not None and not value > 0:
            raise InputError(f"{where}: key {section}.{key} is {value}; it must be positive")


def not_negative(where: str, section: str, settings: Any, *keys: str) -> None:
    """Raise ``InputError`` if any value is below 0."""
    for key, value in _values(settings, keys):
        if value is not None and not value >= 0:
            raise InputError(f"{where}: key {section}.{key} is {value}; it must not be negative")


def at_most(where: str, section: str, settings: Any, limit: float, *keys: str) -> None:
    """Raise ``InputError`` if any value is above ``limit``.

    The limits are far above what a network or a search needs. They keep a slip of the pen from filling the
    memory.
    """
    for key, value in _values(settings, keys):
        if value is not None and not value <= limit:
            raise InputError(f"{where}: key {section}.{key} is {value}; it must be at most {limit:,}")


def fractions(where: str, section: str, settings: Any, *keys: str) -> None:
    """Raise ``InputError`` unless every value is between 0 and 1, both included."""
    for key, value in _values(settings, keys):
        if not 0 <= value <= 1:
            raise InputError(f"{where}: key {section}.{key} is {value}; it must be between 0 and 1")


def intervals(where: str, section: str, settings: Any, low: float, high: float, *keys: str) -> None:
    """Raise ``InputError`` unless every value is a list of two numbers in order, from ``low`` to ``high``."""
    for key, value in _values(settings, keys):
        if value is not None and not (len(value) == 2 and low <= value[0] <= value[1] <= high):
            raise InputError(
                f"{where}: key {section}.{key} is {shown(value)}; expected [low, high] from {low} to {high}"
            )


def choice(where: str, section: str, settings: Any, key: str, allowed: Collection[str]) -> None:
    """Raise ``InputError`` unless the value of ``key`` is one of ``allowed``."""
    value = getattr(settings, key)
    if value not in allowed:
        raise InputError(f"{where}: key {section}.{key} is {shown(value)}; use one of {', '.join(allowed)}")


@contextlib.contextmanager
def named(where: str, section: str) -> Iterator[None]:
    """Prefix the message of any ``InputError`` raised inside the block with the file and the section."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{where}: {section}: {error}") from None


def new_kind(function: str, known: Mapping[str, Any], base: type, config: Any) -> None:
    """Raise ``InputError`` unless ``config`` can be registered: a dataclass with a ``kind`` of its own.

    It must derive from ``base``, and its ``kind`` must not be the key of another class in ``known``.
    ``function`` is the name of the calling function, for the message.
    """
    name = getattr(config, "__name__", type(config).__name__)
    if not (isinstance(config, type) and issubclass(config, base)):
        raise InputError(f"{function} takes a subclass of {base.__name__}, not {name}")
    if "__dataclass_fields__" not in vars(config):
        raise InputError(f"{name} is not a @dataclass; decorate it, so that its fields become keys")
    kind = getattr(config, "kind", "")
    if not kind or known.get(kind, config) is not config:
        raise InputError(f"{name}: kind is {kind!r}; use a name other than {', '.join(known)}")


def _values(settings: Any, keys: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    return ((key, getattr(settings, key)) for key in keys)
