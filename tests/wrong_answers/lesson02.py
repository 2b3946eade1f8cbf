"""Plausible wrong answers to assignment 02; the form is that of ``lesson06``."""

# ruff: noqa: E501 (an answer a line)
WRONG = [
    ("02.reads", "first + kernel - 1", "first + kernel", "one too far"),
    ("02.reads", "(kernel - 1) // 2", "kernel // 2", "even kernel"),
    ("02.reads", "n * stride - before", "n - before", "n · stride"),
    ("02.reads", "kernel - 1 if", "kernel if", "last one it may read"),
    ("02.reads", "first = n * stride - before", "first = max(0, n * stride - before)", "before the signal"),
    ("02.depthwise", "* weight.T", "* weight.T.flip(0)", "turned around"),
    ("02.depthwise", 'k - 1 if padding == "causal" else (k - 1) // 2', "(k - 1) // 2", "padding is ignored"),
    ("02.depthwise", "range(0, T, stride)", "range(0, T)", "stride is ignored"),
    ("02.depthwise", "range(0, T, stride)", "range(0, T - stride + 1, stride)", "rounded up"),
    ("02.depthwise", ".sum(0)", ".sum()", "added up"),
    ("02.depthwise", "(k - 1) // 2\n", "k // 2\n", "even kernel"),
    ("02.parameters", "c_in * kernel + c_in * c_out + c_out", "c_in * kernel + c_in + c_in * c_out + c_out", "no bias: one too many"),
    ("02.parameters", "c_in * kernel + c_in * c_out + c_out", "c_in * kernel + c_out", "c_in · c_out weights"),
    ("02.parameters", "c_in * c_out * kernel + c_out, ", "c_in * c_out * kernel, ", "without its bias"),
    ("02.parameters", "c_in * c_out + c_out", "c_in * c_out", "pointwise half's bias"),
    ("02.frames_out", "(frames + stride - 1) // stride", "frames // stride", "rounded up"),
    ("02.frames_out", "(frames + stride - 1) // stride", "(frames + 1) // stride", "right for 2 only"),
    ("02.frames_out", "(frames + stride - 1) // stride", "frames / stride", "a fraction"),
    ("02.frames_out", None, "def frames_out(frames, strides):\n    product = 1\n    for s in strides:\n        product *= s\n    return round(frames / product)", "rounded up"),
    ("02.receptive_field", "(kernel - 1) * step", "kernel * step", "not k"),
    ("02.receptive_field", "(kernel - 1) * step", "kernel - 1", "2 input frames apart"),
    ("02.receptive_field", "        field += (kernel - 1) * step\n        step *= stride\n", "        step *= stride\n        field += (kernel - 1) * step\n", "from the next layer on"),
    ("02.receptive_field", "step *= stride", "step += stride - 1", "steps multiply"),
    ("02.receptive_field", "field, step, result = 1,", "field, step, result = 0,", "first frame is missing"),
    ("02.fast_depthwise", None, '''
def fast_depthwise(x, weight):
    k = weight.shape[1]
    padded = F.pad(x, (0, 0, (k - 1) // 2, k // 2))
    return torch.stack([(padded[n : n + k] * weight.T).sum(0) for n in range(len(x))])
''', "too much work"),
    ("02.fast_depthwise", "(k - 1) // 2, k // 2", "k - 1, 0", "causal"),
    ("02.fast_depthwise", "weight[:, i]", "weight[:, k - 1 - i]", "turned around"),
    ("02.fast_depthwise", "(k - 1) // 2, k // 2", "k // 2, (k - 1) // 2", "even kernel"),
]  # fmt: skip
