"""Checkers of assignment 12: streaming and shipping."""

from __future__ import annotations

import math
import operator

import torch
import torch.nn.functional as F

from asrlib.teaching.check import Examiner, task
from asrlib.teaching.checks.draws import integer, normal, number
from asrlib.teaching.checks.timing import cpu_seconds

LESSON = "lesson 12, "


def draw_latency(g):
    strides = [integer(g, 1, 3) for _ in range(integer(g, 0, 4))]
    return (
        8000 * integer(g, 1, 3),
        100 * integer(g, 1, 4),
        40 * integer(g, 1, 5),
        strides,
        80 * integer(g, 0, 9),
    )


def _latency(rate, window, hop, strides, chunk):
    return 1000 * (hop * math.prod(strides) + window + chunk) / rate


@task("12.latency_ms", LESSON + "'Latency'", _latency, draw_latency)
def latency_ms(ask: Examiner):
    ask(8000, 200, 80, [2, 2], 160).equals(
        85.0,
        suspects={
            "seconds; milliseconds are wanted": 0.085,
            "samples; milliseconds are wanted": 680,
            "the chunk's own length is missing; all three add up": 65.0,
            "the window must be complete, too: its length is missing": 60.0,
            "the wait for the next encoder frame is missing": 45.0,
            "one hop: an encoder frame comes only every hop · product of strides": 55.0,
        },
    )
    ask(16000, 400, 160, [2, 3, 2], 0).equals(
        145.0,
        suspects={
            "strides are added; they multiply": 1000 * (160 * 7 + 400) / 16000,
            "the rate is the argument `rate`, not always 8000": 290.0,
            "only the first stride is used": 1000 * (160 * 2 + 400) / 16000,
        },
    )
    ask(8000, 200, 80, [2], 400).equals(95.0, "all three add up, whichever is the longest")
    ask(8000, 200, 80, [], 0).equals(35.0, "without convolutions there is a frame every hop")


# ---- steps -------------------------------------------------------------------------------------------------


def _frames(chunk, left, window, hop):
    x, frames = torch.cat([left, chunk]), []
    while len(x) >= window:
        frames.append(x[:window])
        x = x[hop:]
    return [torch.stack(frames) if frames else x.new_zeros(0, window), x]


def draw_frames(g):
    window = integer(g, 1, 6)
    return normal(g, integer(g, 0, 14)), normal(g, integer(g, 0, window + 3)), window, integer(g, 1, window)


@task("12.frame_step", LESSON + "'Front end and search'", _frames, draw_frames, 60)
def frame_step(ask: Examiner):
    x = torch.arange(1.0, 10, dtype=torch.float64)
    ask(x[3:7], x[:3], 4, 2).items(2, "two things must be returned: frames, left")
    frames, left = _frames(x[3:7], x[:3], 4, 2)
    alone = x[3:7].unfold(0, 4, 2)
    ask(x[3:7], x[:3], 4, 2).equals(
        [frames, left],
        suspects={
            "the chunk is framed by itself: `left` stands before it": [alone, x[5:7]],
            "what is left is only what no frame has read; the next frame begins earlier": [frames, x[6:7]],
            "the whole rest behind the last frame's beginning is left: the next frame begins a hop later": [
                frames,
                x[2:7],
            ],
            "the last window - hop samples are left, not what stands from the next frame on": [
                frames,
                x[5:7],
            ],
            "`left` stands behind the chunk; it came before": _frames(x[:3], x[3:7], 4, 2),
            "frames one window apart; `hop` is how far": [x[None, :4], x[4:7]],
        },
    )
    ask(x[:2], x[:0], 4, 2).equals(
        [torch.zeros(0, 4, dtype=torch.float64), x[:2]],
        "no frame is complete: the frames are (0, window), and everything is left",
    )
    ask(x[:0], x[:3], 4, 2).equals(
        [torch.zeros(0, 4, dtype=torch.float64), x[:3]], "an empty chunk changes nothing"
    )
    ask(x[:1], x[1:4], 4, 3).equals(
        _frames(x[:1], x[1:4], 4, 3), "left and chunk together are just one window: that is one frame"
    )
    ask(x[:8], x[:0], 3, 3).equals(
        _frames(x[:8], x[:0], 3, 3),
        "hop = window: the windows touch, and what is left begins behind the last one",
    )


