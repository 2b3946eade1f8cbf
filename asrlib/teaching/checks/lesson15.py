"""Checkers of assignment 15, long context: chunks, rotary positions, windows, self-conditioning, seeds."""

from __future__ import annotations

import math
import statistics

import torch

from asrlib.models.layers.positions import rotary_table
from asrlib.models.layers.positions import rotate as library_rotate
from asrlib.teaching.check import Examiner, task
from asrlib.teaching.exercise_data.draws import integer, log_probs, normal, number

LESSON = "lesson 15, "
WORDS = "ka ke ki ko ku".split()


def draw_chunk_text(g):
    words, at = [], 0.0
    for _ in range(integer(g, 0, 9)):
        start = at + integer(g, 0, 4) / 10
        at = start + integer(g, 1, 5) / 10
        words.append((WORDS[integer(g, 0, 4)], start, at))
    start = integer(g, 0, 20) / 10
    return words, start, start + integer(g, 0, 20) / 10


def _chunk_text(words, start, end):
    return " ".join(word for word, first, last in words if start <= first and last <= end)


@task("15.chunk_text", LESSON + "'Chunks, and a warm-up of their length'", _chunk_text, draw_chunk_text)
def chunk_text(ask: Examiner):
    words = [("ka", 0.5, 1.0), ("ku", 1.5, 2.0), ("ki", 2.0, 2.5), ("ke", 3.0, 3.5)]
    touched = "ka ku ki ke"
    ask(words, 0.75, 3.25).equals(
        "ku ki",
        suspects={
            "words that an edge cuts in two are in the text; only whole words are wanted": touched,
            "a word that begins inside and ends outside is in the text": "ku ki ke",
            "a word that begins outside and ends inside is in the text": "ka ku ki",
            "a list; a text is wanted": ["ku", "ki"],
        },
    )
    ask(words, 1.5, 2.5).equals("ku ki", "a word that begins or ends exactly at an edge is whole")
    ask(words, 1.6, 1.9).equals("", "a chunk inside of one word has no whole word")
    ask([], 0.0, 9.0).equals("", "no words, no text")


def draw_rotate(g):
    return normal(g, integer(g, 1, 6), 2 * integer(g, 1, 4)), number(g, 5.0, 500.0)


