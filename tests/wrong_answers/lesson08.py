"""Plausible wrong answers to assignment 08; the form is that of ``lesson06``."""

# ruff: noqa: E501 (an answer a line)
WRONG = [
    ("08.no_path", "len(target) + repeats", "len(target)", "two equal neighbours need a blank"),
    ("08.no_path", "math.ceil(count / reduction)", "count // reduction", "the encoder rounds up"),
    ("08.no_path", " < len(target)", " <= len(target)", "a label a frame is just enough"),
    ("08.no_path", "math.ceil(count / reduction)", "count", "counted before the reduction"),
    ("08.no_path", "sum(a == b for a, b in zip(target, target[1:]))", "len(target) - len(set(target))", "only equal \\*neighbours\\*"),
    ("08.no_path", " < len(target)", " >= len(target)", "those that cannot are wanted"),
    ("08.count_paths", "T + U - repeats", "T + U", "need a blank between"),
    ("08.count_paths", "math.comb(T - 1 + U, U)", "math.comb(T + U, U)", "last blank always leaves"),
    ("08.count_paths", "math.comb(T + U - repeats, 2 * U)", "math.comb(T, U)", "could not last"),
    ("08.count_paths", "math.comb(T - 1 + U, U)", "math.comb(T - 1 + U - repeats, U)", "no rule about equal labels"),
    ("08.count_paths", "sum(a == b for a, b in zip(target, target[1:]))", "U - len(set(target))", "only equal \\*neighbours\\*"),
    ("08.best_losses", "torch.special.entr(q).sum()", "-(q * q.log()).sum()", "0 · ln 0 counts as 0|NaN"),
    ("08.best_losses", "float(torch.special.entr(q).sum())", "float(torch.special.entr(q).sum()) / math.log(2)", "bits"),
    ("08.best_losses", "entropy(p)\n", "entropy(p) - entropy(first)\n", "both must be paid for"),
    ("08.best_losses", "entropy(first) + entropy(second), entropy(p)", "entropy(p), entropy(first) + entropy(second)", "comes second"),
    ("08.best_losses", "p.sum(1), p.sum(0)", "p.sum(1), p.sum(1)", "rows are first words"),
    ("08.best_losses", "p = counts / counts.sum()", "p = (counts > 0) / (counts > 0).sum()", "as if equally frequent"),
    ("08.questions", "t = waiting.pop(0)", "t = waiting.pop(0) + 1", "asks again about the label's frame"),
    ("08.questions", "waiting[0] < t + window", "waiting[0] <= t + window", "ends with frame 7"),
    ("08.questions", None, "def questions(frames, T, window=1):\n    return T + len(frames)", "`window` is not used"),
    ("08.questions", None, "def questions(frames, T, window=1):\n    return math.ceil(T / window) + len(frames)", "not where the last one ended"),
    ("08.questions", None, "def questions(frames, T, window=1):\n    return math.ceil(T / window)", "is in the next one"),
    ("08.delay", " + window_ms", "", "25 ms are missing"),
    ("08.delay", "1000 * end", "end", "ends are in seconds"),
    ("08.delay", "(each[(n - 1) // 2] + each[n // 2]) / 2", "torch.tensor(each).median().item()", "torch's median takes the lower"),
    ("08.delay", "(each[(n - 1) // 2] + each[n // 2]) / 2", "sum(each) / n", "the mean; the median is wanted"),
    ("08.delay", "sum(d < 0 for d in each) / n", "sum(d <= 0 for d in each) / n", "exactly at the end"),
    ("08.delay", "sum(d < 0 for d in each) / n", "sum(d < 0 for d in each)", "their share of all words"),
    ("08.delay", "(each[(n - 1) // 2] + each[n // 2]) / 2", "(each[(n - 1) // 2] + each[n // 2]) / 2000", "seconds; milliseconds"),
    ("08.delay", "    each = []\n    for row, times in zip(frames, ends):\n        each += [t * frame_ms + window_ms - 1000 * end for t, end in zip(row, times)]\n", "    each = []\n    for row, times in zip(frames, ends):\n        delays = sorted(t * frame_ms + window_ms - 1000 * end for t, end in zip(row, times))\n        each.append((delays[(len(delays) - 1) // 2] + delays[len(delays) // 2]) / 2)\n", "pooled"),
    ("08.fast_greedy", None, '''
def fast_greedy(log_probs, lengths):
    texts = []
    for row, length in zip(log_probs, lengths):
        text, before = [], 0
        for t in range(int(length)):
            label = int(row[t].argmax())
            if label != 0 and label != before:
                text.append(label)
            before = label
        texts.append(text)
    return texts
''', "too much work"),
    ("08.fast_greedy", " & real", "", "`lengths` is not used"),
    ("08.fast_greedy", "(best != before) & ", "", "nothing is merged"),
    ("08.fast_greedy", " & (best != 0)", "", "blanks are no labels"),
    ("08.fast_greedy", "F.pad(best[:, :-1], (1, 0))", "best.flatten().roll(1).reshape(best.shape)", "begins anew"),
    ("08.fast_greedy", "< lengths[:, None]", "<= lengths[:, None]", "one frame too many"),
    ("08.fast_greedy", None, '''
def fast_greedy(log_probs, lengths):
    best = log_probs.argmax(-1)
    rows = [row[:n][row[:n] != 0] for row, n in zip(best, lengths)]
    return [torch.unique_consecutive(row).tolist() for row in rows]
''', "merge first, drop the blanks then"),
    ("08.text_scores", "[-by_ctc, -by_rnnt]", "[by_ctc, by_rnnt]", "minus the loss"),
    ("08.text_scores", 'U, reduction="sum")\n        lattice', "U)\n        lattice", "CTC's is divided by the number of labels"),
    ("08.text_scores", "[-by_ctc, -by_rnnt]", "[-by_rnnt, -by_ctc]", "the transducer's column first"),
    ("08.text_scores", "log_p[:, [0, *text]]", "log_p[:, [0] * (len(text) + 1)]", "the same for every text"),
    ("08.text_scores", "log_p[:, [0, *text]]", "log_p[:, :, [0, *text]].transpose(1, 2)", "two last axes are exchanged"),
    ("08.text_scores", "return torch.tensor(rows)", "return torch.tensor(rows).T", "a row a text"),
    ("08.choose", "w = min((n / 20 for n in range(21)), key=errors_in_dev)", "w = 0.5", "another weight serves the dev"),
    ("08.choose", "w = min((n / 20 for n in range(21)), key=errors_in_dev)", "w = 1.0", "the transducer is believed"),
    ("08.choose", "w = min((n / 20 for n in range(21)), key=errors_in_dev)", "w = 0.0", "must have all of the weight"),
    ("08.choose", "w = min((n / 20 for n in range(21)), key=errors_in_dev)", "w = min((0.0, 1.0), key=errors_in_dev)", "between 0 and 1"),
    ("08.choose", "int(errors[best(scores, w)])", "int(errors[best(scores, w)] > 0)", "number of \\*errors\\*"),
    ("08.choose", ".argmax()", ".argmin()", "worst text"),
    ("08.choose", "key=errors_in_dev", "key=lambda w: -errors_in_dev(w)", "another weight serves the dev"),
]  # fmt: skip
