"""Plausible wrong answers to the pack of bugs; first of each the shipped function itself, unmended."""

# ruff: noqa: E501 (an answer a line)
WRONG = [
    ("bug.utterance_loss", "blank=blank", "blank=0", "still the loss with blank 0"),
    ("bug.utterance_loss", "blank=blank", "blank=log_probs.shape[1] - 1", "with blank 0 the shipped function was right"),
    ("bug.utterance_loss", 'reduction="sum"', 'reduction="mean"', "the loss of a mean"),
    ("bug.greedy", None, '''
def greedy(scores, blank=0, max_symbols=3):
    text, t = [], 0
    while t < len(scores):
        last = text[-1] if text else blank
        label = int(scores[t, last].argmax())
        if label != blank:
            text.append(label)
        t += 1
    return text
''', "still one label a frame"),
    ("bug.greedy", "t, here = t + 1, 0", "t += 1", "counted from 0 at each frame"),
    ("bug.greedy", "here < max_symbols", "len(text) < max_symbols", "not of the text|counted from 0"),
    ("bug.greedy", "t, here = t + 1, 0", "t, here = t + 2, 0", "goes on by one frame"),
    ("bug.beam", "range(len(frame))", "[int(frame.argmax())]", "still greedy"),
    ("bug.beam", "ranked[:width]", "ranked[:1]", "only the best prefix"),
    ("bug.beam", "range(len(frame))", "range(1, len(frame))", "blank, too, is a label"),
    ("bug.beam", "(prefix, -inf, in_label + y), ", "", "the prefix stays as it is"),
    ("bug.time_major", None, "def time_major(x):\n    N, C, T = x.shape\n    return x.contiguous().view(T, N, C)", "still the memory"),
    ("bug.time_major", "2, 0, 1", "2, 1, 0", "utterances and channels are exchanged"),
    ("bug.time_major", "x.permute(2, 0, 1)", "x.permute(2, 1, 0).reshape(x.shape[2], x.shape[0], x.shape[1])", "not on the last axis"),
    ("bug.squeeze", "x.sum(1) / lengths[:, None]", "x.mean(1)", "still the mean over the padding"),
    ("bug.squeeze", "x.sum(1) / lengths[:, None]", "x.sum(1)", "the sum, not the mean"),
    ("bug.squeeze", "lengths[:, None]", "(x != 0).sum(1)", "a frame of zeros inside the utterance counts"),
    ("bug.squeeze", "lengths[:, None]", "lengths.max()", "longest length"),
    ("bug.squeeze", "x.sum(1) / lengths[:, None]", "(x.sum((0, 1)) / lengths.sum()).expand(len(x), -1)", "one mean for the whole batch"),
    ("bug.time_mask", "min(max_width, int(mask_factor * T))", "min(max_width, T)", "mask_factor still does nothing"),
    ("bug.time_mask", "min(max_width, int(mask_factor * T))", "int(mask_factor * T)", "the smaller of the two"),
    ("bug.time_mask", "min(max_width, int(mask_factor * T))", "int(mask_factor * max_width)", "5 % of 60 are 3"),
    ("bug.time_mask", "T - width + 1", "T + 1", "where the band fits"),
    ("bug.time_mask", "min(max_width", "max(max_width", "5 % of 60 are 3"),
    ("bug.label_map", "sorted(folders)", "folders", "still depend on it"),
    ("bug.label_map", ", start=1", "", "0 is blank"),
    ("bug.label_map", "sorted(folders)", "sorted(folders, reverse=True)", "backwards"),
    ("bug.label_map", "sorted(folders)", "set(folders)", "still depend on it|alphabetical order"),
    ("bug.phone_error_rate", "100 * sum(errors) / sum(lengths)", "100 * sum(e / n for e, n in zip(errors, lengths)) / len(errors)", "still the mean of the utterances"),
    ("bug.phone_error_rate", "100 * ", "", "per cent are wanted"),
    ("bug.phone_error_rate", "100 * sum(errors) / sum(lengths)", "min(100, 100 * sum(errors) / sum(lengths))", "cut off at 100"),
    ("bug.phone_error_rate", "/ sum(lengths)", "/ len(lengths)", "an utterance, not a phone"),
    ("bug.learning_rate", None, '''
def learning_rate(step, max_lr=0.0025, warmup=15000, width=640):
    return min(max_lr, width**-0.5 * min(step**-0.5, step * warmup**-1.5))
''', "still the width's peak"),
    ("bug.learning_rate", "max_lr * min(step / warmup, (warmup / step) ** 0.5)", "min(max_lr, max_lr * step / warmup)", "stays at max_lr"),
    ("bug.learning_rate", "(warmup / step) ** 0.5", "warmup / step", "falls like 1/step"),
    ("bug.learning_rate", "max_lr * min", "0.0025 * min", "twice the max_lr"),
    ("bug.learning_rate", "min(step / warmup, (warmup / step) ** 0.5)", "(warmup / step) ** 0.5", "halfway up"),
    ("bug.normalise", "if per_feature", "if False", "per_feature still does nothing"),
    ("bug.normalise", "features.mean(0)) / (features.std(0, correction=0)", "features.mean(1, keepdim=True)) / (features.std(1, correction=0, keepdim=True)", "the other axis"),
    ("bug.normalise", "features.std(0, correction=0)", "features.std(correction=0)", "one standard deviation for all"),
    ("bug.normalise", "features.std(0, correction=0)", "features.std(0)", "over T - 1"),
    ("bug.normalise", "if per_feature", "if True", "without per_feature"),
    ("bug.final_scores", None, """
def final_scores(x, gain, bias, head):
    x = torch.nn.functional.layer_norm(x, x.shape[-1:]) * gain + bias
    return (torch.nn.functional.layer_norm(x, x.shape[-1:]) * gain + bias) @ head.T
""", "applied twice"),
    ("bug.final_scores", "(torch.nn.functional.layer_norm(x, x.shape[-1:]) * gain + bias)", "x", "gone altogether"),
    ("bug.final_scores", " * gain + bias", "", "without its gains"),
    ("bug.subsample", "torch.where(valid[..., None], x, 0.0)", "x", "still leaks"),
    ("bug.subsample", "torch.where(valid[..., None], x, 0.0)", "x * valid[..., None]", "stays NaN"),
    ("bug.subsample", "(int(length) - 1) // 2 + 1", "(int(length) - 1) // 2", "cut off"),
    ("bug.subsample", "torch.arange(x.shape[1]) < lengths[:, None]", "(x != 0).any(-1)", "still leaks"),
]  # fmt: skip
