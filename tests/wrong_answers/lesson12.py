"""Plausible wrong answers to assignment 12; the form is that of ``lesson06``."""

# ruff: noqa: E501 (an answer a line)
WRONG = [
    ("12.latency_ms", "math.prod(strides)", "sum(strides)", "they multiply"),
    ("12.latency_ms", " + window + chunk", " + chunk", "its length is missing"),
    ("12.latency_ms", " + window + chunk", " + window", "chunk's own length"),
    ("12.latency_ms", "1000 * ", "", "milliseconds are wanted"),
    ("12.latency_ms", "hop * math.prod(strides) + window + chunk", "max(hop * math.prod(strides), chunk) + window", "all three add up"),
    ("12.frame_step", "torch.cat([left, chunk])", "chunk", "framed by itself"),
    ("12.frame_step", "samples[len(frames) * hop :]", "samples[(len(frames) - 1) * hop + window :]", "next frame begins earlier"),
    ("12.frame_step", "samples[len(frames) * hop :]", "samples[(len(frames) - 1) * hop :]", "begins a hop later"),
    ("12.frame_step", "samples.new_zeros(0, window), samples\n", "samples.new_zeros(0, window), samples[:0]\n", "everything is left"),
    ("12.frame_step", "len(samples) < window", "len(samples) <= window", "just one window"),
    ("12.frame_step", "    if len(samples) < window:\n        return samples.new_zeros(0, window), samples\n", "", "no frame is complete"),
    ("12.conv_step", "x = torch.cat([state, chunk])", "x = torch.cat([torch.zeros_like(state), chunk])", "state is not used"),
    ("12.conv_step", "first = -seen % stride", "first = 0", "so use `seen`"),
    ("12.conv_step", "first = -seen % stride", "first = seen % stride", "-seen % stride"),
    ("12.conv_step", "weight.T)", "weight.T.flip(0))", "turned around"),
    ("12.conv_step", "x[len(x) - K + 1 :]", "chunk[len(chunk) - K + 1 :]", "frames of the old one"),
    ("12.conv_step", "x[len(x) - K + 1 :]", "x[1 - K :]", "K = 1 needs no state"),
    ("12.conv_step", "seen + len(chunk)", "seen + len(y)", "not outputs"),
    ("12.conv_step", " if windows else x[:0]", "", "without an output"),
    ("12.greedy_step", "torch.cat([torch.tensor([last]), path[:-1]])", "torch.cat([torch.tensor([blank]), path[:-1]])", "`last` is not used"),
    ("12.greedy_step", "path[(path != before) & (path != blank)].tolist()", "path[path != blank].unique_consecutive().tolist()", "keeps the two labels apart"),
    ("12.greedy_step", "(path != blank)", "(path != 0)", "`blank`, not always 0"),
    ("12.greedy_step", "    if len(log_probs) == 0:\n        return [], last\n", "    if len(log_probs) == 0:\n        return [], blank\n", "`last` stays"),
    ("12.greedy_step", None, '''
def greedy_step(log_probs, last, blank=0):
    text = []
    for frame in log_probs:
        label = int(frame.argmax())
        if label != blank and label != last:
            text.append(label)
        last = label
    return text, last
''', "too much work"),
    ("12.greedy_step", None, '''
def greedy_step(log_probs, last, blank=0):
    text = []
    for label in log_probs.argmax(1).tolist():
        if label != blank and label != last:
            text.append(label)
            last = label
    return text, last
''', "the last \\*frame's\\* label"),
    ("12.greedy_step", None, '''
def greedy_step(log_probs, last, blank=0):
    text = []
    for label in log_probs.argmax(1):
        if label != last and label != blank:
            text.append(int(label))
        last = int(label)
    return text, last
''', r"one \.tolist\(\)"),
    ("12.stable_since", "shown[:n] != final[:n]", "shown[n - 1 : n] != final[n - 1 : n]", "all words before it"),
    ("12.stable_since", "other[-1] + 1 if other else 0", "other[-1] if other else 0", "from the next one on"),
    ("12.stable_since", "    return since", "    return [i + 1 for i in since]", "counted from 1"),
    ("12.stable_since", "other[-1] + 1 if other else 0", "[shown[:n] == final[:n] for shown in partials].index(True)", "since it came back for good"),
    ("12.quantise", "torch.round(flat / scale[:, None])", "(flat / scale[:, None])", "cut off towards 0"),
    ("12.quantise", "flat.abs().amax(1)", "flat.abs().amax().expand(len(flat))", "one scale for all"),
    ("12.quantise", "/ 127", "/ 128", "128 is no int8"),
    ("12.quantise", "flat.abs().amax(1)", "flat.amax(1)", "largest \\|w\\||magnitude"),
    ("12.quantise", "    scale = torch.where(scale > 0, scale, torch.ones_like(scale))\n", "", "channel of zeros"),
    ("12.quantise", ".to(torch.int8)", "", "tensor of torch.int8"),
    ("12.quantise", "flat.abs().amax(1)", "weight.abs().amax(1)", "three axes"),
    ("12.fewest_bits", "2 ** (bits - 1) - 1", "2 ** bits - 1", "half of the levels"),
    ("12.fewest_bits", "snr_db / 10", "snr_db / 20", "10 log10, not 20"),
    ("12.fewest_bits", "amax(1, keepdim=True)", "amax()", "one scale for all"),
    ("12.fewest_bits", "weight.square().sum() >= 10 ** (snr_db / 10) * noise", "10 * torch.log10(weight.square().sum() / noise) > snr_db if noise else False", "no noise at all"),
    ("12.fewest_bits", "range(2, 17)", "range(3, 17)", "2 bits"),
    ("12.fewest_bits", "range(2, 17)", "range(2, 40)", "16 bits are not enough"),
    ("12.network_step", "(sums / (before + torch.arange(1, len(y) + 1))[:, None])", "(sums / torch.arange(1, len(y) + 1)[:, None])", "outputs in this chunk"),
    ("12.network_step", "sums = total + y.cumsum(0)", "sums = y.cumsum(0)", "starts anew"),
    ("12.network_step", "range(-seen % stride, frames, stride)", "range(0, frames, stride)", "they count from the utterance's"),
    ("12.network_step", "        seen = before\n", "", "has seen fewer"),
    ("12.network_step", "before = (seen + stride - 1) // stride", "before = seen // stride", "rounded up, not down"),
    ("12.network_step", "y * torch.sigmoid(sums / (before + torch.arange(1, len(y) + 1))[:, None])", "y", "gate is missing"),
    ("12.network_step", "y * torch.sigmoid(sums / (before + torch.arange(1, len(y) + 1))[:, None])", "y * torch.sigmoid(y.mean(0))", "mean over the chunk"),
]  # fmt: skip
