"""Plausible wrong answers to assignment 13; the form is that of ``lesson06``."""

# ruff: noqa: E501 (an answer a line)
WRONG = [
    ("13.level_db", "10 * math", "20 * math", "a power: 10 log10"),
    ("13.level_db", "samples.square().mean()) + 1e-10", "samples.abs().mean()) ** 2 + 1e-10", "the mean of \\|x\\|"),
    ("13.level_db", "samples.square().mean()", "samples.square().sum()", "the sum of the squares"),
    ("13.level_db", "math.log10", "math.log", "natural logarithm"),
    ("13.level_db", " + 1e-10)", ")", "silence: 1e-10"),
    ("13.level_db", "samples.square().mean()) + 1e-10", "(samples + 1e-5).square().mean())", "not to the samples"),
    ("13.clipped_share", "return count / len(samples)", "return float((samples.abs() >= limit).double().mean())", "all samples at the limit"),
    ("13.clipped_share", "samples.abs().tolist()", "samples.tolist()", "only the positive end"),
    ("13.clipped_share", "length >= run", "length > run", "exactly `run`"),
    ("13.clipped_share", "x >= limit", "x > limit", "exactly `limit`"),
    ("13.clipped_share", "[*samples.abs().tolist(), 0.0]", "samples.abs().tolist()", "lasts to the recording's end"),
    ("13.clipped_share", "length >= run", "length >= 3", "`run` is an argument"),
    ("13.clipped_share", "count / len(samples)", "100 * count / len(samples)", "per cent"),
    ("13.clipped_share", "count += length if", "count += 1 if", "number of stretches"),
    ("13.trim", "speech[-1] + hang", "speech[-1] - 1 + hang", "as in a slice"),
    ("13.trim", "length >= least", "length > 0", "is a click"),
    ("13.trim", "max(0, speech[0] - hang)", "speech[0] - hang", "not before 0"),
    ("13.trim", "level > threshold", "level >= threshold", "\\*above\\* the threshold"),
    ("13.trim", "speech[-1]", "speech[1]", "only the first stretch"),
    ("13.trim", "[*levels, -math.inf]", "levels", "lasts to the recording's end"),
    ("13.trim", " - hang), min(len(levels), speech[-1] + hang)", "), min(len(levels), speech[-1])", "hang-over is missing"),
    ("13.trim", " if speech else None", "", "nothing is"),
    ("13.gap", " / len(target)", "", "nats \\*a label\\*"),
    ("13.gap", "/ len(target)", "/ len(log_probs)", "divided by the frames"),
    ("13.gap", "(best - float(forced.score))", "(float(forced.score) - best)", "sign is turned"),
    ("13.gap", "(best - float(forced.score))", "-float(forced.score)", "compare it with the best of all"),
    ("13.gap", None, '''
def gap(log_probs, target, blank=0):
    best = float(log_probs.amax(1).sum())
    T, U = torch.tensor([len(log_probs)]), torch.tensor([len(target)])
    loss = asrlib.ctc_loss(log_probs[:, None], target[None], T, U, blank=blank, reduction="sum")
    return (best + float(loss)) / len(target)
''', "all paths of the target"),
    ("13.gap", ", blank=blank", "", "`blank`, not always 0"),
    ("13.separation", "(r > w) + 0.5 * (r == w)", "(r > w)", "a tie counts nothing"),
    ("13.separation", "(r > w) + 0.5 * (r == w)", "(r >= w)", "a tie counts whole"),
    ("13.separation", "(r > w)", "(r < w)", "wrong way round"),
    ("13.separation", "wins / (len(right) * len(wrong))", "sum(right) / len(right) - sum(wrong) / len(wrong)", "difference of the means"),
    ("13.separation", " / (len(right) * len(wrong))", "", "their share is wanted"),
    ("13.separation", "len(right) * len(wrong)", "len(right) ** 2", "right words times wrong words"),
    ("13.interval", "E[draws].sum(1) / W[draws].sum(1)", "errors.double()[draws].sum(1) / words[draws].sum(1)", "recordings are drawn"),
    ("13.interval", "E[draws].sum(1) / W[draws].sum(1)", "(E / W)[draws].mean(1)", "mean of the speakers' rates"),
    ("13.interval", "sorted(set(speakers))", "list(dict.fromkeys(speakers))", "alphabetical order"),
    ("13.interval", "[0.025, 0.975]", "[0.05, 0.95]", "5 % are left out"),
    ("13.interval", "100 * E", "E", "per cent are wanted"),
    ("13.interval", "/ W[draws].sum(1)", "/ words.sum()", "words of the whole set"),
    ("13.interval", "    low, high = torch.quantile(rates, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()\n", "    low, high = float(rates.min()), float(rates.max())\n", "smallest and the largest"),
    ("13.interval", "return low, high", "return high, low", "high before low"),
    ("13.interval", "return low, high", "return rates.quantile(0.025)", "two numbers must be returned"),
    ("13.choose", "if others <= most", "", "has forgotten the others"),
    ("13.choose", "models[0][1] + allowed", "allowed", "may \\*rise\\*"),
    ("13.choose", "others <= most", "others < most", "\\*at most\\*"),
    ("13.choose", "key=lambda n: models[n]", "key=lambda n: models[n][0]", "better on other voices is wanted"),
    ("13.choose", "key=lambda n: models[n]", "key=lambda n: models[n][::-1]", "forgotten least"),
    ("13.choose", "key=lambda n: models[n]", "key=lambda n: (*models[n], -n)", "the first one"),
    ("13.choose", "enumerate(models) if", "list(enumerate(models))[1:] if", "models\\[0\\] always is"),
    ("13.choose", "return min(good, key=lambda n: models[n])", "return min([n for n in good if n] or [0], key=lambda n: models[n])", "takes part"),
    ("13.endpoints", "level.quantile(0.1) + 2", "-30", "follow the background"),
    ("13.endpoints", "level.quantile(0.1) + 2", "level.quantile(0.1) + 6", "45 ms is asked for"),
    ("13.endpoints", "piece, hop, least = round(0.02 * rate), round(0.01 * rate), 5", "piece, hop, least = round(0.02 * rate), round(0.01 * rate), 1", "a click of 2 ms"),
    ("13.endpoints", "level.quantile(0.1) + 2", "level.mean()", "45 ms is asked for"),
    ("13.endpoints", "/ rate", "/ hop", "frames of 10 ms"),
    ("13.endpoints", "/ rate", "/ 16000", "not always 16000"),
    ("13.endpoints", None, '''
def endpoints(samples, rate):
    loud = (samples.abs() > 0.05).nonzero()[:, 0].tolist() or [0]
    return loud[0] / rate, loud[-1] / rate
''', "follow the background"),
    ("13.endpoints", None, '''
def endpoints(samples, rate):
    piece, hop = round(0.02 * rate), round(0.01 * rate)
    level = 10 * torch.log10(samples.unfold(0, piece, hop).square().mean(1) + 1e-10)
    speech = (level > level.quantile(0.1) + 30).unfold(0, 5, 1).all(1).nonzero()[:, 0].tolist()
    return (speech[0] * hop / rate, (speech[-1] + 5) * hop / rate) if speech else None
''', "there is speech in each of them"),
]  # fmt: skip
