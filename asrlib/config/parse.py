"""Read configurations: shipped ones by name, and YAML files in asrlib's format or TensorFlowASR's.

asrlib's format mirrors the dataclasses of `asrlib.config.schema`. A value of the wrong type and an unknown
key are errors that name the key. `asrlib.config.tensorflowasr` translates TensorFlowASR's files, of which
keys without effect are only listed in a warning; docs/configuration.md explains them.
Lesson 09.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import math
import sys
import types
import typing
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from asrlib.config import tensorflowasr
from asrlib.config.schema import Config
from asrlib.config.template import is_template, render
from asrlib.errors import InputError
from asrlib.files import package_folder
from asrlib.losses.objective import LossConfig
from asrlib.losses.registry import LOSSES
from asrlib.models.encoder import EncoderConfig
from asrlib.models.registry import DEFAULT_KIND, ENCODERS
from asrlib.reading import parse_yaml, read_text, shown

# sections whose ``kind`` chooses their class: the registry, and the kind of a section that names none
_KINDS: dict[type, tuple[dict[str, Any], str]] = {
    EncoderConfig: (ENCODERS, DEFAULT_KIND),
    LossConfig: (LOSSES, LossConfig.kind),
}
# a limit that may be infinite, which is none
_LIMITS = ("training.max_lr", "training.clip_norm")
_SHIPPED = package_folder("asrlib.config")


def shipped_configs() -> list[str]:
    """Return the names of the configurations that ship with the library, sorted."""
    return sorted(path.stem for path in _SHIPPED.glob("*.yml"))


def load_config(name_or_path: str | Path, generation: str | None = None) -> Config:
    """Read a configuration: a shipped one by its name, or a file by its path.

    A file is YAML, or a Jinja template of YAML, in asrlib's format or TensorFlowASR's. ``generation`` says
    which of TensorFlowASR's ``GENERATIONS`` a file of theirs is for; None: the one that its keys tell.

    For a file of TensorFlowASR, warns which generation it is read for and which keys have no effect. Raises
    ``InputError``, naming file and key, if the file is missing, is not valid, or has an unknown key or a
    value that cannot be used.
    """
    name = str(name_or_path)
    if name in shipped_configs():
        return parse_config((_SHIPPED / f"{name}.yml").read_text(encoding="utf-8"), name)
    path = Path(name_or_path)
    if not path.is_file():
        hint = f"; shipped configurations are {', '.join(shipped_configs())}"
        raise InputError(f"there is no configuration file {path}{hint}")
    return parse_config(read_text(path), str(path), path.parent, generation)


def parse_config(text: str, where: str, folder: Path | None = None, generation: str | None = None) -> Config:
    """Parse a configuration from text; ``where`` names its origin in messages.

    The text is YAML or a Jinja template of YAML. The format (asrlib's or TensorFlowASR's) is recognized by
    the content. ``folder`` is the folder of the file, if it is one: a template may import files from there.
    ``generation`` is as for ``load_config``. Warns and raises as ``load_config`` does.
    """
    content = parse_yaml(render(text, where, folder) if is_template(text) else text, where)
    if not isinstance(content, dict):
        raise InputError(
            f"{where}: expected sections such as features and encoder, found {type(content).__name__}"
        )
    if not tensorflowasr.recognize(content):
        return _checked(content, where)
    translation = tensorflowasr.translate(content, where, generation)
    try:
        config = _checked(translation.content, where)
    except InputError as error:
        raise InputError(translation.original(str(error))) from None
    _warn(f"{where}: {translation.warning()}")
    return config


def override(config: Config, assignments: list[str]) -> Config:
    """Return a copy of ``config`` with keys replaced by ``assignments`` (``asrlib train --set``).

    An assignment has the form ``training.max_lr=0.001``; its value is parsed as YAML. A new
    ``encoder.kind`` or ``loss.kind`` starts from the defaults of that kind. Raises ``InputError`` for an
    assignment without "=", an unknown key, and a value that cannot be used.
    """
    content = config.to_dict()
    for assignment in assignments:
        where = f"--set {shown(assignment)[1:-1]}"
        key, separator, value = assignment.partition("=")
        if not separator:
            raise InputError(
                f"--set {shown(assignment)[1:-1]}: expected key=value, such as training.max_lr=0.001"
            )
        *sections, last = key.strip().split(".")
        node: Any = content
        for section in sections:
            node = node.get(section) if isinstance(node, dict) else None
        if not isinstance(node, dict) or last not in node:
            hint = _nearest(last, node, ".".join(sections)) if isinstance(node, dict) else ""
            raise InputError(f"{where}: there is no key {shown(key.strip())}{hint}")
        node[last] = parse_yaml(value, where)
        for section, base in (("encoder", EncoderConfig), ("loss", LossConfig)):
            if key.strip() == f"{section}.kind" and node[last] != getattr(config, section).kind:
                # each kind has keys of its own
                content[section] = dataclasses.asdict(_class_of_kind(base, node, "--set", section)())
    return _checked(content, "--set")


def _checked(content: dict[str, Any], where: str) -> Config:
    sections = typing.get_type_hints(Config)
    if not any(key in sections for key in content):
        raise InputError(
            f"{where} is no configuration: it has none of the sections {', '.join(sections)}, nor those of"
            " TensorFlowASR"
        )
    unknown: list[str] = []
    config = _section(Config, content, where, "", unknown)
    if unknown:
        raise InputError(f"{where}: unknown key {'; unknown key '.join(unknown)}: correct or remove it")
    config.check(where)
    return config


def _section(cls: type, content: dict[str, Any], where: str, prefix: str, unknown: list[str]) -> Any:
    """Return an instance of ``cls`` built from a section; append the keys it lacks to ``unknown``."""
    hints = typing.get_type_hints(cls)
    unknown += [
        f"{prefix}{str(key)[:80]}{_nearest(key, hints, prefix[:-1])}" for key in content if key not in hints
    ]
    values = {k: _value(hints[k], v, where, prefix + k, unknown) for k, v in content.items() if k in hints}
    missing = [
        f.name
        for f in dataclasses.fields(cls)
        if f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
        and f.name not in values
    ]
    if missing:
        raise InputError(f"{where}: key {prefix}{missing[0]} is missing")
    return cls(**values)


def _value(hint: Any, value: Any, where: str, key: str, unknown: list[str]) -> Any:
    """Convert a key's value to the type that its dataclass declares."""
    options = typing.get_args(hint) if _is_union(hint) else (hint,)
    if value is None and type(None) in options:
        return None
    for option in options:
        if dataclasses.is_dataclass(option) and isinstance(value, dict):
            cls: Any = _class_of_kind(option, value, where, key) if option in _KINDS else option
            return _section(cls, value, where, key + ".", unknown)
        if typing.get_origin(option) is list and isinstance(value, list):
            (item_hint,) = typing.get_args(option)
            return [_value(item_hint, item, where, f"{key}[{i}]", unknown) for i, item in enumerate(value)]
        if option in (int, float, bool, str) and (scalar := _scalar(option, value)) is not None:
            if isinstance(scalar, float) and not (math.isfinite(scalar) or _no_limit(key, scalar)):
                raise InputError(f"{where}: key {key} is {scalar}; expected a finite number")
            return scalar
    raise InputError(f"{where}: key {key} is {shown(value)}; expected {' or '.join(map(_name, options))}")


