"""asrlib.extras: what asrlib imports where it is needed, and the line about an extra that is missing."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commandline import one_line, program

from asrlib import clips, load_corpus
from asrlib.errors import InputError
from asrlib.extras import EXTRAS, extra, require
from asrlib.teaching import recorder, viz, widgets

ROOT = Path(__file__).parent.parent
OWNERS = {package: name for name, (_, packages) in EXTRAS.items() for package in packages}


@pytest.fixture
def without(monkeypatch):
    """``without("lhotse")``: from now on the package is not installed, for this test."""

    def block(package):
        for module in [*sys.modules]:
            if module.split(".")[0] == package:
                monkeypatch.setitem(sys.modules, module, None)
            elif module.startswith("torch.utils.tensorboard"):  # it would not import tensorboard again
                monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, package, None)

    return block


def says(package, text):
    """Whether the line names the package, and the extra that installs it."""
    name = OWNERS[package]
    line = f'{package.replace("_", "-")}, which is not installed: pip install "asrlib[{name}]"'
    return line in text and EXTRAS[name][0] in text


@pytest.mark.parametrize(
    "package, use",
    [
        ("lhotse", clips),
        ("lhotse", lambda: load_corpus("digits")),
        ("lhotse", lambda: load_corpus(ROOT / "data" / "clips")),
        ("matplotlib", lambda: viz.plot_waveform(np.zeros(9), 9)),
        ("matplotlib", lambda: viz.plot_spectrogram(np.ones((5, 9)), 8000)),
        ("matplotlib", lambda: viz.plot_receptive_field([(3, 1)], "same")),
        ("ipywidgets", widgets.receptive_field_explorer),
        ("ipywidgets", lambda: recorder.recording_desk(["one"], "nowhere")),
        ("IPython", recorder.recorder),
    ],
)
def test_a_function_names_the_extra_that_it_needs(package, use, without, cache):
    without(package)
    with pytest.raises(InputError) as caught:
        use()
    assert says(package, str(caught.value)), caught.value
    assert not cache.exists()  # nothing was rendered for nothing


@pytest.mark.parametrize("package", EXTRAS["train"][1])
def test_training_names_the_extra_before_it_begins(package, without, fails, config, corpus, tmp_path):
    without(package)
    line = fails("train", config, "--corpus", corpus, "--out", tmp_path / "out")
    assert says(package, line) and not (tmp_path / "out").exists()


def test_commands_on_corpora_name_the_extra(without, fails, model, corpus, cache, tmp_path):
    without("lhotse")
    table = tmp_path / "r.tsv"
    for words in (
        ("test", model, "--corpus", corpus, "--output", table),
        ("lm", model, "--corpus", corpus, "--output", table),
        ("data", corpus, "--shar", tmp_path / "shards"),
        ("data", "digits"),
    ):
        assert says("lhotse", fails(*words))
    assert not cache.exists() and not table.exists() and not (tmp_path / "shards").exists()


@pytest.mark.parametrize("package", [*EXTRAS["export"][1], *EXTRAS["tflite"][1]])
def test_export_names_the_extra(package, without, fails, model, tmp_path, monkeypatch):
    name = OWNERS[package]
    for other in EXTRAS[name][1]:  # as if installed: they are not everywhere
        monkeypatch.setitem(sys.modules, other, sys)
    without(package)
    format = {"export": "onnx"}.get(name, name)
    line = fails("export", model, "--format", format, "--output", tmp_path / f"m.{format}")
    assert says(package, line) and not [*tmp_path.glob("m.*")]


def test_synthesis_names_the_extra(cache):
    """In a process of its own, as espeak-ng starts once a process."""
    done = program("data", "digits", before="import sys; sys.modules['espeakng_loader'] = None")
    assert says("espeakng_loader", one_line(done.returncode, done.stderr, []))


def test_the_core_needs_no_extra():
    """All modules are imported, and a clip is transcribed, where no extra is installed."""
    clip = ROOT / "data" / "clips" / "audio" / "digits-1.flac"
    script = f"""
import importlib, pkgutil, sys
for package in {[*OWNERS, "librosa", "torchaudio"]}:
    sys.modules[package] = None
import asrlib
for module in pkgutil.walk_packages(asrlib.__path__, "asrlib."):
    if "kernels" in module.name:  # they need Triton
        continue
    try:
        importlib.import_module(module.name)
    except asrlib.InputError as error:  # a class derived from one of lhotse's, which functions import
        assert "asrlib[train]" in str(error)
print(asrlib.Recognizer.load().transcribe({str(clip)!r}).text)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "seven three nine\n"


def test_every_import_of_an_extra_can_name_it():
    """Such imports are in a block ``with extra(...)``."""
    found = set()
    for path in sorted((ROOT / "asrlib").rglob("*.py")):
        for package, name, line in optional_imports(ast.parse(path.read_text(encoding="utf-8"))):
            assert name == OWNERS[package], (
                f"{path}:{line}: import {package} within extra({OWNERS[package]!r})"
            )
            found.add(package)
    assert {"lhotse", "accelerate", "tensorboard", "espeakng_loader", "matplotlib", "ipywidgets"} <= found


def optional_imports(node, name=None):
    """Yield (package, the extra of the block it is in, line) of each import that runs."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            modules = [alias.name for alias in child.names]
            if isinstance(child, ast.ImportFrom):
                modules = [child.module]
            for module in modules:
                package = module.removeprefix("torch.utils.").split(".")[0]
                if package in OWNERS:
                    yield package, name, child.lineno
        inner = re.fullmatch(r"extra\('(\w+)'\)", ast.unparse(child.items[0])) if is_with(child) else None
        yield from optional_imports(child, inner[1] if inner else name)


def is_with(node):
    return isinstance(node, ast.With)


def test_an_import_that_fails_for_another_reason_tells_it():
    with pytest.raises(InputError, match=r"needs a package .*No module named 'nowhere.*asrlib\[synth\]"):
        with extra("synth"):
            import nowhere_to_be_found  # noqa: F401


def test_require_looks_at_all_packages_or_at_some(without):
    without("accelerate")
    require("train", "lhotse")
    with pytest.raises(InputError, match="need accelerate, which"):
        require("train")


def test_extras_are_those_of_pyproject():
    tomllib = pytest.importorskip("tomllib", reason="tomllib comes with Python 3.11")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = project["optional-dependencies"]
    for name, (_, packages) in EXTRAS.items():
        names = {re.split("[><=]", requirement)[0].replace("-", "_").lower() for requirement in listed[name]}
        # IPython comes with ipywidgets
        assert {package.lower() for package in packages} - {"ipython"} <= names, name
    core = {re.split("[><=]", requirement)[0].replace("-", "_") for requirement in project["dependencies"]}
    assert not core & set(OWNERS)
