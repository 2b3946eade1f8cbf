"""ONNX: the file written, its weights in 8 bits, and the file in onnxruntime.

Lesson 12.
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

# smaller weights stay as they are: their scales and the node would take what 8 bits save
SMALLEST = 1024


def write_onnx(parts: list[Part], about: dict[str, Any], int8: bool) -> dict[str, bytes]:
    """Return the file's content as ``float32``, and with ``int8`` also as ``int8``.

    ``about`` is the description that the file carries, under the metadata key ``asrlib``.
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
    for node in _nodes(proto.graph):  # the source lines of this machine that each was made from
        del node.metadata_props[:]
    onnx.helper.set_model_props(proto, {"asrlib": json.dumps(about, ensure_ascii=False)})
    contents = {"float32": proto.SerializeToString()}
    if int8:
        proto = _int8_onnx(proto)
        contents["int8"] = proto.SerializeToString()
    onnx.checker.check_model(proto)
    return contents


def open_onnx(content: bytes, threads: int) -> OpenFile:
    """Open a file's content in onnxruntime; raises ``InputError`` if ``export`` did not write it."""
    runtime = package("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    try:
        session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        about = json.loads(session.get_modelmeta().custom_metadata_map["asrlib"])
    except Exception as error:  # the runtime has a class of its own for each reason
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
    """Store large weights as int8 with a scale for each output channel.

    A standard DequantizeLinear node stands behind them, which any runtime can read.
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
    """Yield the graph's nodes, those of a loop's body too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)
