"""Weights in 8 bits."""

import numpy as np
import pytest


def test_int8_weights_are_within_half_a_step(exported):
    _, path, files = exported
    if path.suffix != ".onnx":
        pytest.skip("the TFLite weights are ai-edge-quantizer's")
    import onnx

    usual, small = (onnx.load_from_string(files[name]).graph for name in ("float32", "int8"))
    floats = {w.name: onnx.numpy_helper.to_array(w) for w in usual.initializer}
    numbers = {w.name: onnx.numpy_helper.to_array(w) for w in small.initializer}
    nodes = [node for node in small.node if node.op_type == "DequantizeLinear"]
    assert len(nodes) > 4
    for node in nodes:
        weight, values = floats[node.output[0]], numbers[node.input[0]].astype(np.float32)
        shape = [1] * weight.ndim
        shape[node.attribute[0].i] = -1
        scale = numbers[node.input[1]].reshape(shape)
        assert (np.abs(weight - values * scale) <= 0.5001 * scale).all()
        assert np.abs(values).max() == 127 and not node.output[0].startswith("frames.front_end")