def _conv(chunk, state, seen, weight, stride):
    """Every output frame by its definition."""
    K, x, rows = weight.shape[1], torch.cat([state, chunk]), []
    for m in range(len(chunk)):
        if (seen + m) % stride == 0:
            rows.append(sum(weight[:, i] * x[m + i] for i in range(K)))
    return [torch.stack(rows) if rows else x.new_zeros(0, x.shape[1]), x[len(chunk) :], seen + len(chunk)]


def draw_conv(g):
    C, K, stride = integer(g, 1, 3), integer(g, 1, 5), integer(g, 1, 3)
    return normal(g, integer(g, 0, 6), C), normal(g, K - 1, C), integer(g, 0, 9), normal(g, C, K), stride


@task("12.conv_step", LESSON + "'State, layer by layer'", _conv, draw_conv, 60)
def conv_step(ask: Examiner):
    g = torch.Generator().manual_seed(1)
    x, state, w = normal(g, 6, 2), normal(g, 3, 2), normal(g, 2, 4)
    ask(x, state, 3, w, 1).items(3, "three things must be returned: outputs, state, seen")
    y, after, seen = _conv(x, state, 3, w, 1)
    both = F.conv1d(F.pad(x.T, (1, 2))[None], w[:, None], groups=2)[0].T
    ask(x, state, 3, w, 1).equals(
        [y, after, seen],
        suspects={
            "the state is not used: the first K - 1 outputs of the chunk are wrong": [
                _conv(x, 0 * state, 3, w, 1)[0],
                after,
                seen,
            ],
            "it reads to both sides of a frame; causal is the past only": [both, after, seen],
            "the kernel is turned around: w[c, K - 1] belongs to the frame itself": [
                _conv(x, state, 3, w.flip(1), 1)[0],
                after,
                seen,
            ],
            "the new state has K frames; K - 1 are wanted": [y, x[-4:], seen],
            "the new state is the outputs; the next chunk needs inputs": [y, y[-3:], seen],
            "the old state is returned; it must be the last K - 1 frames now": [y, state, seen],
            "`seen` must grow by the chunk's input frames": [y, after, 3],
            "`seen` is the chunk's length alone; it counts the utterance": [y, after, 6],
            "the channels are added up; each has its own output": [
                y.sum(1, keepdim=True).expand_as(y),
                after,
                seen,
            ],
        },
    )
    _expect_strides(ask, x, state, w)
    ask(x[:1], state, 0, w, 1).equals(
        _conv(x[:1], state, 0, w, 1),
        "a chunk shorter than K - 1: the new state still needs frames of the old one",
    )
    ask(x[:1], state, 1, w, 2).equals(
        _conv(x[:1], state, 1, w, 2), "a chunk without an output gives (0, channels), and the state moves on"
    )
    ask(x[:0], state, 4, w, 2).equals(
        _conv(x[:0], state, 4, w, 2), "an empty chunk has no output, and leaves state and count as they are"
    )
    ask(x, state[:0], 0, w[:, :1], 1).equals(
        _conv(x, state[:0], 0, w[:, :1], 1), "K = 1 needs no state: its new state is (0, channels)"
    )


def _expect_strides(ask, x, state, w):
    y, after, seen = _conv(x, state, 3, w, 2)
    from_chunk = _conv(x, state, 0, w, 2)[0]
    ask(x, state, 3, w, 2).equals(
        [y, after, seen],
        suspects={
            "the stride counts from the chunk's beginning; it counts from the utterance's, so use `seen`": [
                from_chunk,
                after,
                seen,
            ],
            "the stride is ignored": [_conv(x, state, 3, w, 1)[0], after, seen],
            "`seen` counts input frames, not outputs": [y, after, 3 + len(y)],
        },
    )
    y, after, seen = _conv(x, state, 4, w, 3)
    ask(x, state, 4, w, 3).equals(
        [y, after, seen],
        suspects={
            "seen % stride frames were skipped; those up to the next multiple are -seen % stride": [
                _conv(x, state, 2, w, 3)[0],
                after,
                seen,
            ],
        },
    )


def _greedy(log_probs, last, blank=0):
    text = []
    for frame in log_probs:
        label = int(frame.argmax())
        if label not in (last, blank):
            text.append(label)
        last = label
    return [text, last]


