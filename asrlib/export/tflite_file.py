"""TFLite files: write them, store their weights in 8 bits, and open them in LiteRT.

Lesson 12b.
"""

from __future__ import annotations

import importlib
import io
import json
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from asrlib.errors import InputError
from asrlib.export.formats import OpenFile, package
from asrlib.export.graph import TracedFrontEnd
from asrlib.export.parts import Part


def write_tflite(parts: list[Part], about: dict[str, Any], int8: bool) -> dict[str, bytes]:
    """Return the content of a TFLite file under ``float32`` and, if ``int8`` is true, also under ``int8``.

    Each part becomes a signature. The description ``about`` is the associated file ``asrlib.json``.
    """
    converter = package("litert_torch", "tflite").Converter()
    for part in parts:
        module = _Named(part.module, part.outputs).eval()
        converter.add_signature(part.name, module, sample_kwargs=part.inputs)
    contents = {"float32": converter.convert().model_content()}
    if int8:
        contents["int8"] = _int8_tflite(contents["float32"])
    return {name: _with_description(content, about) for name, content in contents.items()}


def open_tflite(content: bytes, threads: int) -> OpenFile:
    """Open the ``content`` of a file in LiteRT.

    Raises ``InputError`` if it is not a file that ``export`` wrote. The message starts with "is not", so
    that callers can put the name of the file in front.
    """
    interpreters = package("ai_edge_litert.interpreter", "tflite")
    try:
        about = json.loads(zipfile.ZipFile(io.BytesIO(content)).read("asrlib.json"))
        interpreter = interpreters.Interpreter(model_content=content, num_threads=threads)
    except (zipfile.BadZipFile, KeyError, ValueError, RuntimeError) as error:
        raise InputError(f"is not an exported model: {error}") from None
    signatures: dict[str, Any] = {}

    def run(name: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        if name not in signatures:
            signatures[name] = interpreter.get_signature_runner(name)
        # LiteRT returns scalars as Python numbers
        return {key: np.asarray(value) for key, value in signatures[name](**inputs).items()}

    names = interpreter.get_signature_list()
    lengths = sorted(int(name.partition("_")[2]) for name in names if name.startswith("seconds_"))
    start = {}
    for name in {"predict", "stream"} & set(names):
        inputs = interpreter.get_signature_runner(name).get_input_details()
        start = {key: np.zeros(of["shape"], of["dtype"]) for key, of in inputs.items() if key != "signal"}
    return OpenFile(about, run, lengths, start)


def _with_description(content: bytes, about: dict[str, Any]) -> bytes:
    """Append the description as a zip archive: LiteRT reads a file from its start, unzip from its end."""
    file = io.BytesIO()
    file.write(content)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("asrlib.json", json.dumps(about, ensure_ascii=False))
    return file.getvalue()


class _Named(nn.Module):
    """A part that takes keyword arguments in order and returns a dictionary."""

    def __init__(self, part: nn.Module, outputs: Sequence[str]):
        super().__init__()
        self.part, self.outputs = part, list(outputs)

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.outputs, self.part(*inputs.values()), strict=True))


def _int8_tflite(content: bytes) -> bytes:
    quantizer = package("ai_edge_quantizer.quantizer", "tflite").Quantizer(content)
    everything = importlib.import_module("ai_edge_quantizer.qtyping").TFLOperationName.ALL_SUPPORTED
    quantizer.add_weight_only_config(f"^(?!.*{TracedFrontEnd.__name__})", everything, num_bits=8)
    return bytes(quantizer.quantize().quantized_model)