def _rotate(x, base, first=0, sign=1.0, power=2.0):
    T, d = x.shape
    pairs = torch.arange(d // 2, dtype=torch.float64)
    angle = (first + torch.arange(T, dtype=torch.float64))[:, None] * base ** (-power * pairs / d)
    cosine, sine = angle.cos().to(x.dtype), sign * angle.sin().to(x.dtype)
    a, b = x[:, : d // 2], x[:, d // 2 :]
    return torch.cat([a * cosine - b * sine, b * cosine + a * sine], 1)


def _neighbors(x, base):
    order = torch.cat([torch.arange(0, x.shape[1], 2), torch.arange(1, x.shape[1], 2)])
    out = torch.empty_like(x)
    out[:, order] = _rotate(x[:, order], base)
    return out


@task("15.rotate", LESSON + "'Positions by rotation'", _rotate, draw_rotate)
def rotate(ask: Examiner):
    x, base = normal(torch.Generator().manual_seed(15), 5, 6), 20.0
    ask(x, base).equals(
        _rotate(x, base),
        suspects={
            "neighbors are rotated, channels 2i and 2i + 1; the pairs are i and i + d/2": _neighbors(x, base),
            "rotated in the other direction: first·cos − second·sin comes first": _rotate(x, base, sign=-1.0),
            "the first frame is number 0 and is not rotated": _rotate(x, base, first=1),
            "the exponent is −2i/d; −i/d turns too fast": _rotate(x, base, power=1.0),
            "frequencies grow with i; they fall, from 1 for the first pair": _rotate(x, 1 / base),
        },
    )
    y = normal(torch.Generator().manual_seed(16), 4, 2)
    ask(y, 1.5e6).equals(_rotate(y, 1.5e6), "a single pair turns by one radian per frame, whatever the base")
    one = torch.ones(1, 4, dtype=torch.float64)
    ask(one, 10.0).equals(one, "one frame alone: its angle is 0")
    cosine, sine = rotary_table(5, 6, base)
    ask(x.float(), base).equals(library_rotate(x.float(), cosine, sine), "also of float32")


def draw_join(g):
    frames, V = integer(g, 1, 7), integer(g, 2, 4)
    starts = [0]
    width = integer(g, 1, frames)
    while starts[-1] + width < frames:
        starts.append(min(starts[-1] + integer(g, 1, width), frames - width))
    return [log_probs(g, width, V) for _ in starts], starts, frames


def _join(pieces, starts, frames, average=True):
    sums = torch.zeros(frames, pieces[0].shape[1], dtype=torch.float64)
    counts = torch.zeros(frames, 1, dtype=torch.float64)
    for piece, start in zip(pieces, starts, strict=True):
        sums[start : start + len(piece)] += piece.double().exp()
        counts[start : start + len(piece)] += 1
    return (sums / counts if average else sums).log()


def _mean_of_logs(pieces, starts, frames):
    sums, counts = torch.zeros(frames, pieces[0].shape[1]).double(), torch.zeros(frames, 1).double()
    for piece, start in zip(pieces, starts, strict=True):
        sums[start : start + len(piece)] += piece
        counts[start : start + len(piece)] += 1
    return sums / counts


def _last_wins(pieces, starts, frames):
    out = torch.zeros(frames, pieces[0].shape[1]).double()
    for piece, start in zip(pieces, starts, strict=True):
        out[start : start + len(piece)] = piece
    return out


@task("15.join", LESSON + "'Recognition in windows'", _join, draw_join)
def join(ask: Examiner):
    g = torch.Generator().manual_seed(17)
    pieces, starts, frames = [log_probs(g, 4, 3) for _ in range(3)], [0, 2, 4], 8
    right = _join(pieces, starts, frames)
    ask(pieces, starts, frames).equals(
        right,
        suspects={
            "logarithms are averaged; probabilities are to be": _mean_of_logs(pieces, starts, frames),
            "probabilities are added, and not divided by the number of windows there": _join(
                pieces, starts, frames, average=False
            ),
            "divided by the number of all windows; a frame counts those that cover it": _join(
                pieces, starts, frames, average=False
            )
            - math.log(3),
            "probabilities; their logarithms are wanted": right.exp(),
            "each window overwrites the one before": _last_wins(pieces, starts, frames),
        },
    )
    ask(pieces[:1], [0], 4).equals(pieces[0], "one window: nothing to average")
    ask(pieces, [0, 1, 2], 6).equals(
        _join(pieces, [0, 1, 2], 6), "some frames are covered by one window, some by three"
    )
    sure = torch.tensor([[0.0, -math.inf]], dtype=torch.float64)
    ask([sure, sure], [0, 0], 1).equals(sure, "a probability of 0 has the logarithm -inf, and is no error")


def draw_condition(g):
    T, D, V = integer(g, 1, 4), integer(g, 2, 4), integer(g, 2, 4)
    return normal(g, T, D), normal(g, V, D), normal(g, D, V)


def _normed(x):
    centered = x - x.mean(-1, keepdim=True)
    return centered / (centered.square().mean(-1, keepdim=True) + 1e-5).sqrt()


def _condition(x, head, back):
    return x + (_normed(x) @ head.T).softmax(-1) @ back.T


@task("15.condition", LESSON + "'Reading its own predictions'", _condition, draw_condition)
def condition(ask: Examiner):
    g = torch.Generator().manual_seed(18)
    x, head, back = 3 * normal(g, 4, 5) + 1, normal(g, 6, 5), normal(g, 5, 6)
    scores = _normed(x) @ head.T
    ask(x, head, back).equals(
        _condition(x, head, back),
        suspects={
            "only what is fed back; it is added to x": scores.softmax(-1) @ back.T,
            "scores are fed back, not probabilities": x + scores @ back.T,
            "logarithms are fed back, not probabilities": x + scores.log_softmax(-1) @ back.T,
            "the softmax runs over frames; it runs over labels": x + scores.softmax(0) @ back.T,
            "the head reads x as it is; it reads the norm of x": x + (x @ head.T).softmax(-1) @ back.T,
            "added to the normed x; the norm is the head's alone": _normed(x) + scores.softmax(-1) @ back.T,
        },
    )
    ask(x[:1], head, torch.zeros_like(back)).equals(x[:1], "a way back of zeros changes nothing")


def draw_saved(g):
    seeds = integer(g, 2, 8)
    level = [number(g, 8.0, 30.0) for _ in range(seeds)]
    short = {seed: level[seed] + number(g, 0.0, 2.0) for seed in range(seeds)}
    long = {seed: level[seed] - number(g, -0.5, 2.0) for seed in reversed(range(seeds))}
    for curve in (short, long):
        if len(short.keys() & long.keys()) > 1 and integer(g, 0, 1):
            del curve[min(short.keys() & long.keys())]
    return short, long


def _differences(short, long):
    return [short[seed] - long[seed] for seed in short if seed in long]


def _saved(short, long, error=lambda d: statistics.stdev(d) / math.sqrt(len(d))):
    found = _differences(short, long)
    return statistics.mean(found), error(found) if len(found) > 1 else math.inf


def _apart(short, long):
    """The comparison of means over all seeds, as if nothing linked the two."""
    both = [list(short.values()), list(long.values())]
    means = [statistics.mean(rates) for rates in both]
    return means[0] - means[1], math.sqrt(sum(statistics.variance(rates) / len(rates) for rates in both))


def _by_place(short, long):
    return _saved(dict(enumerate(short.values())), dict(enumerate(long.values())))


@task("15.saved", LESSON + "'Recognition in windows'", _saved, draw_saved)
def saved(ask: Examiner):
    short = {0: 50.8, 1: 54.9, 2: 42.4, 3: 47.0}
    long = {0: 41.3, 1: 47.0, 2: 32.4, 3: 40.1}
    mean, error = _saved(short, long)
    found = _differences(short, long)
    ask(short, long).equals(
        (mean, error),
        suspects={
            "longer minus shorter; what is saved is shorter minus longer": (-mean, error),
            "the scatter of the two contexts; that of the differences within seeds is wanted": _apart(
                short, long
            ),
            "the standard deviation; a mean's standard error is smaller by the root of n": _saved(
                short, long, statistics.stdev
            ),
            "divided by n; it is the root of n": _saved(short, long, lambda d: statistics.stdev(d) / len(d)),
            "the variance has n below it, and n - 1 is wanted": _saved(
                short, long, lambda d: statistics.pstdev(d) / math.sqrt(len(d))
            ),
            "three repeats are taken for granted; n is the number of seeds": _saved(
                short, long, lambda d: statistics.stdev(d) / math.sqrt(3)
            ),
            "the variance of the mean; its root is wanted": (mean, statistics.variance(found) / len(found)),
            "only the mean; a pair is wanted": mean,
        },
    )
    turned = dict(reversed(long.items()))
    ask(short, turned).equals(
        (mean, error),
        "seeds belong together by their number, and not by their place in the dictionary",
        {"paired by place": _by_place(short, turned)},
    )
    ask(short | {7: 99.0}, long | {8: 1.0}).equals(
        (mean, error),
        "a seed that is in one of the two only counts for nothing",
        {"all seeds are in the means": _apart(short | {7: 99.0}, long | {8: 1.0})},
    )
    two = {5: 30.0, 6: 20.0}, {5: 28.0, 6: 17.0}
    ask(*two).equals((2.5, 0.5), "two seeds")
    ask({3: 9.0}, {3: 8.0}).equals((1.0, math.inf), "one seed says nothing about the scatter")
    ask({1: 9.0, 2: 9.0}, {1: 8.0, 2: 8.0}).equals((1.0, 0.0), "two seeds that save the same do not scatter")
    worse = {0: 8.0, 1: 8.5}, {0: 9.0, 1: 9.0}
    ask(*worse).equals((-0.75, 0.25), "a longer context may be worse: a negative number is saved")


def draw_near(g):
    T, d = integer(g, 1, 12), integer(g, 1, 4)
    return *(normal(g, T, d) for _ in range(3)), integer(g, 0, 5)


def _near(q, k, v, window):
    place = torch.arange(len(q))
    far = (place[:, None] - place).abs() > window
    scores = (q @ k.T / math.sqrt(q.shape[1])).masked_fill(far, -math.inf)
    return scores.softmax(-1) @ v


def _near_with_zeros(q, k, v, window):
    span, pad = 2 * window + 1, (0, 0, window, window)
    keys, values = (torch.nn.functional.pad(x, pad).unfold(0, span, 1) for x in (k, v))
    weights = (torch.einsum("td,tds->ts", q, keys) / math.sqrt(q.shape[1])).softmax(-1)
    return torch.einsum("ts,tds->td", weights, values)


@task("15.near", LESSON + "'Every frame with every frame'", _near, draw_near)
def near(ask: Examiner):
    g = torch.Generator().manual_seed(19)
    q, k, v = (normal(g, 9, 4) for _ in range(3))
    place = torch.arange(9)
    apart = place[:, None] - place

    def masked(far, scale=2.0):
        return (q @ k.T / scale).masked_fill(far, -math.inf).softmax(-1) @ v

    full = (q @ k.T / 2).softmax(-1)
    ask(q, k, v, 2).equals(
        _near(q, k, v, 2),
        suspects={
            "every frame is attended to; only those at most `window` away are wanted": full @ v,
            "only frames before and the frame itself; those behind count, too": masked(
                (apart > 2) | (apart < 0)
            ),
            "frames `window` away are left out; they count": masked(apart.abs() > 1),
            "one frame too many on either side": masked(apart.abs() > 3),
            "masked after the softmax: the weights do not sum to 1": full.masked_fill(apart.abs() > 2, 0) @ v,
            "masked scores are 0, and not minus infinity": (q @ k.T / 2)
            .masked_fill(apart.abs() > 2, 0.0)
            .softmax(-1)
            @ v,
            "frames before the first and behind the last do not exist; zeros there take a share": (
                _near_with_zeros(q, k, v, 2)
            ),
            "not divided by the root of the channels": masked(apart.abs() > 2, 1.0),
            "divided by the channels, not by their root": masked(apart.abs() > 2, 4.0),
        },
    )
    ask(q, k, v, 0).equals(v, "window 0: each frame attends to itself")
    ask(q, k, v, 100).equals(full @ v, "a window longer than the recording: full attention")
    ask(q[:1], k[:1], v[:1], 3).equals(v[:1], "a single frame")
    q, k, v = (normal(g, 3000, 8).float() for _ in range(3))
    got = ask.count(q, k, v, 20)
    got.equals(_near(q, k, v, 20), "3,000 frames, window 20")
    advice = (
        "do without a matrix of all pairs, and without a loop over the frames. Pad k and v, and let unfold"
        " give each frame its 2 · window + 1 neighbors"
    )
    got.does_at_most("3,000 frames of 8 channels, window 20", advice, 2_000, 2_000, 9_000_000)
