"""Checkers of assignment 12, streaming and shipping: a network whose layers carry state."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from asrlib.teaching.check import Examiner, task
from asrlib.teaching.exercise_data.draws import integer, normal

LESSON = "lesson 12, "


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
