"""Checkers of assignment 08: CTC against RNN-T."""

from __future__ import annotations

import itertools
import math

import torch

from asrlib.decoding import greedy
from asrlib.losses import ctc, textbook
from asrlib.teaching.check import Examiner, task
from asrlib.teaching.checks.draws import integer, labels, log_probs, number, rescoring_lists
from asrlib.teaching.checks.timing import cpu_seconds

LESSON = "lesson 08, "


# ---- what CTC cannot say -----------------------------------------------------------------------------------


def _no_path(targets, frames, reduction):
    """By the loss itself: infinite where no path exists."""
    found = []
    for n, (target, count) in enumerate(zip(targets, frames, strict=True)):
        T, U, y = -(-count // reduction), len(target), torch.tensor(target)
        if torch.isinf(ctc.ctc_loss(torch.zeros(T, max(target) + 1), y, T, U, reduction="sum")):
            found.append(n)
    return found


def draw_corpus(g):
    targets, frames, reduction = [], [], (1, 2, 4, 8)[integer(g, 0, 3)]
    for _ in range(integer(g, 1, 6)):
        target = labels(g, integer(g, 1, 5), 4, 0).tolist()
        targets.append(target)
        frames.append(max(1, reduction * len(target) + integer(g, -reduction, 3 * reduction)))
    return targets, frames, reduction


@task("08.no_path", LESSON + "'What CTC cannot say'", _no_path, draw_corpus, 40)
def no_path(ask: Examiner):
    ask([[1, 2, 3], [1, 2, 3, 4]], [24, 24], 8).equals(
        [1],
        suspects={
            "those that can be trained; those that cannot are wanted": [0],
            "a label a frame is just enough, if no two neighbours are equal": [0, 1],
            "one answer an utterance; the numbers of those without a path are wanted": [False, True],
            "the numbers count from 0": [2],
            "the frames are counted before the reduction": [],
        },
    )
    ask([[5, 5, 3], [5, 5, 3]], [24, 25], 8).equals(
        [0],
        suspects={
            "two equal neighbours need a blank between them, and a frame for it": [],
            "the encoder rounds up: 25 frames become 4, the last of them padded": [0, 1],
        },
    )
    ask([[5, 3, 5]], [3], 1).equals([], "only equal *neighbours* need a blank between")
    ask([[7, 7, 7]], [4], 1).equals([0], "three equal labels need two blanks")


def _paths(graph, start):
    """How many ways lead from ``start`` to None; ``graph(node)`` lists what follows a node."""
    known = {None: 1}

    def count(node):
        if node not in known:
            known[node] = sum(count(after) for after in graph(node))
        return known[node]

    return count(start)


def _count_paths(target, T):
    states = [0]
    for label in target:
        states += [label, 0]

    def ctc_next(node):
        t, s = node
        if t == T:
            return [None] * (s >= len(states) - 2)
        skips = s + 2 < len(states) and states[s + 2] not in (0, states[s])
        return [(t + 1, r) for r in (s, s + 1, s + 2)[: 3 if skips else 2] if r < len(states)]

    def rnnt_next(node):
        t, u = node
        if (t, u) == (T - 1, len(target)):
            return [None]
        return [(t, u + 1)] * (u < len(target)) + [(t + 1, u)] * (t < T - 1)

    # the state before the first frame is the first blank; from there on every frame has a state of its own
    return [_paths(ctc_next, (0, 0)), _paths(rnnt_next, (0, 0))]


def draw_target(g):
    return labels(g, integer(g, 0, 6), 4, 0).tolist(), integer(g, 1, 12)


@task("08.count_paths", LESSON + "'Two graphs, one sum'", _count_paths, draw_target, 60)
def count_paths(ask: Examiner):
    different = math.comb(14, 10), math.comb(13, 5)
    ask([1, 2, 3, 4, 5], 9).equals(
        list(different),
        suspects={
            "the transducer's number first": list(different[::-1]),
            "the transducer's last blank always leaves the last frame: it has no choice of a place": [
                different[0],
                math.comb(14, 5),
            ],
            "CTC as if a label could not last": [math.comb(9, 5), different[1]],
        },
    )
    ask([1, 1], 3).equals(
        [1, 6],
        suspects={
            "two equal neighbours need a blank between, so CTC has fewer paths": [math.comb(5, 4), 6],
            "the transducer has no rule about equal labels": [1, math.comb(2 + 1, 1)],
        },
    )
    ask([1, 2, 1], 4).equals(_count_paths([1, 2, 1], 4), "only equal *neighbours* need a blank between")
    ask([1, 2, 3], 2).equals([0, 4], "CTC has no path where frames are fewer than labels; the transducer has")
    ask([], 5).equals([1, 1], "nothing said: blank at every frame, which is one path for both")


def _best_losses(counts):
    table = counts.tolist()
    total = sum(map(sum, table))
    first = [sum(row) for row in table]
    second = [sum(column) for column in zip(*table, strict=True)]

    def entropy(numbers):
        return -math.fsum(n / total * math.log(n / total) for n in numbers if n)

    return [entropy(first) + entropy(second), entropy(itertools.chain(*table))]


def draw_counts(g):
    V = integer(g, 1, 5)
    counts = torch.randint(0, 9, (V, V), generator=g) * torch.randint(0, 2, (V, V), generator=g)
    counts[0, 0] += 1
    return (counts,)


@task("08.best_losses", LESSON + "'What CTC cannot say'", _best_losses, draw_counts)
def best_losses(ask: Examiner):
    towns = torch.tensor([[3, 0], [0, 1]])
    word = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    ask(towns).equals(
        [2 * word, word],
        suspects={
            "the model that knows the first word comes second": [word, 2 * word],
            "bits: natural logarithms are wanted": [2 * word / math.log(2), word / math.log(2)],
            "the second word alone; a text has two, and both must be paid for": [2 * word, 0.0],
            "log probabilities: a loss is minus them": [-2 * word, -word],
            "nats a text, not a word": [word, word / 2],
            "every text as if equally frequent": [2 * math.log(2), math.log(2)],
            "in nats an average text, not of all texts together": [8 * word, 4 * word],
            "what cannot be known of two words among four; but not all four are said": [
                2 * math.log(2),
                2 * math.log(2),
            ],
            "0 · ln 0 counts as 0: a text that never occurs costs nothing": [2 * word, math.nan],
        },
    )
    ask(torch.tensor([[2, 1, 0], [0, 0, 4], [0, 1, 0]])).equals(
        _best_losses(torch.tensor([[2, 1, 0], [0, 0, 4], [0, 1, 0]])),
        "rows are first words, columns second ones: each has a distribution of its own",
    )
    ask(torch.tensor([[4]])).equals([0.0, 0.0], "where only one text exists, there is nothing to lose")


# ---- what decoding costs -----------------------------------------------------------------------------------


def _questions(frames, T, window=1):
    """Gap by gap, in closed form."""
    asked, t = 0, 0
    for frame in frames:
        asked, t = asked + (frame - t) // window + 1, frame
    return asked + -(-(T - t) // window)


def draw_questions(g):
    T = integer(g, 1, 30)
    frames = sorted(integer(g, 0, T - 1) for _ in range(integer(g, 0, 5)))
    return frames, T, integer(g, 1, 9)


@task("08.questions", LESSON + "'What decoding costs'", _questions, draw_questions, 60)
def questions(ask: Examiner):
    ask([8], 16, 8).equals(
        3,
        "a window of 8 from frame 0 ends with frame 7: the label at frame 8 is in the next one",
        {"one frame a question: `window` is not used": 17},
    )
    ask([3, 9, 9], 20, 1).equals(
        23,
        suspects={
            "one question a frame; each label needs one more, at the same frame": 20,
            "the number of labels": 3,
            "after a label the search asks again about the label's frame: another one may follow there": 21,
            "two labels at one frame are two questions: the second waits for the first": 22,
        },
    )
    ask([3, 9, 9], 20, 8).equals(
        5,
        suspects={
            "one frame a question: `window` is not used": 23,
            "the labels' questions are saved, too; each needs one of its own": 3,
            "after a label the next window begins at the label's frame, not where the last one ended": 6,
        },
    )
    ask([], 16, 8).equals(2, "16 frames are two windows of 8, the last of which is just full")
    ask([7], 16, 8).equals(3, "a window of 8 from frame 0 reaches frame 7, where the next one begins")
    ask([], 5, 8).equals(1, "a window may reach beyond the last frame")
    ask([2], 6).equals(7, "`window` is 1 unless it is given")


def _fast_greedy(y, lengths):
    return [path.labels for path in greedy.greedy_ctc(y, lengths)]


def _loops(y, lengths):
    texts = []
    for row, length in zip(y, lengths.tolist(), strict=True):
        text, before = [], 0
        for t in range(length):
            label = int(row[t].argmax())
            if label not in (0, before):
                text.append(label)
            before = label
        texts.append(text)
    return texts


def draw_batch(g):
    B, T = integer(g, 1, 4), integer(g, 1, 8)
    return log_probs(g, B, T, 3), torch.tensor([integer(g, 0, T) for _ in range(B)])


def _one_hot(*rows):
    return torch.nn.functional.one_hot(torch.tensor(rows), 4).double() - 1


@task("08.fast_greedy", LESSON + "'What decoding costs'", _fast_greedy, draw_batch, 40)
def fast_greedy(ask: Examiner):
    y = _one_hot([1, 1, 0, 1, 2, 2], [3, 0, 0, 2, 2, 3])
    ask(y, torch.tensor([6, 6])).equals(
        [[1, 1, 2], [3, 2, 3]],
        suspects={
            "blanks are dropped, but nothing is merged": [[1, 1, 1, 2, 2], [3, 2, 2, 3]],
            "a blank keeps two equal labels apart: merge first, drop the blanks then": [[1, 2], [3, 2, 3]],
            "neighbours are merged, but blanks are no labels": [[1, 0, 1, 2], [3, 0, 2, 3]],
            "the first frame has none before it: its label is lost": [[1, 2], [2, 3]],
            "all utterances in one list; a list for each is wanted": [1, 1, 2, 3, 2, 3],
        },
    )
    ask(y, torch.tensor([3, 4])).equals(
        [[1], [3, 2]],
        suspects={
            "the padding is read, too: `lengths` is not used": [[1, 1, 2], [3, 2, 3]],
            "one frame too many is read": [[1, 1], [3, 2]],
            "the last frame of each utterance is not read": [[1], [3]],
        },
    )
    ask(y, torch.tensor([0, 6])).equals([[], [3, 2, 3]], "an utterance without frames has no labels")
    ask(_one_hot([2, 2], [2, 1]), torch.tensor([2, 2])).equals(
        [[2], [2, 1]], "each utterance begins anew: the row above is not what came before"
    )
    g = torch.Generator().manual_seed(8)
    y, lengths = log_probs(g, 32, 300, 12).float(), torch.randint(200, 301, (32,), generator=g)
    loops, expected = cpu_seconds(_loops, y, lengths)
    ask(y, lengths).equals(expected)
    yours = min(ask(y, lengths).seconds for _ in range(5))
    if yours > loops / 5:
        raise ask.because(
            f"right, but not fast: {1000 * yours:.0f} ms for 32 utterances of 300 frames, a loop over all"
            f" frames {1000 * loops:.0f} ms; a fifth of that is asked for. Let one argmax and one comparison"
            " see all frames of all utterances, and take the labels out with .tolist(): a loop over a tensor"
            " makes a small tensor of each number"
        )


# ---- when the label comes out ------------------------------------------------------------------------------


def _delay(frames, ends, frame_ms=80, window_ms=25):
    each = [
        t * frame_ms + window_ms - 1000 * end
        for row, times in zip(frames, ends, strict=True)
        for t, end in zip(row, times, strict=True)
    ]
    return _median(each), sum(d < 0 for d in each) / len(each)


def _median(numbers):
    half = len(numbers) // 2
    ordered = sorted(numbers)
    return ordered[half] if len(numbers) % 2 else (ordered[half - 1] + ordered[half]) / 2


def draw_emissions(g):
    frames, ends = [], []
    for _ in range(integer(g, 1, 4)):
        U = integer(g, 1, 5)
        frames.append(sorted(integer(g, 0, 30) for _ in range(U)))
        # at half a millisecond, so that no delay is 0 but for rounding
        ends.append([round(max(0.01, 0.08 * t + number(g, -0.3, 0.3)), 3) + 5e-4 for t in frames[-1]])
    return frames, ends


@task("08.delay", LESSON + "'When does the label come out?'", lambda *a: list(_delay(*a)), draw_emissions, 40)
def delay(ask: Examiner):
    frames, ends = [[4, 9], [3, 12, 20]], [[0.3, 0.7], [0.3, 0.9, 1.5]]
    each = [45, 45, -35, 85, 125]
    ask(frames, ends).items(2, "two numbers must be returned: the median in ms and the share before the end")
    ask(frames, ends).equals(
        [45, 0.2],
        suspects={
            "seconds; milliseconds are wanted": [0.045, 0.2],
            "the mean; the median is wanted": [sum(each) / 5, 0.2],
            "a frame can be computed when its newest window has been heard: 25 ms are missing": [20, 0.2],
            "the sign: late labels have a positive delay": [-45, 0.8],
            "per cent; a share between 0 and 1 is wanted": [45, 20],
            "the words' ends are in seconds, the frames' times in milliseconds": [744.3, 0],
            "the number of early words; their share of all words is wanted": [45, 1],
            "the share of those after the end; before it is asked": [45, 0.8],
            "the median of each utterance's median; all words are pooled": [65, 0.2],
            "medians of single utterances; all words are pooled": [65, 0],
        },
    )
    ask([[5, 6], [10]], [[0.345, 0.495], [0.625]]).equals(
        [80, 0], "all words are pooled: three delays, of which the middle one is asked for"
    )
    ask([[5, 10]], [[0.425, 0.725]]).equals(
        [50, 0],
        suspects={
            "of an even number of words, the mean of the middle two (torch's median takes the lower)": [0, 0],
            "of an even number of words, the mean of the middle two, not the upper": [100, 0],
            "a label exactly at the end is not before it": [50, 0.5],
        },
    )
    ask([[5]], [[0.4255]]).equals([-0.5, 1], "half a millisecond before the end is before the end")
    ask([[10, 20]], [[0.5, 1.0]], frame_ms=40, window_ms=32).equals(
        list(_delay([[10, 20]], [[0.5, 1.0]], 40, 32)), "`frame_ms` and `window_ms` are arguments"
    )


# ---- two models, one list of texts -------------------------------------------------------------------------


def _text_scores(y, p, texts):
    rows = []
    for text in texts:
        target = torch.tensor(text, dtype=torch.long)
        by_ctc = textbook.ctc_alphas(y, target)[-1, -2:].logsumexp(0)
        lattice = torch.stack([p[:, k] for k in [0, *text]], 1)
        blank, label = lattice[:, :, 0], lattice[:, torch.arange(len(text)), target]
        rows.append(torch.stack([by_ctc, textbook.rnnt_alphas(blank, label)[-1, -1] + blank[-1, -1]]))
    return torch.stack(rows)


def draw_texts(g):
    T, V = integer(g, 2, 6), integer(g, 2, 4)
    texts = [labels(g, integer(g, 0, 3), V, 0).tolist() for _ in range(integer(g, 1, 4))]
    return log_probs(g, T, V), log_probs(g, T, V, V), texts


@task("08.text_scores", LESSON + "'Two graphs, one sum', and lesson 07", _text_scores, draw_texts)
def text_scores(ask: Examiner):
    g = torch.Generator().manual_seed(80)
    y, p, texts = log_probs(g, 5, 4), log_probs(g, 5, 4, 4), [[1, 3], [2, 2]]
    expected = _text_scores(y, p, texts)
    length = torch.tensor([2.0, 2.0])[:, None]
    constant = torch.stack([expected[:, 0], _text_scores(y, p[:, :1].expand(5, 4, 4), texts)[:, 1]], 1)
    turned = torch.stack([expected[:, 0], _text_scores(y, p.transpose(1, 2), texts)[:, 1]], 1)
    mean, flat = expected / length, _text_scores(y, p.transpose(1, 2).log_softmax(-1), texts)
    ask(y, p, texts).equals(
        expected,
        suspects={
            "losses: ln P is minus the loss": -expected,
            "the transducer's column first": expected.flip(1),
            "divided by the number of labels: `reduction` is the mean's": mean,
            "CTC's is divided by the number of labels: `reduction` is the mean's": torch.stack(
                [mean[:, 0], expected[:, 1]], 1
            ),
            "(2, N); a row a text is wanted": expected.T,
            "the lattice is the same for every text: row u must be that of label number u - 1": constant,
            "log_p[t, k] is what is said *after* k; the two last axes are exchanged": turned,
            "log_p[t, k] is what is said *after* k; here the two last axes are exchanged": flat,
            "probabilities; natural logarithms are wanted": expected.exp(),
        },
    )
    ask(y, p, [[]]).equals(_text_scores(y, p, [[]]), "the empty text: one blank a frame")
    ask(y, p, [[1], [1, 2, 3]]).equals(
        _text_scores(y, p, [[1], [1, 2, 3]]), "texts of several lengths: no padding may count"
    )
    ask(y[:2], p[:2], [[1, 1]]).equals(
        _text_scores(y[:2], p[:2], [[1, 1]]), "CTC has no path here: ln 0 is -inf; the transducer has"
    )


def _single(*rows):
    """Utterances of a dev list: the scores' rows, and which text is right (errors 0; the others 1)."""
    return [(torch.tensor(scores).double(), errors) for scores, errors in rows]


@task("08.choose", LESSON + "'When each wins', and lesson 11, 'Fusion'")
def choose(ask: Examiner):
    only_ctc = _single(
        ([[-1.0, -5.0], [-2.0, -1.0]], torch.tensor([0, 2])),
        ([[-9.0, -1.0], [-3.0, -8.0]], torch.tensor([1, 0])),
    )
    test = [torch.tensor([[-4.0, -1.0], [-3.2, -2.0], [-5.0, -0.5]]).double()]
    ask(only_ctc, test).equals(
        [1],
        suspects={
            "on these dev utterances CTC alone is right; here the transducer is believed, or the worst text"
            " is taken": [2],
            "another weight serves the dev utterances better: here the two scores count about the same": [0],
        },
    )
    only_rnnt = [(scores.flip(1), errors) for scores, errors in only_ctc]
    ask(only_rnnt, [test[0].flip(1)]).equals(
        [1], "on these dev utterances the transducer alone is right, and must have all of the weight"
    )
    both = _single(
        ([[-1.0, -9.0], [-4.0, -4.0], [-9.0, -1.0]], torch.tensor([1, 0, 1])),
        ([[-2.0, -2.5], [-1.0, -6.0], [-6.0, -1.5]], torch.tensor([0, 1, 1])),
    )
    ask(both, [scores for scores, _ in both] * 2).equals(
        [1, 0, 1, 0],
        "no model is right alone on these dev utterances, both together are: the weight lies between 0 and 1",
    )
    count = _single(
        ([[-1.0, -4.0], [-2.0, -1.0]], torch.tensor([0, 5])),
        ([[-2.0, -1.0], [-1.0, -2.0]], torch.tensor([0, 1])),
        ([[-2.0, -1.0], [-1.0, -2.0]], torch.tensor([0, 1])),
    )
    ask(count, [torch.tensor([[-1.0, -4.0], [-2.0, -1.0]]).double()]).equals(
        [0], "the weight is chosen by the number of *errors* in dev, not of utterances that are not perfect"
    )
    _expect_lower_rate(ask)


def _expect_lower_rate(ask):
    """The chosen texts have three quarters of the errors of the better model alone, on held-out lists."""
    dev, held = rescoring_lists(integer(ask.generator, 0, 10**6))
    got = ask(dev, [scores for scores, _, _ in held]).items(
        len(held), f"one number for each of the {len(held)} test utterances must be returned"
    )
    words = sum(count for *_, count in held)

    def rate(chosen):
        return 100 * sum(int(errors[int(n)]) for n, (_, errors, _) in zip(chosen, held, strict=True)) / words

    try:
        yours = rate(got)
    except (IndexError, TypeError, ValueError):
        raise ask.because("what is returned must be numbers of texts, from 0") from None
    alone = [rate([int(scores[:, column].argmax()) for scores, _, _ in held]) for column in (0, 1)]
    if yours > 0.75 * min(alone):
        raise ask.because(
            f"on {len(held)} held-out utterances your texts have a WER of {yours:.1f} %; CTC alone"
            f" {alone[0]:.1f}, the transducer alone {alone[1]:.1f} %. Three quarters of the better one,"
            f" {0.75 * min(alone):.1f} %, are asked for: which share of each score serves the dev utterances"
            " best?"
        )
