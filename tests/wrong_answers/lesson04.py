"""Plausible wrong answers to assignment 04; the form is that of ``lesson06``."""

# ruff: noqa: E501 (an answer a line)
WRONG = [
    ("04.encoder_frames", "-(-frames // stride)", "frames // stride", "rounded down"),
    ("04.encoder_frames", "step *= stride", "step += stride", "steps multiply"),
    ("04.encoder_frames", "return frames, step", "return step, frames", "the step first"),
    ("04.encoder_frames", "-(-frames // stride)", "frames / stride", "a fraction"),
    ("04.count_block", "    d = int(d * alpha)\n", "", "α is not used"),
    ("04.count_block", "    d = int(d * alpha)\n", "    c, d = int(c * alpha), int(d * alpha)\n", "has been scaled before"),
    ("04.count_block", "first = c * 5 + c * d + d", "first = c * 5 + c + c * d + d", "no bias"),
    ("04.count_block", " + layers * 2 * d + gates", " + gates", "gain and bias are trained"),
    ("04.count_block", "trained += c * d + d + 2 * d", "trained += c * d + d", "batch norm has a gain and a bias"),
    ("04.count_block", "trained += c * d + d + 2 * d", "trained += c * 5 + c * d + d + 2 * d", "no depthwise half"),
    ("04.count_block", "int(d * alpha)", "round(d * alpha)", "cut to whole"),
    ("04.count_block", "(layers - 1) * (d * 5 + d * d + d)", "(layers - 1) * first", "read the block's own width"),
    ("04.norm", "real = x[mask]", "real = x.flatten(0, 1)", "padding counts"),
    ("04.norm", "return out * mask[:, :, None]", "return out", "must come out as 0"),
    ("04.norm", "real.mean(0), real.var(0, correction=0)", "x.mean(1, keepdim=True), x.var(1, correction=0, keepdim=True)", "each utterance by itself"),
    ("04.norm", "torch.sqrt(variance + 1e-3)", "(variance + 1e-3)", "by its root"),
    ("04.norm", "correction=0", "correction=1", "one frame less"),
    ("04.norm", "torch.sqrt(variance + 1e-3)", "torch.sqrt(variance)", "1e-3 is missing"),
    ("04.end_block", "return total * torch.sigmoid(total)", "return total", "no activation"),
    ("04.end_block", "return total * torch.sigmoid(total)", "return torch.relu(total)", "relu"),
    ("04.end_block", "y * gates + x[::stride]", "y + x[::stride]", "gates are not used"),
    ("04.end_block", "x[::stride]", "x[: len(y)]", "every second frame"),
    ("04.end_block", "weight.T", "weight", "its transpose"),
    ("04.end_block", "    total = y * gates + x[::stride] @ weight.T + bias\n    return total * torch.sigmoid(total)", "    total = y * gates\n    return total * torch.sigmoid(total) + x[::stride] @ weight.T + bias", "it comes after"),
    ("04.largest_alpha", "total <= budget", "total < budget", "exactly the budget"),
    ("04.largest_alpha", "range(1, 401)", "range(1, 400)", "it is tried"),
    ("04.largest_alpha", "best = None", "best = 0.01", "None"),
    ("04.largest_alpha", "            c = d\n", "", "reads what the one before it puts out"),
    ("04.largest_alpha", "best = alpha", "best = hundredths", "α itself"),
    ("04.largest_alpha", "4 * d * (layers", "2 * d * (layers", "running statistics count"),
    ("04.largest_alpha", None, '''
def largest_alpha(budget, blocks, mels):
    from asrlib.models.contextnet import BlockConfig, ContextNetEncoder
    best = None
    for hundredths in range(1, 401):
        configs = [BlockConfig(f, layers=n, residual=r) for f, n, r in blocks]
        with torch.device("meta"):
            encoder = ContextNetEncoder(mels, configs, hundredths / 100, "paper")
        if sum(asrlib.count_parameters(encoder)) > budget:
            return best
        best = hundredths / 100
    return best
''', "do not build"),
]  # fmt: skip
