"""Plausible wrong answers to assignment 07; the form is that of ``lesson06``."""

# ruff: noqa: E501 (an answer a line)
WRONG = [
    ("07.rnnt_scores", "logits.log_softmax(-1)", "logits", "through a log_softmax"),
    ("07.rnnt_scores", "logits.log_softmax(-1)", "logits.softmax(-1)", "natural logarithms are wanted"),
    ("07.rnnt_scores", "logits.log_softmax(-1)", "logits.log_softmax(1)", "wrong axis"),
    ("07.rnnt_scores", "torch.arange(U), targets", "torch.arange(U) + 1, targets", "shifted by one"),
    ("07.rnnt_scores", "log_p[:, :, blank]", "log_p[:, :, 0]", "`blank`, not always 0"),
    ("07.rnnt_scores", "return log_p[:, :, blank], log_p[:, torch.arange(U), targets]", "return log_p[:, :, blank]", "two tables"),
    ("07.rnnt_alphas", "log_blank[t - 1, u]", "log_blank[t, u]", "the frame they lead to"),
    ("07.rnnt_alphas", "log_label[t, u - 1]", "log_label[t - 1, u - 1]", "labels read at the frame before"),
    ("07.rnnt_alphas", "torch.logaddexp", "torch.maximum", "the best way"),
    ("07.rnnt_alphas", "return alpha", "return alpha.exp()", "natural logarithms"),
    ("07.rnnt_alphas", "return alpha", "return alpha + log_blank", "the last blank is counted"),
    ("07.rnnt_alphas", None, '''
def rnnt_alphas(log_blank, log_label):
    blank, label = log_blank.exp(), log_label.exp()
    T, rows = blank.shape
    alpha = torch.zeros(T, rows, dtype=blank.dtype)
    alpha[0, 0] = 1
    for t, u in itertools.product(range(T), range(rows)):
        if t > 0:
            alpha[t, u] += alpha[t - 1, u] * blank[t - 1, u]
        if u > 0:
            alpha[t, u] += alpha[t, u - 1] * label[t, u - 1]
    return alpha.log()
''', "stay in the logarithm"),
    ("07.rnnt_betas", "= log_blank[T - 1, rows - 1]", "= 0", "last blank, which leaves"),
    ("07.rnnt_betas", None, "def rnnt_betas(log_blank, log_label):\n    return textbook.rnnt_alphas(log_blank, log_label)", "not the ways here"),
    ("07.rnnt_betas", "return beta", "return beta.flip(0, 1)", "turned around in both"),
    ("07.rnnt_betas", "beta[t + 1, u] + log_blank[t, u]", "beta[t + 1, u] + log_blank[t + 1, u]", "the frame it leads to"),
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
    ("07.emission_frames", "frames[::-1]", "frames", "reverse order"),
    ("07.emission_frames", "frames[::-1]", "[t + 1 for t in frames[::-1]]", "counted from 1"),
    ("07.emission_frames", None, "def emission_frames(log_blank, log_label):\n    return log_label.argmax(0).tolist()", "not a path"),
    ("07.emission_frames", None, '''
def emission_frames(log_blank, log_label):
    t, u, frames = 0, 0, []
    while u < log_label.shape[1]:
        if t == len(log_label) - 1 or log_label[t, u] > log_blank[t, u]:
            frames.append(t)
            u += 1
        else:
            t += 1
    return frames
''', "the greedy way"),
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
    ("07.fast_alphas", None, "def fast_alphas(log_blank, log_label):\n    return textbook.rnnt_alphas(log_blank, log_label)", "not fast"),
    ("07.fast_alphas", "torch.logaddexp(by_blank, by_label)", "torch.maximum(by_blank, by_label)", "the best way"),
    ("07.fast_alphas", "range(1, T + U)", "range(1, T + U - 1)", "the last node"),
    ("07.fast_alphas", "real = u > 0", "real = u >= 0", "an empty target"),
]  # fmt: skip