def draw_greedy(g):
    V = integer(g, 2, 4)
    return normal(g, integer(g, 0, 9), V), integer(g, 0, V - 1), integer(g, 0, V - 1)


@task("12.greedy_step", LESSON + "'Front end and search'", _greedy, draw_greedy, 60)
def greedy_step(ask: Examiner):
    def says(*labels):
        return 0.9 * F.one_hot(torch.tensor(labels, dtype=torch.long), 4).double() + 0.01

    ask(says(1, 1, 0, 1, 2), 1).items(2, "two things must be returned: labels, last")
    ask(says(1, 1, 0, 1, 2), 1).equals(
        [[1, 2], 2],
        suspects={
            "`last` is not used: label 1 went on across the border and is no new one": [[1, 1, 2], 2],
            "the path, not the text: merge neighbours, then drop blanks": [[1, 1, 0, 1, 2], 2],
            "blanks are part of the text": [[0, 1, 2], 2],
            "at a blank `last` becomes blank: it is the last *frame's* label, not the text's": [[2], 2],
        },
    )
    ask(says(1, 0), 0).equals(
        [[1], 0],
        suspects={
            "the last label of the text; the last *frame's* is wanted, blank or not": [[1], 1],
            "frames are compared with the next one; a label is new where the one before differs": [[], 0],
        },
    )
    ask(says(1, 0, 1), 0).equals(
        [[1, 1], 1], "the blank between keeps the two labels apart: merge first, drop the blanks then"
    )
    ask(says(3, 1), 2).equals([[3, 1], 1], "a label that differs from `last` is new")
    ask(says(0, 3, 1), 3, 3).equals([[0, 1], 1], "the blank is the argument `blank`, not always 0")
    ask(says()[:0].reshape(0, 4), 2).equals(
        [[], 2], "an empty chunk adds nothing, and `last` stays what it was"
    )
    g = torch.Generator().manual_seed(2)
    y = normal(g, 20000, 50).log_softmax(-1)
    (loop, expected) = min((cpu_seconds(_greedy, y, 0) for _ in range(3)), key=operator.itemgetter(0))
    ask(y, 0).equals(expected)
    yours = min(ask(y, 0).seconds for _ in range(3))
    if yours > loop / 5:
        raise ask.because(
            f"right, but not fast: {1000 * yours:.1f} ms for 20,000 frames, a loop that asks each frame for"
            f" its best label {1000 * loop:.0f} ms; a fifth of that is asked for. One argmax for all frames,"
            " and one .tolist(): a loop over a tensor makes a small tensor of each number"
        )


# ---- what is on the screen ---------------------------------------------------------------------------------


def _stable(partials):
    final = partials[-1]
    since = [len(partials) - 1] * len(final)
    for n in range(len(final)):
        while since[n] and partials[since[n] - 1][: n + 1] == final[: n + 1]:
            since[n] -= 1
    return since


def draw_partials(g):
    # a growing text of few words, some of which are changed again
    final = [("a", "b", "c")[integer(g, 0, 2)] for _ in range(integer(g, 0, 5))]
    partials = []
    for n in range(integer(g, 0, 7)):
        shown = final[: integer(g, 0, n)]
        if shown and integer(g, 0, 2) == 0:
            shown[integer(g, 0, len(shown) - 1)] = "x"
        partials.append(shown)
    return ([*partials, final],)


@task("12.stable_since", LESSON + "'Front end and search'", _stable, draw_partials, 60)
def stable_since(ask: Examiner):
    ask([["to"], ["two"], ["two", "for"], ["two", "four"]]).equals(
        [1, 3],
        suspects={
            "counted from 1; partials count from 0": [2, 4],
            "when some word first stood there, though it was changed later": [0, 2],
            "the number of partials that showed it": [3, 1],
            "the last partial that was wrong; the word is stable from the next one on": [0, 2],
        },
    )
    ask([["a"], ["x"], ["a"]]).equals(
        [2], "a word that is changed and comes back is stable only since it came back for good"
    )
    ask([["to", "be"], ["two", "be"]]).equals(
        [1, 1], "a word is stable only when all words before it are: compare the beginnings, not the places"
    )
    ask([["a", "b", "c"], ["a", "b"]]).equals(
        [0, 0], "one number for each word of the *final* text; what was shown beyond it does not matter"
    )
    ask([["a"], []]).equals([], "the final text is empty: there is no word")


