"""Plausible wrong answers to assignment 07; the form is that of ``lesson06``."""

# ruff: noqa: E501 (an answer a line)
WRONG = [
    ("07.rnnt_scores", "logits.log_softmax(-1)", "logits", "through a log_softmax"),
    ("07.rnnt_scores", "logits.log_softmax(-1)", "logits.softmax(-1)", "natural logarithms are wanted"),
    ("07.rnnt_scores", "logits.log_softmax(-1)", "logits.log_softmax(1)", "wrong axis"),
    ("07.rnnt_scores", "torch.arange(U), targets", "torch.arange(U) + 1, targets", "shifted by one"),
    ("07.rnnt_scores", "log_p[:, :, blank]", "log_p[:, :, 0]", "`blank`, not always 0"),
    ("07.rnnt_scores", "return log_p[:, :, blank], log_p[:, torch.arange(U), targets]", "return log_p[:, :, blank]", "two tables"),
    ("07.one_per_frame", "return alpha", "return alpha[:-1]", "T \\+ 1 rows"),
    ("07.one_per_frame", None, "def one_per_frame(log_blank, log_label):\n    return textbook.rnnt_alphas(log_blank, log_label)", "stays at its frame"),
    ("07.one_per_frame", "by_label = alpha[t, :-1] + log_label[t]", "by_label = alpha[t, :-1] + log_label[t] + log_blank[t, 1:]", "the label itself moves on"),
    ("07.one_per_frame", "+ log_label[t]", "+ log_label[(t + 1) % T]", "labels read at the frame they lead to"),
    ("07.one_per_frame", "alpha[t] + log_blank[t]", "alpha[t] + log_blank[(t + 1) % T]", "blanks read at the frame they lead to"),
    ("07.one_per_frame", "torch.logaddexp", "torch.maximum", "the best way"),
    ("07.one_per_frame", "return alpha", "return alpha.exp()", "natural logarithms"),
    ("07.one_per_frame", None, '''
def one_per_frame(log_blank, log_label):
    blank, label = log_blank.exp(), log_label.exp()
    T, U = label.shape
    alpha = torch.zeros(T + 1, U + 1, dtype=blank.dtype)
    alpha[0, 0] = 1
    for t, u in itertools.product(range(T), range(U + 1)):
        alpha[t + 1, u] += alpha[t, u] * blank[t, u]
        if u > 0:
            alpha[t + 1, u] += alpha[t, u - 1] * label[t, u - 1]
    return alpha.log()
''', "stay in the logarithm"),
    ("07.expected_frames", ".sum(0).sqrt()", ".sum(0)", "standard deviation, is wanted"),
    ("07.expected_frames", "return mean, ", "return mean + 1, ", "counted from 1"),
    ("07.expected_frames", "return mean, ", "return flow.argmax(0), ", "the most probable frames"),
    ("07.expected_frames", " - beta[0, 0]", "", "not divided by Pr"),
    ("07.expected_frames", "(alpha[:, :-1] + log_label + beta[:, 1:] - beta[0, 0])", "(alpha + beta - beta[0, 0])[:, :-1]", "the flow through the label's arrow"),
    ("07.expected_frames", "(t - mean).square()", "t.square()", "around the mean"),
    ("07.expected_frames", "return mean, (flow * (t - mean).square()).sum(0).sqrt()", "return (flow * (t - mean).square()).sum(0).sqrt(), mean", "the deviations first"),
    ("07.expected_frames", "return mean, (flow * (t - mean).square()).sum(0).sqrt()", "return mean", "two things must be returned"),
    ("07.expected_frames", "(flow * (t - mean).square()).sum(0).sqrt()", "((flow * t.square()).sum(0) - mean.square() - 1e-12).sqrt()", "less than 0 by rounding"),
    ("07.loss", "-textbook.rnnt_alphas(log_blank, log_label)[-1, -1] - log_blank[-1, -1]", "-textbook.rnnt_alphas(log_blank, log_label)[-1, -1]", "last blank"),
    ("07.loss", "T, U = int(frames[b]), int(labels[b])", "T, U = logits.shape[1], targets.shape[1]", "`frames` and `labels` are ignored"),
    ("07.loss", "int(frames[b])", "logits.shape[1]", "`frames` is ignored"),
    ("07.loss", "int(labels[b])", "targets.shape[1]", "`labels` is ignored"),
    ("07.loss", "return torch.stack(losses)", "return torch.stack(losses).mean()", "mean over the batch"),
    ("07.loss", "-textbook.rnnt_alphas(log_blank, log_label)[-1, -1] - log", "textbook.rnnt_alphas(log_blank, log_label)[-1, -1] + log", "the loss is minus it"),
    ("07.gradient", "return result", "return -result", "the sign is turned"),
    ("07.gradient", "logits.softmax(-1) * through[..., None]", "torch.zeros_like(logits)", "γ · softmax is missing"),
    ("07.gradient", "logits.softmax(-1) * through[..., None]", "logits.softmax(-1)", "softmax without γ"),
    ("07.gradient", "    after_blank[-1, -1] = 0\n", "", "last node's flow"),
    ("07.gradient", "log_p = beta[0, 0]", "log_p = 0", "not divided by Pr"),
    ("07.gradient", "result[:, :, blank]", "result[:, :, 0]", "`blank`, not always 0"),
    ("07.within", "    log_label = log_label.masked_fill(outside, -inf)\n", "", "`last` is not used|limits are not used|come out in order"),
    ("07.within", "return -textbook.rnnt_alphas(log_blank, log_label)[-1, -1] - log", "return textbook.rnnt_alphas(log_blank, log_label)[-1, -1] + log", "the loss is minus it"),
    ("07.within", "[-1, -1] - log_blank[-1, -1]", "[-1, -1]", "last blank"),
    ("07.within", "t > torch", "t >= torch", "the last frame that is allowed"),
    ("07.within", "t < torch", "t <= torch", "the first frame that is allowed"),
    ("07.within", "(t < torch.tensor(first)) | ", "", "`first` is not used"),
    ("07.within", " | (t > torch.tensor(last))", "", "`last` is not used"),
    ("07.within", "torch.tensor(first)", "torch.tensor(first[:1])", "limits hold|`first` is not used"),
    ("07.within", "    log_label = log_label.masked_fill(outside, -inf)\n    return ", "    every = textbook.rnnt_alphas(log_blank, log_label)[-1, -1] + log_blank[-1, -1]\n    log_label = log_label.masked_fill(outside, -inf)\n    return every", "divided by the probability of all"),
    ("07.within", "masked_fill(outside, -inf)", "masked_fill(outside, -30.0)", "the loss is inf"),
    ("07.greedy", "            text.append(label)", "            text.append(label)\n            break", "one label a frame"),
    ("07.greedy", "text[-1] if text else blank", "blank", "not asked about"),
    ("07.greedy", "range(max_symbols)", "range(3)", "`max_symbols`"),
    ("07.greedy", "            if label == blank:\n                break\n", "            if label == 0:\n                break\n", "blank is not always 0"),
    ("07.loss", "targets[b, :U], blank)", "torch.arange(99).take(targets[b])[:U], blank)", "the padding holds anything"),
    ("07.gradient", None, '''
def gradient(logits, targets, blank=0):
    z = logits.clone().requires_grad_()
    log_blank, log_label = textbook.rnnt_scores(z, targets, blank)
    loss = -textbook.rnnt_alphas(log_blank, log_label)[-1, -1] - log_blank[-1, -1]
    return torch.autograd.grad(loss, z)[0]
''', "without autograd"),
    ("07.fast_alphas", None, "def fast_alphas(log_blank, log_label):\n    return textbook.rnnt_alphas(log_blank, log_label)", "node by node|too much work"),
    ("07.fast_alphas", None, '''
def fast_alphas(log_blank, log_label):
    def add(a, b):
        most = max(a, b)
        return most if most == -inf else most + math.log(math.exp(a - most) + math.exp(b - most))

    alpha, (T, U) = [], log_label.shape
    for t, (blank, label) in enumerate(zip([[-inf] * (U + 1), *log_blank.tolist()], log_label.tolist())):
        by_blank = [0.0 if t == u == 0 else alpha[-1][u] + blank[u] if t else -inf for u in range(U + 1)]
        row = by_blank[:1]
        for u in range(1, U + 1):
            row.append(add(by_blank[u], row[-1] + label[u - 1]))
        alpha.append(row)
    return torch.tensor(alpha, dtype=log_blank.dtype)
''', "too much work"),
    ("07.fast_alphas", "torch.logaddexp(by_blank, by_label)", "torch.maximum(by_blank, by_label)", "the best way"),
    ("07.fast_alphas", "range(1, T + U)", "range(1, T + U - 1)", "the last node"),
    ("07.fast_alphas", "real = u > 0", "real = u >= 0", "an empty target"),
]  # fmt: skip
