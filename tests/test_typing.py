"""The programs in tests/typing, which the type checker reads: complete, and as true when they run."""

import ast
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import asrlib

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PROGRAMS = ("public_names", "wrong_uses")


def source(name):
    return (ROOT / "tests" / "typing" / f"{name}.py").read_text(encoding="utf-8")


def settings():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_public_name_is_used(name):
    nodes = [node for node in ast.walk(ast.parse(source(name))) if isinstance(node, ast.Attribute)]
    used = {node.attr for node in nodes if getattr(node.value, "id", "") == "asrlib"}
    assert used == set(asrlib.__all__)


def test_both_programs_and_every_module_behind_a_public_name_are_checked():
    modules = {getattr(asrlib, name).__module__ for name in asrlib.__all__}
    expected = {f"{module.replace('.', '/')}.py" for module in modules} | {"asrlib/__init__.py"}
    expected |= {f"tests/typing/{name}.py" for name in PROGRAMS}
    assert expected <= set(settings()["files"])
    assert all((ROOT / name).is_file() for name in settings()["files"])


def test_what_is_wrong_must_be_found():
    assert settings()["warn_unused_ignores"] and settings()["disallow_untyped_defs"]
    lines = [line for line in source("wrong_uses").splitlines() if line.startswith("asrlib.")]
    assert all("# type: ignore[" in line for line in lines) and lines


@pytest.fixture
def digits(tmp_path):
    """A folder with a recording of each digit."""
    words = "zero one two three four five six seven eight nine".split()
    time = np.arange(2400) / 8000
    rows = ["path\ttext\tspeaker\tsplit"] + [f"{word}.wav\t{word}\tanna\ttrain" for word in words]
    for number, word in enumerate(words):
        soundfile.write(tmp_path / f"{word}.wav", 0.3 * np.sin(2 * np.pi * 100 * (number + 2) * time), 8000)
    (tmp_path / "manifest.tsv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_the_types_hold_when_the_program_runs(digits, unchecked_shapes, capsys):
    path = ROOT / "tests" / "typing" / "public_names.py"
    spec = importlib.util.spec_from_file_location("public_names", path)
    spec.loader.exec_module(program := importlib.util.module_from_spec(spec))
    program.configurations_and_models()
    program.sound()
    program.corpora(str(digits), str(digits / "one.wav"))
    program.losses()
    program.recognition()
    program.scores()
    assert capsys.readouterr().out == "10 3 0\n"