def _scalar(kind: type, value: Any) -> Any:
    """Return ``value`` as ``kind`` (int, float, bool or str), or None if it is none."""
    if isinstance(value, bool):
        if kind is bool:
            return value
        return "no" if kind is str and not value else None  # YAML 1.1 reads "precision: no" as false
    if kind is float and isinstance(value, (int, float, str)):
        with contextlib.suppress(ValueError):
            return float(value)  # YAML 1.1 reads 1e-9, which has no point, as a string
        return None
    return value if kind is not bool and isinstance(value, kind) else None


def _no_limit(key: str, value: float) -> bool:
    return key in _LIMITS and value == math.inf


def _class_of_kind(base: type, content: dict[str, Any], where: str, key: str) -> type:
    """Return the class that belongs to the ``kind`` of a section."""
    known, default = _KINDS[base]
    kind = content.get("kind", default)
    if not isinstance(kind, str) or kind not in known:
        raise InputError(f"{where}: key {key}.kind is {shown(kind)}; use one of {', '.join(known)}")
    return known[kind]


def _nearest(key: Any, known: Iterable[str], section: str) -> str:
    """Return a hint at the key of ``section`` that an unknown key resembles, or an empty string."""
    found = difflib.get_close_matches(str(key)[:80], list(known), n=1)
    return f" (did you mean {'.'.join(filter(None, (section, *found)))}?)" if found else ""


def _is_union(hint: Any) -> bool:
    return isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union


def _name(option: Any) -> str:
    if option is type(None):
        return "nothing"
    return "a section" if dataclasses.is_dataclass(option) else getattr(option, "__name__", str(option))


def _warn(message: str) -> None:
    """Issue a warning attributed to the line that called into this module."""
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and frame.f_code.co_filename == __file__:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)
