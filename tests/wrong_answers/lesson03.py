"""Plausible wrong answers to assignment 03; the form is that of ``lesson06``."""

# ruff: noqa: E501 (an answer a line)
WRONG = [
    ("03.squeeze", "(x * mask[:, :, None]).sum(1) / mask.sum(1)[:, None]", "x.mean(1)", "mask is not used"),
    ("03.squeeze", "(x * mask[:, :, None]).sum(1) / mask.sum(1)[:, None]", "(x * mask[:, :, None]).mean(1)", "still counted"),
    ("03.squeeze", "(x * mask[:, :, None])", "x", "padding is in the sum"),
    ("03.squeeze", " / mask.sum(1)[:, None]", "", "the sum, not the mean"),
    ("03.gates", "    hidden = hidden * torch.sigmoid(hidden)\n", "", "no activation between"),
    ("03.gates", "hidden * torch.sigmoid(hidden)", "torch.relu(hidden)", "relu between"),
    ("03.gates", "return torch.sigmoid(hidden @ up.T + up_bias)", "return hidden @ up.T + up_bias", "no sigmoid at the end"),
    ("03.gates", "return torch.sigmoid(hidden @ up.T + up_bias)", "return torch.softmax(hidden @ up.T + up_bias, -1)", "do not compete"),
    ("03.gates", "down.T + down_bias", "down.T", "first bias is missing"),
    ("03.parameters", " + channels", "", "one a channel"),
    ("03.parameters", "channels * inside + inside + inside * channels + channels", "2 * channels * inside", "biases are missing"),
    ("03.parameters", "channels // 8", "-(-channels // 8)", "rounded down"),
    ("03.parameters", "channels // 8", "channels", "without a bottleneck"),
    ("03.squeeze_causal", "total / mask.cumsum(1)[:, :, None]", "total", "the running sum"),
    ("03.squeeze_causal", "mask.cumsum(1)[:, :, None]", "mask.sum(1)[:, None, None]", "by all frames"),
    ("03.squeeze_causal", "mask.cumsum(1)[:, :, None]", "torch.arange(1, x.shape[1] + 1)[:, None]", "zeroed, but counted"),
    ("03.squeeze_causal", None, "def squeeze_causal(x, mask):\n    return se.squeeze(x, mask).expand_as(x)", "knows the future"),
    ("03.squeeze_causal", "(x * mask[:, :, None]).cumsum(1)", "(x * mask[:, :, None]).cumsum(2)", "summed over channels"),
    ("03.squeeze_window", "/ count[:, None]", "/ context", "at the ends"),
    ("03.squeeze_window", "t + (context + 1) // 2", "t + context // 2", "a frame short"),
    ("03.squeeze_window", "max(0, t - context // 2), t + (context + 1) // 2", "max(0, t - context + 1), t + 1", "before frame t"),
    ("03.squeeze_window", "max(0, t - context // 2)", "t - context // 2", "cut it off at 0"),
    ("03.squeeze_window", "    x = x * mask[:, :, None]\n", "", "padding"),
    ("03.squeeze_window", "max(0, t - context // 2), t + (context + 1) // 2", "max(0, t - (context - 1) // 2), t + context // 2 + 1", "even window"),
    ("03.squeeze_stream", "total + chunk.cumsum(0)", "chunk.cumsum(0)", "sum of the chunks before is missing"),
    ("03.squeeze_stream", None, '''
def squeeze_stream(chunks):
    return [c.cumsum(0) / torch.arange(1, len(c) + 1)[:, None] for c in chunks]
''', "each chunk starts from nothing"),
    ("03.squeeze_stream", "        if len(chunk):\n            total", "        if True:\n            total", "no frames"),
    ("03.squeeze_stream", None, '''
def squeeze_stream(chunks):
    means = []
    for n in range(len(chunks)):
        so_far = torch.cat(chunks[: n + 1])
        whole = so_far.cumsum(0) / torch.arange(1, len(so_far) + 1)[:, None]
        means.append(whole[len(so_far) - len(chunks[n]) :])
    return means
''', "costs more the later"),
    ("03.squeeze_stream", "return means", "return torch.cat(means)", "a list, a chunk each"),
]  # fmt: skip
