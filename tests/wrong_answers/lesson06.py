"""Plausible wrong answers to assignment 06, as edits of the solution or as answers of their own.

(task, what the solution says, what the student says instead, what the verdict must name); None for the
first text: the second one is the whole answer.
"""

# ruff: noqa: E501 (an answer a line)
WRONG = [
    ("06.collapse", "path[t - 1]", "text[-1:]", "equal neighbours are merged|only neighbours"),
    ("06.collapse", None, '''
def collapse(path, blank=0):
    text = [k for k in path if k != blank]
    return [k for i, k in enumerate(text) if i == 0 or k != text[i - 1]]
''', "merge first, drop the blanks then"),
    ("06.collapse", None, '''
def collapse(path, blank=0):
    return [k for k in path if k != blank]
''', "neighbours are merged"),
    ("06.collapse", None, '''
def collapse(path, blank=0):
    return sorted(set(path) - {blank})
''', "keeps a doubled label apart|only neighbours"),
    ("06.collapse", "label != blank", "label != 0", "`blank`, not always 0"),
    ("06.collapse", "label != blank and ", "", "blanks are not part"),
    # forgets the leading label without a blank
    ("06.ctc_alphas", "alpha[0, 1] = log_probs[0, states[1]]", "pass", "may also begin in the first label"),
    ("06.ctc_alphas", " and states[s] != states[s - 2]", "", "two equal labels"),
    ("06.ctc_alphas", "if s > 1 and", "if s > 99 and", "s - 2 is missing"),
    ("06.ctc_alphas", " + log_probs[t, states[s]]", "", "own log probability is missing"),
    ("06.ctc_alphas", "torch.stack(terms).logsumexp(0)", "torch.stack(terms).exp().sum().log()", "stay in the log"),
    ("06.ctc_alphas", "return alpha", "return alpha.exp()", "exponential: a probability where the logarithm"),
    ("06.ctc_alphas", "return alpha", "return alpha.T", "transpose"),
    ("06.ctc_alphas", "log_probs[0, blank]", "log_probs[0, 0]", "`blank`, not always 0"),
    ("06.ctc_betas", "backwards.flip(0).flip(1)", "backwards.flip(0)", "states are still backwards"),
    ("06.ctc_betas", "backwards.flip(0).flip(1)", "backwards", "not turned around again"),
    ("06.ctc_betas", "targets.flip(0)", "targets", "target is not"),
    ("06.ctc_betas", "log_probs.flip(0)", "log_probs", "frames are not"),
    ("06.ctc_betas", "targets.flip(0), blank", "targets.flip(0)", "`blank`, not always 0"),
    ("06.loss", "return -last", "return last", "the loss is minus it"),
    ("06.loss", "last[-2:].logsumexp(0)", "last[-1]", "last label, too"),
    ("06.loss", "last[-2:].logsumexp(0)", "last.logsumexp(0)", "all states of the last frame"),
    ("06.loss", "last[-2:].logsumexp(0)", "last[-2:].sum()", "sum of two logarithms"),
    ("06.loss", "last[-2:].logsumexp(0)", "torch.logaddexp(last[-1], last[-2])", "empty target"),
    ("06.loss", "return -last[-2:].logsumexp(0)", "return -last[-2:].logsumexp(0) / len(targets)", "number of labels"),
    ("06.gradient", "log_probs.exp() - posterior", "posterior - log_probs.exp()", "the sign is turned"),
    ("06.gradient", "log_probs.exp() - posterior", "-posterior", "by the log probabilities"),
    ("06.gradient", "log_probs.exp() - posterior", "log_probs - posterior", "one is in logarithms"),
    ("06.gradient", "posterior.index_add_(1, states, gamma)", "posterior[:, states] = gamma", "they add up"),
    ("06.gradient", "alpha + beta - log_probs[:, states] - log_p", "alpha + beta - log_p", "divide by y once"),
    ("06.gradient", " - log_p).exp()", ").exp()", "not divided by p"),
    ("06.gradient", "    gamma = torch.where(log_probs[:, states] == -inf, 0.0, gamma)", "    pass", "not 0 / 0"),
    ("06.gradient", None, '''
def gradient(log_probs, targets, blank=0):
    z = log_probs.clone().requires_grad_()
    loss = F.ctc_loss(z.log_softmax(-1)[:, None], targets[None], [len(z)], [len(targets)], blank, "sum")
    return torch.autograd.grad(loss, z)[0]
''', "without autograd"),
    ("06.word_times", "(frames[s][-1] + frames[s][0]) / 2", "frames[s][-1]", "label begins"),
    ("06.word_times", "(frames[s][-1] + frames[s][0]) / 2", "frames[s][0]", "label ends"),
    ("06.word_times", "(frames[s][-1] + frames[s][0]) / 2", "(frames[s][-1] + frames[s][0] + 1) / 2", "half a frame late"),
    ("06.word_times", " / 2 * frame_seconds", " / 2", "`frame_seconds`"),
    ("06.word_times", "center + (", "(", "`center` is missing"),
    ("06.word_times", "center + (frames[s][-1] + frames[s][0]) / 2 * frame_seconds", "(center + (frames[s][-1] + frames[s][0]) / 2) * frame_seconds", "not in frames"),
    ("06.word_times", " and states[s] != states[s - 2]", "", "need a blank between"),
    ("06.word_times", None, '''
def word_times(log_probs, targets, frame_seconds, center, blank=0):
    from asrlib.losses import ctc
    gamma = ctc.ctc_posteriors(log_probs, targets, blank=blank)
    path = gamma.argmax(1).tolist()
    times = []
    for s in range(1, 2 * len(targets), 2):
        frames = [t for t, state in enumerate(path) if state == s] or [int(gamma[:, s].argmax())]
        times.append(center + (frames[0] + frames[-1]) / 2 * frame_seconds)
    return times
''', "whole path"),
    ("06.prefix_beam", None, '''
def prefix_beam(log_probs, width, blank=0):
    return textbook.collapse(log_probs.argmax(1).tolist(), blank)
''', "greedy search's text"),
    ("06.prefix_beam", None, '''
def prefix_beam(log_probs, width, blank=0):
    return [k for k in log_probs.argmax(1).tolist()]
''', "the path, not the text"),
    ("06.prefix_beam", "add(new, prefix, -inf, in_label + y)", "add(new, (*prefix, label), -inf, in_label + y)", "not a new one: it merges"),
    ("06.prefix_beam", "add(new, (*prefix, label), -inf, in_blank + y)", "pass", "after a blank the same label"),
    ("06.prefix_beam", "[:width]", "[:1]", "only the best prefix"),
    ("06.prefix_beam", "if label == blank", "if label == 0", "`blank`, not always 0"),
    ("06.prefix_beam", "log_add(before[0], in_blank), log_add(before[1], in_label)", "in_blank, in_label", "takes the other's place"),
]  # fmt: skip
