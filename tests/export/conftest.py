"""Recognizers, and the files that are made of them."""

import pytest
import tiny
from exports import INSTALLED, decode_with, export, unlike

from asrlib.export import onnx_file
from asrlib.recognizer import Recognizer

HEADS = {
    "transducer": {},
    "warped": {"head": "ctc", "warps": [0.9, 1.0, 1.12]},
    "together": {"head": "ctc", "warps": [0.95, 1.0]},
}


@pytest.fixture(autouse=True)
def one_thread():
    with tiny.one_thread():
        yield


@pytest.fixture
def decoded(recognizer):
    """``decoded(beam_width=4)``: the same network searched in another way."""
    return lambda **keys: decode_with(recognizer, **keys)


@pytest.fixture(scope="session")
def recognizer(tiny_model):
    return Recognizer.load(tiny_model)


@pytest.fixture(
    scope="session",
    params=[
        pytest.param((f.values[0], head), marks=f.marks, id=f"{f.values[0]}-{head}")
        for f in INSTALLED
        for head in HEADS
    ],
)
def exported(request, recognizer, tmp_path_factory):
    """Eager, the path of its float file, and the contents in float32 and int8."""
    format, head = request.param
    eager = decode_with(recognizer, **HEADS[head])
    if head == "together":
        eager.members["other"] = unlike(recognizer)
    path = tmp_path_factory.mktemp("exported") / f"{head}.{format}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_file, "SMALLEST", 256)  # the model is tiny
        files = export(eager, path, format, int8=True, seconds=[1, 3])
    assert path.read_bytes() == files["int8"]
    path.write_bytes(files["float32"])
    return eager, path, files