# ---- eight bits --------------------------------------------------------------------------------------------


def _quantise(weight):
    rows, scales = [], []
    for row in weight:
        scale = float(row.abs().max()) / 127 or 1.0
        rows.append((row / scale).round().to(torch.int8))
        scales.append(scale)
    return [torch.stack(rows), torch.tensor(scales, dtype=weight.dtype)]


def draw_weight(g):
    shape = [integer(g, 1, 4) for _ in range(integer(g, 2, 3))]
    return (normal(g, *shape) * 10 ** normal(g, shape[0], *[1] * (len(shape) - 1)),)


@task("12.quantise", LESSON + "'8 bits by hand'", _quantise, draw_weight, 40)
def quantise(ask: Examiner):
    w = torch.tensor([[1.27, -0.506, 0.018], [-0.092, 0.3302, 2.54]], dtype=torch.float64)
    got, _ = ask(w).items(2, "two things must be returned: q, scale")
    q, scale = _quantise(w)
    one = w.abs().max() / 127
    columns = w.abs().amax(0) / 127
    if isinstance(got, torch.Tensor) and got.dtype != torch.int8:
        raise ask.because(
            f"q must be a tensor of torch.int8, and here it is {got.dtype}: round, then .to(torch.int8)"
        )
    ask(w).equals(
        [q, scale],
        suspects={
            "cut off towards 0; round to the nearest integer": [(w / scale[:, None]).trunc(), scale],
            "rounded down; round to the nearest integer": [(w / scale[:, None]).floor(), scale],
            "one scale for all; each output channel has its own": [(w / one).round(), one.expand(2)],
            "a scale a column; the output channels are the first axis": [(w / columns).round(), columns],
            "the scale is max |w| / 128, and 128 is no int8": [
                (w / (w.abs().amax(1, keepdim=True) / 128)).round().to(torch.int8),
                w.abs().amax(1) / 128,
            ],
            "the largest w, not the largest |w|": _by_largest(w),
            "the scale must be the *step*, max |w| / 127, not its inverse": [q, 1 / scale],
            "the scale has kept an axis: (channels,) is wanted": [q, scale[:, None]],
        },
    )
    negative = torch.tensor([[-2.0, 0.5]], dtype=torch.float64)
    ask(negative).equals(
        _quantise(negative),
        "the largest *magnitude* counts: here it is that of -2, which must become -127",
    )
    empty = torch.tensor([[0.0, 0.0], [1.0, -0.2]], dtype=torch.float64)
    ask(empty).equals(
        _quantise(empty), "a channel of zeros has max |w| = 0: its scale is 1, its integers are 0"
    )
    g = torch.Generator().manual_seed(3)
    kernel = normal(g, 3, 2, 4)
    ask(kernel).equals(
        _quantise(kernel), "three axes: one scale for everything behind the first axis, q in weight's shape"
    )


def _by_largest(w):
    scale = w.amax(1) / 127
    return [(w / scale[:, None]).round().to(torch.int8), scale]


def _noise(w, bits):
    scale = w.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
    return float(((w / scale).round() * scale - w).square().sum())


def _fewest(weight, snr_db):
    signal = float(weight.square().sum())
    for bits in range(2, 17):
        noise = _noise(weight, bits)
        if noise == 0 or 10 * math.log10(signal / noise) >= snr_db:
            return bits
    return None


def draw_bits(g):
    return normal(g, integer(g, 1, 4), integer(g, 2, 6)), number(g, -3, 105)


