"""ONNX files: write them, store their weights in 8 bits, and open them in onnxruntime.

Lesson 12b.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from asrlib.errors import InputError
from asrlib.export.formats import OpenFile, package
from asrlib.export.parts import Part

# weights with fewer values stay in float32: scales and node would cost what 8 bits save
SMALLEST = 1024


def write_onnx(parts: list[Part], about: dict[str, Any], int8: bool) -> dict[str, bytes]:
    """Return the content of an ONNX file under ``float32`` and, if ``int8`` is true, also under ``int8``.

    ``parts`` must be a single part. The description ``about`` is stored under the metadata key ``asrlib``.
    """
    onnx = package("onnx", "onnx")
    (part,) = parts
    proto = torch.onnx.export(
        part.module.eval(),
        tuple(part.inputs.values()),
        dynamo=True,
        dynamic_shapes=None if about["stream"] else ({0: torch.export.Dim.DYNAMIC},),
        input_names=list(part.inputs),
        output_names=part.outputs,
        verbose=False,
    ).model_proto
    for node in _nodes(proto.graph):  # they have paths of source files on this machine
        del node.metadata_props[:]
    onnx.helper.set_model_props(proto, {"asrlib": json.dumps(about, ensure_ascii=False)})
    contents = {"float32": proto.SerializeToString()}
    if int8:
        proto = _int8_onnx(proto)
        contents["int8"] = proto.SerializeToString()
    onnx.checker.check_model(proto)
    return contents


def open_onnx(content: bytes, threads: int) -> OpenFile:
    """Open the ``content`` of a file in onnxruntime.

    Raises ``InputError`` if it is not a file that ``export`` wrote. The message starts with "is not", so
    that callers can put the name of the file in front.
    """
    runtime = package("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    try:
        session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        about = json.loads(session.get_modelmeta().custom_metadata_map["asrlib"])
    except Exception as error:  # the runtime has its own exception class for each reason
        raise InputError(f"is not an exported model: {error}") from None
    names = [output.name for output in session.get_outputs()]
    types = {"tensor(int32)": np.int32, "tensor(float)": np.float32, "tensor(double)": np.float64}
    start = {
        node.name: np.zeros(node.shape, types[node.type])
        for node in session.get_inputs()
        if node.name.startswith("state_")
    }

    def run(_: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(names, session.run(names, inputs), strict=True))

    return OpenFile(about, run, [], start)


def _int8_onnx(proto: Any) -> Any:
    """Store large weights as int8 with one scale per output channel.

    A standard DequantizeLinear node follows each of them, so any runtime can read the file.
    """
    onnx = package("onnx", "onnx")
    graph = proto.graph
    users = {name: node for node in _nodes(graph) for name in node.input}
    weights, nodes = [], []
    for weight in graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.ndim < 2 or values.size < SMALLEST or values.dtype != np.float32:
            continue
        if weight.name not in users or "front_end." in weight.name:
            continue
        user = users[weight.name].op_type
        axis = values.ndim - 1 if user == "MatMul" else 1 if user == "LSTM" else 0
        others = tuple(n for n in range(values.ndim) if n != axis)
        scale = np.abs(values).max(axis=others, keepdims=True).clip(min=1e-12) / 127
        parts = {
            "int8": np.round(values / scale).astype(np.int8),
            "scale": scale.reshape(-1).astype(np.float32),
        }
        weights += [onnx.numpy_helper.from_array(p, f"{weight.name}.{name}") for name, p in parts.items()]
        inputs = [f"{weight.name}.{name}" for name in parts]
        nodes.append(onnx.helper.make_node("DequantizeLinear", inputs, [weight.name], axis=axis))
    replaced = {node.output[0] for node in nodes}
    kept = [weight for weight in graph.initializer if weight.name not in replaced]
    later = list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept + weights)
    graph.node.extend(nodes + later)
    return proto


def _nodes(graph: Any) -> Iterator[Any]:
    """Yield all nodes of the graph, including those in loop bodies."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)
