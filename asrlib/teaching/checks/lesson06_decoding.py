"""Checkers of assignment 06, CTC: alignment and prefix search."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from asrlib.losses import alignment, textbook
from asrlib.signal.frame_times import FrameTimes
from asrlib.teaching.check import Examiner, task
from asrlib.teaching.checks.lesson06_sums import AA, AB, draw_possible
from asrlib.teaching.exercise_data.draws import integer, log_probs
from asrlib.teaching.exercise_data.posteriors import clip_posteriors

LESSON = "lesson 06, "


def draw_spoken(g):
    while True:
        y, l, blank = draw_possible(g)
        if len(l):
            return y, l, blank


def _word_times(y, l, frame_seconds, center, blank=0):
    found = alignment.ctc_align(y, l, blank=blank)
    return FrameTimes(frame_seconds, center)((found.starts + found.ends - 1) / 2).double()


def draw_alignment(g):
    y, l, blank = draw_spoken(g)
    return y, l, 0.04 * integer(g, 1, 3), 0.0125 * integer(g, 0, 2), blank


@task("06.word_times", LESSON + "'Forced alignment'", _word_times, draw_alignment, 60)
def word_times(ask: Examiner):
    y = torch.full((6, 3), 0.1, dtype=torch.float64)
    y[torch.arange(6), [0, 1, 1, 1, 0, 2]] = 0.8  # ∅ a a a ∅ b
    y = y.log()
    ask(y, AB, 1.0, 0.25).equals(
        [2.25, 5.25],
        suspects={
            "`center` is missing: frame 0 is at `center`, not at 0": [2.0, 5.0],
            "the frame at which each label begins; its middle is wanted": [1.25, 5.25],
            "the frame at which each label ends; its middle is wanted": [3.25, 5.25],
            "half a frame late: `center` is where frame 0 is, so frames 1, 2, 3 are around frame 2": [
                2.75,
                5.75,
            ],
            "frames counted from the end": [3.25, 0.25],
            "frames counted from 1": [3.25, 6.25],
        },
    )
    ask(y, AB, 0.08, 0.0125).equals(
        [0.1725, 0.4125],
        suspects={"`center` is in seconds, not in frames": [0.08 * 2.0125, 0.08 * 5.0125]},
        because="frame t is at `center` + t · `frame_seconds`",
    )
    doubled = torch.full((5, 3), 0.1, dtype=torch.float64)
    doubled[torch.arange(5), [1, 1, 0, 1, 0]] = 0.8
    doubled[2] = torch.tensor([0.3, 0.6, 0.1])
    ask(doubled.log(), AA, 1.0, 0.0).equals(
        _word_times(doubled.log(), AA, 1.0, 0.0), "two equal labels need a blank between, however unlikely"
    )
    unsure = torch.tensor(
        [[0.4, 0.6, 0], [0.4, 0.6, 0], [0.55, 0.45, 0], [0.0, 0.1, 0.9]], dtype=torch.float64
    )
    unsure = (unsure + 1e-9).log()
    ask(unsure, AB, 1.0, 0.0).equals(
        _word_times(unsure, AB, 1.0, 0.0),
        "the most probable whole path, which is not the most probable state of each frame",
    )
    late = torch.tensor(
        [[0.75, 0.15, 0.1], [0.5, 0.1, 0.4], [0.35, 0.3, 0.35], [0.35, 0.35, 0.3]], dtype=torch.float64
    )
    ask(late.log(), AB, 1.0, 0.0).equals(
        [2.0, 3.0], "the most probable whole path; the most probable states of the frames are none"
    )
    errors = []
    for clip in clip_posteriors():
        at = clip.frame_times
        times = ask(clip.log_probs, clip.labels, at.seconds, at.center).value
        errors += [abs(float(at) - (w.start + w.end) / 2) for at, w in zip(times, clip.words, strict=True)]
    mean = 1000 * sum(errors) / len(errors)
    if not mean <= 50:
        raise ask.because(f"on the clips your times are {mean:.0f} ms from the words' middles; 50 will do")


def best_text(y, width, blank=0):
    """The search as the lesson has it: both endings of a prefix share one place in the beam."""
    beam = {(): (0.0, -math.inf)}
    add = lambda a, b: float(torch.tensor([a, b], dtype=torch.float64).logsumexp(0))  # noqa: E731
    for frame in y.double().tolist():
        new: dict[tuple, tuple] = {}
        for prefix, (ends_blank, ends_label) in beam.items():
            for k, p in enumerate(frame):
                if k == blank:
                    grown = [(prefix, add(ends_blank, ends_label) + p, -math.inf)]
                elif prefix and k == prefix[-1]:
                    grown = [(prefix, -math.inf, ends_label + p), ((*prefix, k), -math.inf, ends_blank + p)]
                else:
                    grown = [((*prefix, k), -math.inf, add(ends_blank, ends_label) + p)]
                for text, in_blank, in_label in grown:
                    old = new.get(text, (-math.inf, -math.inf))
                    new[text] = add(old[0], in_blank), add(old[1], in_label)
        beam = dict(sorted(new.items(), key=lambda item: -add(*item[1]))[:width])
    return list(next(iter(beam)))


def draw_beam(g):
    V = integer(g, 2, 4)
    return log_probs(g, integer(g, 1, 6), V), 500 if integer(g, 0, 1) else 2, integer(g, 0, V - 1)


@task("06.prefix_beam", LESSON + "'Decoding: from posteriors to text'", best_text, draw_beam, times=30)
def prefix_beam(ask: Examiner):
    two = torch.tensor([[0.1, 0.8, 0.1], [0.45, 0.4, 0.15]], dtype=torch.float64).log()
    ask(two, 10).equals(
        [1],
        suspects={
            "two ways to one prefix are added up; here the later one takes the other's place": [1, 2],
            "the path, not the text it reads as": [1, 0],
        },
    )
    lasting = torch.tensor([[0.1, 0.9], [0.1, 0.9], [0.4, 0.6]], dtype=torch.float64).log()
    ask(lasting, 10).equals([1], "without a blank between, the same label again is not a new one: it merges")
    apart = torch.tensor([[0.1, 0.8, 0.1], [0.32, 0.3, 0.38]], dtype=torch.float64).log()
    ask(apart, 10).equals(
        [1], suspects={"greedy search's text: the best path is ab, but aa and a∅ together are better": [1, 2]}
    )
    weak = torch.tensor([[0.6, 0.4], [0.6, 0.4]], dtype=torch.float64).log()
    ask(weak, 10).equals(
        [1],
        suspects={
            "only the best prefix is kept after each frame: ∅∅ is the best path, but a∅, ∅a and aa together"
            " are better": [],
            "the path, not the text it reads as": [0, 0],
            "a label that lasts is counted as a new one each frame": [1, 1],
        },
    )
    doubled = torch.tensor([[0.1, 0.9], [0.9, 0.1], [0.1, 0.9]], dtype=torch.float64).log()
    ask(doubled, 10).equals([1, 1], "after a blank the same label again is a new one")
    ask(weak.flip(1), 10, blank=1).equals([0], "the blank is the argument `blank`, not always 0")
    long = torch.tensor([[0.4, 0.3, 0.3], [0.3, 0.4, 0.3]], dtype=torch.float64).log().repeat(1000, 1)
    got = ask(long[:, :2], 2).value
    if not got or not len(got) > 10:
        raise ask.because("2,000 frames: the probabilities vanish to 0 unless they are kept as logarithms")
    _measure(ask)


def _measure(ask: Examiner):
    g = torch.Generator().manual_seed(12)
    ours = theirs = greedy = 0.0
    for _ in range(3):
        y = (0.5 * torch.randn(40, 6, generator=g, dtype=torch.float64)).log_softmax(-1)
        y = (y + torch.tensor([1.0, 0, 0, 0, 0, 0])).log_softmax(-1)
        ours += _log_p(y, ask(y, 8).value)
        theirs += _log_p(y, best_text(y, 8))
        greedy += _log_p(y, textbook.collapse(y.argmax(1).tolist()))
    if ours < theirs - 1e-6:
        raise ask.because(
            f"on unsure frames your texts have ln p = {ours:.2f} together, the search of the lesson finds"
            f" {theirs:.2f}, greedy search {greedy:.2f}: prefixes are lost on the way, or too few are kept"
        )


def _log_p(y, text):
    if not text:
        return float(y[:, 0].sum())
    return -float(F.ctc_loss(y[:, None], torch.tensor([text]), [len(y)], [len(text)], reduction="sum"))
