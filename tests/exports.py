"""What tests of exported files share: formats that can be written here, and when two results are alike."""

import copy
import dataclasses
import importlib.util
import os

import jaxtyping
import pytest
import tiny
import torch

from asrlib.export import convert
from asrlib.export.formats import FORMATS
from asrlib.recognizer import Recognizer

PACKAGE = {"onnx": "onnxscript", "tflite": "litert_torch"}
INSTALLED = [
    pytest.param(
        format,
        marks=pytest.mark.skipif(
            importlib.util.find_spec(PACKAGE[format]) is None, reason=f"needs {PACKAGE[format]}"
        ),
    )
    for format in FORMATS
]
thorough = pytest.mark.skipif(not os.environ.get("EXPORT_ALL"), reason="make test-export does it: minutes")


def unchecked(function, *arguments, **options):
    """Tracing a loop goes through all that is called, the checker of annotations too: switched off."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        return function(*arguments, **options)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def export(*arguments, **options):
    return unchecked(convert.export, *arguments, **options)


def decode_with(recognizer: Recognizer, **decoding) -> Recognizer:
    """The same network searched in another way."""
    config = dataclasses.replace(
        recognizer.config, decoding=dataclasses.replace(recognizer.config.decoding, **decoding)
    )
    return Recognizer(config, recognizer.model, recognizer.tokenizer)


def unlike(recognizer: Recognizer) -> Recognizer:
    """Another front end, and other weights."""
    features = dataclasses.replace(recognizer.config.features, log_floor=1e-3)
    config = dataclasses.replace(recognizer.config, features=features)
    other = Recognizer(config, copy.deepcopy(recognizer.model), recognizer.tokenizer)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in other.model.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=generator)
    return other


def speech(seconds: float, rate: int = tiny.RATE) -> torch.Tensor:
    generator = torch.Generator().manual_seed(int(1000 * seconds))
    return 0.1 * torch.randn(round(seconds * rate), generator=generator)


def assert_same(found, expected):
    assert (found.text, found.tokens) == (expected.text, expected.tokens)
    assert found.times == pytest.approx(expected.times, abs=1e-6)
    assert found.score == pytest.approx(expected.score, abs=2e-3)
    assert found.confidences == pytest.approx(expected.confidences, abs=2e-3)
