"""Checkers of assignment 02: convolution over time."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from asrlib.models.layers import conv
from asrlib.teaching.check import Examiner, task
from asrlib.teaching.exercise_data.draws import integer, normal

LESSON = "lesson 02, "


def _reads(n, kernel, stride, padding):
    """By looking: which inputs change the output?"""
    first = n * stride - conv.pad_amounts(kernel, padding)[0]
    return [first, first + kernel - 1]


def draw_place(g):
    return integer(g, 0, 9), integer(g, 1, 8), integer(g, 1, 3), ("same", "causal")[integer(g, 0, 1)]


@task("02.reads", LESSON + "'6 · At the edges'", _reads, draw_place, 40)
def reads(ask: Examiner):
    ask(4, 5, 1, "same").equals(
        [2, 6],
        suspects={
            "the frame itself and those behind it: the kernel is to lie around it": [4, 8],
            "the last frame is one too far: k frames are read, not k + 1": [2, 7],
            "causal padding": [0, 4],
        },
    )
    ask(4, 5, 1, "causal").equals([0, 4], "causal: frame n itself is the last one it may read")
    ask(4, 5, 2, "same").equals([6, 10], "with a stride, output frame n stands at input frame n · stride")
    ask(3, 4, 1, "same").equals([2, 5], "an even kernel: (k - 1) // 2 frames before, k // 2 behind")
    ask(0, 3, 1, "causal").equals([-2, 0], "frames before the signal count, too")


def _depthwise(x, weight, stride=1, padding="same"):
    before, behind = conv.pad_amounts(weight.shape[1], padding)
    padded = F.pad(x, (0, 0, before, behind))
    return F.conv1d(padded.T[None], weight[:, None], stride=stride, groups=weight.shape[0])[0].T


def draw_layer(g):
    C = integer(g, 1, 3)
    x, weight = normal(g, integer(g, 1, 8), C), normal(g, C, integer(g, 1, 5))
    return x, weight, integer(g, 1, 3), ("same", "causal")[integer(g, 0, 1)]


@task("02.depthwise", LESSON + "'2 · Many rows at once' and '6 · At the edges'", _depthwise, draw_layer, 30)
def depthwise(ask: Examiner):
    g = torch.Generator().manual_seed(1)
    x, w = normal(g, 6, 2), normal(g, 2, 3)
    expected = _depthwise(x, w)
    ask(x, w).equals(
        expected,
        suspects={
            "the weights are turned around: here they are not": _depthwise(x, w.flip(1)),
            "causal, though 'same' was asked for": _depthwise(x, w, padding="causal"),
            "no padding: outside of the signal there are zeros": expected[1:-1],
            "the channels are added up: each has an output of its own": expected.sum(1),
            "one filter for all channels": _depthwise(x, w[:1].expand(2, -1)),
            "the kernel's frames lie behind frame n; around it is wanted": _depthwise(
                torch.cat([x[1:], x[:1] * 0]), w
            ),
        },
    )
    ask(x, w, 1, "causal").equals(
        _depthwise(x, w, padding="causal"),
        suspects={"padding is ignored: this is 'same'": expected},
    )
    ask(x, w, 2).equals(
        _depthwise(x, w, 2),
        suspects={
            "stride is ignored": expected,
            "every second frame, but from the second on: output 0 stands at input 0": expected[1::2],
        },
    )
    ask(x[:5], w, 2).equals(_depthwise(x[:5], w, 2), "5 frames at stride 2 give 3, rounded up")
    even = normal(g, 2, 4)
    ask(x, even).equals(_depthwise(x, even), "an even kernel: (k - 1) // 2 frames before, k // 2 behind")


def _parameters(c_in, c_out, kernel):
    full = torch.nn.Conv1d(c_in, c_out, kernel)
    separable = conv.SeparableConv(c_in, c_out, kernel)
    return [sum(p.numel() for p in module.parameters()) for module in (full, separable)]


@task(
    "02.parameters",
    LESSON + "'4 · Counting, and a count that went wrong'",
    _parameters,
    lambda g: (integer(g, 1, 9), integer(g, 1, 9), integer(g, 1, 7)),
)
def parameters(ask: Examiner):
    ask(3, 4, 5).equals(
        [64, 31],
        suspects={
            "the depthwise half has no bias: one too many a channel": [64, 34],
            "no biases at all: the full one and the pointwise half have one an output channel": [60, 27],
            "the full convolution without its bias": [60, 31],
            "the separable one without the pointwise half's bias": [64, 27],
            "the pointwise half is missing": [64, 15],
            "the pointwise half has c_in · c_out weights, not c_out": [64, 19],
            "the separable one first": [31, 64],
        },
    )


def _frames_out(frames, strides):
    for stride in strides:
        frames = conv.output_length(frames, stride)
    return frames


@task(
    "02.frames_out",
    LESSON + "'Stride'",
    _frames_out,
    lambda g: (integer(g, 0, 99), [integer(g, 1, 3) for _ in range(integer(g, 0, 4))]),
)
def frames_out(ask: Examiner):
    ask(100, [2]).equals(50)
    ask(101, [2]).equals(
        51,
        "rounded up at every layer: the last frame has an output, too",
        {"a fraction; there are whole frames only": 50.5},
    )
    ask(10, [4]).equals(3, "rounding up adds stride - 1 before the division; adding 1 is right for 2 only")
    ask(2972, [2, 2, 2]).equals(372, "rounded up at every layer, not once at the end and not down")
    ask(10, []).equals(10, "no layer, no change")


def draw_layers(g):
    return ([(integer(g, 1, 7), integer(g, 1, 3)) for _ in range(integer(g, 0, 5))],)


@task(
    "02.receptive_field",
    LESSON + "'7 · What can one output see?'",
    lambda layers: [list(pair) for pair in conv.receptive_field(layers)],
    draw_layers,
)
def receptive_field(ask: Examiner):
    ask([(5, 1)]).equals(
        [[5, 1]],
        suspects={
            "each layer adds k - 1 frames to the one frame there was, not k": [[6, 1]],
            "the first frame is missing: without a layer the field is 1": [[4, 1]],
        },
    )
    ask([(3, 1), (3, 1)]).equals([[3, 1], [5, 1]], "the second layer adds its k - 1 frames to the field")
    ask([(3, 2), (3, 1)]).equals(
        [[3, 2], [7, 2]],
        suspects={
            "behind a stride, frames of the second layer lie 2 input frames apart": [[3, 2], [5, 2]],
            "the stride of a layer counts from the next layer on, not in its own field": [[5, 2], [9, 2]],
            "the step after each layer is the product of all strides so far": [[3, 2], [7, 1]],
        },
    )
    ask([(3, 2), (3, 2), (3, 2)]).equals(
        [[3, 2], [7, 4], [15, 8]], "steps multiply: 2, 4, 8; they do not add"
    )


def draw_plain(g):
    return draw_layer(g)[:2]


@task("02.fast_depthwise", LESSON + "'5 · Is it as much faster?'", _depthwise, draw_plain)
def fast_depthwise(ask: Examiner):
    g = torch.Generator().manual_seed(2)
    x, w = normal(g, 7, 2), normal(g, 2, 3)
    ask(x, w).equals(
        _depthwise(x, w),
        suspects={
            "the weights are turned around: here they are not": _depthwise(x, w.flip(1)),
            "causal; 'same' is wanted": _depthwise(x, w, padding="causal"),
        },
    )
    even = normal(g, 2, 4)
    ask(x, even).equals(_depthwise(x, even), "an even kernel: (k - 1) // 2 frames before, k // 2 behind")
    x, w = normal(g, 1000, 8), normal(g, 8, 5)
    got = ask.count(x, w)
    got.equals(_depthwise(x, w))
    got.does_at_most("1,000 frames of 8 channels, k = 5", "let each operation take all frames", 200, 200)
