"""Plausible wrong answers to assignment 14; the form is that of ``lesson06``."""

# ruff: noqa: E501 (an answer a line)
WRONG = [
    ("14.relabel", "words.index(listed[n])", "listed.index(words[n])", "wrong way round"),
    (
        "14.relabel",
        None,
        """
def relabel(numbers, listed, words):
    return list(numbers)
""",
        "returned as they were",
    ),
    ("14.relabel", "words.index(listed[n]) if", "sorted(words).index(listed[n]) if", "not sorted"),
    (
        "14.relabel",
        None,
        """
def relabel(numbers, listed, words):
    return [words.index(listed[n]) for n in numbers if listed[n] in words]
""",
        "keeps its place",
    ),
    ("14.relabel", "words.index(listed[n]) if", "listed[n] if", "words, not their numbers"),
    (
        "14.rates",
        "return pooled, mean, macro",
        "return pooled / 100, mean / 100, macro / 100",
        "percent are wanted",
    ),
    ("14.rates", "return pooled, mean, macro", "return mean, mean, macro", "where the pooled rate is wanted"),
    ("14.rates", "return pooled, mean, macro", "return pooled, macro, mean", "the third the mean over words"),
    ("14.rates", "return pooled, mean, macro", "return pooled, mean, mean", "each word is wanted"),
    ("14.rates", "/ sum(phones)", "/ len(phones)", "not per phone"),
    (
        "14.rates",
        None,
        """
def rates(words, errors, phones):
    each = [100 * e / n for e, n in zip(errors, phones)]
    by_word = {}
    for word, rate in zip(words, each):
        by_word.setdefault(word, []).append(rate)
    macro = sum(sum(r) / len(r) for r in by_word.values()) / len(by_word)
    return 100 * sum(errors) / sum(phones), sum(each) / len(each), macro
""",
        "pooled over its utterances",
    ),
    (
        "14.rates",
        "return pooled, mean, macro",
        "return tuple(min(100.0, r) for r in (pooled, mean, macro))",
        "insertions count",
    ),
    (
        "14.frames_first",
        "x.permute(3, 0, 1, 2).flatten(2)",
        "x.reshape(x.shape[3], x.shape[0], -1)",
        "the numbers were not moved",
    ),
    ("14.frames_first", "x.permute(3, 0, 1, 2)", "x.permute(3, 0, 2, 1)", "channels come before bins"),
    ("14.frames_first", "x.permute(3, 0, 1, 2)", "x.permute(0, 3, 1, 2)", "utterances first"),
    ("14.frames_first", "x.permute(3, 0, 1, 2).flatten(2)", "x.permute(3, 0, 1, 2)", "still two axes"),
    (
        "14.posteriors",
        "return torch.stack(scores).softmax(0)",
        "return torch.stack(scores).exp()",
        "before it is divided",
    ),
    ("14.posteriors", "softmax(0)", "log_softmax(0)", "probabilities are wanted"),
    ("14.posteriors", "for way in ways\n", "for way in ways[:1]\n", "only the first pronunciation"),
    (
        "14.posteriors",
        "torch.stack(of_ways).logsumexp(0)",
        "torch.stack(of_ways).amax(0)",
        "only the best pronunciation",
    ),
    (
        "14.posteriors",
        "torch.stack(of_ways).logsumexp(0)",
        "torch.stack(of_ways).exp().mean().log()",
        "mean over a word's",
    ),
    (
        "14.posteriors",
        "torch.stack(of_ways).logsumexp(0)",
        "torch.stack(of_ways).sum(0)",
        "probabilities are multiplied",
    ),
    (
        "14.posteriors",
        None,
        """
def posteriors(log_probs, words):
    joint = []
    for ways in words:
        losses = [F.ctc_loss(log_probs[:, None], torch.tensor([w]), [len(log_probs)], [len(w)], reduction="sum") for w in ways]
        joint.append(sum(torch.exp(-loss) for loss in losses))
    return torch.stack(joint) / sum(joint)
""",
        "too small for a float",
    ),
    ("14.distance", "sum(p != q for p, q in zip(x, y)) / len(x)", "float(a != b)", "costs 1"),
    ("14.distance", " / len(x)", "", "share is wanted|costs 1"),
    ("14.distance", "p != q", "p == q", "those that differ cost"),
    ("14.distance", "/ len(x)", "/ 3", "any number of features"),
    ("14.distance", "before[j + 1] + 1", "math.inf", "deletion|deleted"),
    ("14.distance", "row[j] + 1)", "math.inf)", "insertion|inserted"),
    ("14.best_word", "-float(losses[best])", "float(losses[best])", "minus the logarithm"),
    ("14.best_word", "losses.argmin()", "losses.argmax()", "least probable|no path"),
    ("14.best_word", "-float(losses[best])", "math.exp(-float(losses[best]))", "its logarithm is wanted"),
    ("14.best_word", "return best, -", "return words[best], -", "its number in the list"),
    (
        "14.best_word",
        "best = int(losses.argmin())",
        "best = int((losses / sizes).argmin())",
        "better mean per phone",
    ),
    ("14.best_word", 'reduction="none")', 'reduction="none", zero_infinity=True)', "no path"),
    (
        "14.best_word",
        None,
        """
def best_word(log_probs, words):
    scores = [-float(asrlib.ctc_loss(log_probs[:, None], torch.tensor([w]), [len(log_probs)], [len(w)], reduction="sum")) for w in words]
    best = max(range(len(words)), key=scores.__getitem__)
    return best, scores[best]
""",
        "the words are a batch",
    ),
]