@task("12.fewest_bits", LESSON + "'8 bits by hand'", _fewest, draw_bits, 60)
def fewest_bits(ask: Examiner):
    g = torch.Generator().manual_seed(4)
    w = normal(g, 20, 50) * torch.logspace(-1, 1, 20, dtype=torch.float64)[:, None]
    right = _fewest(w, 30.0)
    together = w.reshape(1, -1)
    twice, half = _fewest(w, 15.0), _fewest(w, 60.0)
    ask(w, 30.0).equals(
        right,
        suspects={
            "the integers reach 2^(b - 1) - 1, half of the levels being negative; a bit too few": right - 1,
            "decibels of a ratio of powers are 10 log10, not 20": twice,
            "decibels are 10 log10 of the power's ratio, not of the amplitude's": half,
            "one scale for all; each channel has its own": _fewest(together, 30.0),
            "one bit too many: the smallest number that is enough is wanted": right + 1,
        },
    )
    exact = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    ask(exact, 90.0).equals(2, "no noise at all: 2 bits are enough, and nothing may be divided by 0")
    ask(w, 150.0).equals(None, "16 bits are not enough: None is wanted")
    ask(w, -3.0).equals(2, "2 bits are the fewest: -1, 0 and 1")


# ---- a whole network ---------------------------------------------------------------------------------------


def _network(chunk, states, seen, layers, forget=""):
    """Frame by frame; ``forget`` leaves something out, as a student might."""
    x, after = chunk, []
    for (state, total), (weight, stride) in zip(states, layers, strict=True):
        y, state, _ = _conv(x, state, 0 if forget == "seen" else seen, weight, stride)
        out = seen // stride if forget == "round" else -(-seen // stride)
        rows, before = [], total if forget == "total" else 0
        for n, row in enumerate(y):
            total = total + row
            count = n + 1 if forget == "count" else out + n + (0 if forget == "one" else 1)
            mean = y.mean(0) if forget == "global" else (total - before) / count
            rows.append(row if forget == "gate" else row * torch.sigmoid(mean))
        after.append([state, total])
        x = torch.stack(rows) if rows else y
        seen = seen if forget == "layers" else out
    return [x, after]


def _first_states(layers):
    C = layers[0][0].shape[0]
    return [(torch.zeros(w.shape[1] - 1, C).double(), torch.zeros(C).double()) for w, _ in layers]


def draw_network(g):
    C = integer(g, 1, 2)
    layers = [(normal(g, C, integer(g, 1, 4)), integer(g, 1, 3)) for _ in range(integer(g, 1, 3))]
    states = [(normal(g, w.shape[1] - 1, C), normal(g, C)) for w, _ in layers]
    return normal(g, integer(g, 0, 9), C), states, integer(g, 0, 12), layers


@task("12.network_step", LESSON + "'State, layer by layer'", _network, draw_network, 40)
def network_step(ask: Examiner):
    g = torch.Generator().manual_seed(5)
    layers = [(normal(g, 2, 3), 2), (normal(g, 2, 4), 2), (normal(g, 2, 2), 1)]
    x, states = normal(g, 23, 2), _first_states(layers)
    ask(x, states, 0, layers).items(2, "two things must be returned: outputs, states")
    _expect(ask, (x, states, 0, layers), ("gate", "global"))
    for lengths in ([7, 1, 0, 3, 12], [1] * 9):
        states, seen = _first_states(layers), 0
        for chunk in x[: sum(lengths)].split(lengths):
            _expect(ask, (chunk, states, seen, layers), ("seen", "round", "layers", "total", "count", "one"))
            states = [tuple(pair) for pair in _network(chunk, states, seen, layers)[1]]
            seen += len(chunk)


FORGOTTEN = {
    "gate": "the gate is missing: y is multiplied by the sigmoid of its running mean",
    "global": "the mean over the chunk: a frame's gate may use the frames up to it only",
    "seen": "strides count from the chunk's beginning; they count from the utterance's",
    "round": "a layer that has seen n frames has put out n / stride of them, rounded up, not down",
    "layers": "`seen` counts the network's input frames; a layer behind a stride has seen fewer",
    "total": "the running mean starts anew in each chunk: the sum before it is missing",
    "count": "the sum is divided by the number of outputs in this chunk, not by that of all so far",
    "one": "divided by the outputs *before* this one: its own counts as well",
}


def _expect(ask, args, mistakes):
    """The states' right values go with each suspect, since most mistakes leave some of them as they are."""
    got = ask(*args)
    expected = _network(*args)
    suspects = {}
    for name in mistakes:
        outputs, states = _network(*args, forget=name)
        suspects[FORGOTTEN[name]] = [outputs, states]
    got.equals(
        expected,
        because="" if len(args[0]) else "an empty chunk has no output, and leaves the states as they are",
        suspects=suspects,
    )
