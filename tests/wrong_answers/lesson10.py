"""Plausible wrong answers to assignment 10; the form is that of ``lesson06``."""

# ruff: noqa: E501 (an answer a line)
WRONG = [
    ("10.word_probability", "-loss * utterances / words", "-loss", "which has several words"),
    ("10.word_probability", "math.exp(-loss * utterances / words)", "loss * utterances / words", "the probability is asked for"),
    ("10.word_probability", "math.exp(", "2 ** (", "the loss is in nats"),
    ("10.word_probability", "math.exp(-loss", "math.exp(loss", "\\*minus\\* the loss"),
    ("10.word_probability", "utterances / words", "words / utterances", "exchanged"),
    ("10.running_time", "utterances // batch", "math.ceil(utterances / batch)", "is dropped"),
    ("10.running_time", "utterances // batch", "utterances / batch", "whole numbers"),
    ("10.running_time", "epochs * steps", "steps", "the hours of one epoch"),
    ("10.running_time", "3.6e6", "6e4", "minutes"),
    ("10.running_time", "batch / step_ms * 1000", "1000 / step_ms", "steps a second"),
    ("10.peak", "    if slope * warmup <= max_lr:\n        return warmup, slope * warmup\n", "    if slope * warmup <= max_lr:\n        return warmup, max_lr\n", "only a cap"),
    ("10.peak", "if slope * warmup <= max_lr", "if True", "the cap binds"),
    ("10.peak", "factor * width**-0.5", "factor", "the width is missing"),
    ("10.peak", "return math.ceil(max_lr / slope - 1e-9), max_lr", "return warmup, max_lr", "\\*first\\* step"),
    ("10.peak", "math.ceil(max_lr / slope - 1e-9)", "int(max_lr / slope + 1e-9)", "between two steps"),
    ("10.peak", "return warmup, slope", "return warmup - 1, slope", "count from 1"),
    ("10.read_chart", "for n in range(1, len(seconds))", "for n in range(len(seconds))", "the program is compiled"),
    ("10.read_chart", "sorted(seconds)[len(seconds) // 2]", "sum(seconds) / len(seconds)", "the usual time is the median"),
    ("10.read_chart", "fall[e] < min(fall[e - 1], fall[e + 1])", "fall[e] < max(fall[e - 1], fall[e + 1])", "no stumble"),
    ("10.read_chart", "key=lambda n: losses[n]) + 1", "key=lambda n: losses[n])", "epochs count from 1"),
    ("10.read_chart", "[n + 1 for n in range(1", "[n for n in range(1", "in the list of restarts"),
    ("10.read_chart", "e for e in restarts if e - 1 in fall and e + 1 in fall and", "e for e in restarts if e - 1 in fall and", "nothing to compare with"),
    ("10.read_chart", "> 1.1 * usual", "> usual", "not above it at all"),
    ("10.noisy_step", "return w - rate", "return w + noise - rate", "taken off before the update"),
    ("10.noisy_step", "(w + noise)", "w", "the noise does nothing"),
    ("10.noisy_step", "w - rate * gradient", "w + rate * gradient", "uphill"),
    ("10.noisy_step", " / len(y)", "", "their mean is wanted"),
    ("10.noisy_step", "(w + noise)", "(w - noise)", "subtracted"),
    ("10.noisy_step", "2 * x.T", "x.T", "a factor 2"),
    ("10.keep_best", "if rate < dev[best]", "if rate <= dev[best]", "an equal WER"),
    ("10.keep_best", "if n - best == patience", "if n - best > patience", "the training had stopped"),
    ("10.keep_best", "if n - best == patience", "if n - best == patience - 1", "one too early"),
    ("10.keep_best", "return best, n", "return n, n", "the best ones are kept"),
    ("10.keep_best", "return best, n", "return dev.index(min(dev)), n", "its weights never were"),
    ("10.keep_best", None, '''
def keep_best(dev, patience):
    worse = 0
    for n in range(len(dev)):
        worse = worse + 1 if n and dev[n] >= dev[n - 1] else 0
        if worse == patience:
            break
    return dev.index(min(dev[: n + 1])), n
''', "the training had stopped"),
    ("10.guard", "math.isfinite(loss) and math.isfinite(norm)", "math.isfinite(loss)", "the norms count, too"),
    ("10.guard", "math.isfinite(loss) and math.isfinite(norm)", "not math.isnan(loss) and not math.isnan(norm)", "inf is not finite either"),
    ("10.guard", "math.isfinite(loss) and math.isfinite(norm)", "loss != math.nan and norm != math.nan", "nan is equal to nothing"),
    ("10.guard", "            row = 0\n", "", "in a row"),
    ("10.guard", "return bad, step", "return bad[:-1], step", "is a bad one, too"),
    ("10.guard", "limit=5", "limit=4", "`limit` is 5"),
    ("10.guard", "return bad, step", "return bad, step + 1", "\\*at\\* the third"),
    ("10.diagnose", "    if not all(math.isfinite(loss) for loss in training + dev):\n        return \"nan\"\n", "", "nan, from step 150"),
    ("10.diagnose", "training + dev", "training[:-1] + dev", "at the very end"),
    ("10.diagnose", "\"wrong labels\" if dev[-1] > guess else \"overfitting\"", "\"overfitting\"", "'wrong labels' called 'overfitting'"),
    ("10.diagnose", "dev[-1] > 5 * late", "dev[-1] > 500 * late", "called 'fine'"),
    ("10.diagnose", "if max(training[100:]) > 3 * guess", "if max(training[100:]) > 300 * guess", "'rate too high' called 'rate too low'"),
    ("10.diagnose", "return \"fine\"", "return \"healthy\"", "named as training_runs names them"),
    ("10.diagnose", "late > guess / 2", "late > 2 * guess", "'rate too low' called 'fine'"),
]  # fmt: skip
