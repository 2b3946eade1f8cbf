"""Checkers of assignment 12, streaming and shipping: latency, frames, search and the screen."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from asrlib.teaching.check import Examiner, task
from asrlib.teaching.exercise_data.draws import integer, normal

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
    y = normal(g, 1000, 5).log_softmax(-1)
    got = ask.count(y, 0)
    got.equals(_greedy(y, 0))
    advice = "one argmax and one comparison for all frames, and one .tolist() for the labels"
    got.does_at_most("a chunk of 1,000 frames", advice, 100, 100)


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


@task("12.stable_since", "the example in the task", _stable, draw_partials, 60)
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
