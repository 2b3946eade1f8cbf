"""Checkers of assignment 13, your own voice: levels, clipping and where speech begins and ends."""

from __future__ import annotations

import math
from functools import lru_cache

import torch

from asrlib.teaching.check import Examiner, task
from asrlib.teaching.exercise_data.draws import integer, normal, number

LESSON = "lesson 13, "


def _level(samples):
    return 10 * math.log10(sum(x * x for x in samples.tolist()) / len(samples) + 1e-10)


def draw_samples(g):
    return (normal(g, integer(g, 1, 30)) * 10 ** number(g, -6, 0),)


@task("13.level_db", LESSON + "'Look before you train'", _level, draw_samples)
def level_db(ask: Examiner):
    x = torch.tensor([0.3, -0.1, 0.02, 0.0], dtype=torch.float64)
    power = float(x.square().mean())
    ask(x).equals(
        _level(x),
        suspects={
            "20 log10 is for amplitudes; a mean square is a power: 10 log10": 20 * math.log10(power),
            "the mean of |x|; the mean of the squares is wanted": 20 * math.log10(float(x.abs().mean())),
            "the peak; the mean of the squares is wanted": 20 * math.log10(0.3),
            "the sum of the squares; the mean is wanted": 10 * math.log10(4 * power),
            "the natural logarithm; decibels take the one to base 10": 10 * math.log(power),
            "the power itself; decibels are 10 log10 of it": power,
            "bels: ten times that is decibels": math.log10(power),
            "the sign is turned: below full scale is negative": -_level(x),
        },
    )
    ask(torch.zeros(5, dtype=torch.float64)).equals(
        -100.0, "silence: 1e-10 is added to the mean square before the logarithm"
    )
    faint = torch.full((8,), 1e-5, dtype=torch.float64)
    ask(faint).equals(_level(faint), "1e-10 is added to the mean square, not to the samples or the decibels")


def _clipped(samples, limit=0.999, run=3):
    at_end = "".join("x" if abs(x) >= limit else " " for x in samples.tolist())
    return sum(len(part) for part in at_end.split() if len(part) >= run) / len(samples)


def draw_clipped(g):
    x = (1.5 * normal(g, integer(g, 1, 20))).clamp(-1, 1).sort().values
    x = x[torch.randperm(len(x), generator=g)] if integer(g, 0, 2) == 0 else x
    return x, (0.999, 0.5, 1.0)[integer(g, 0, 2)], integer(g, 1, 4)


@task("13.clipped_share", "the example in the task", _clipped, draw_clipped, 60)
def clipped_share(ask: Examiner):
    x = torch.tensor([1, 1, -1, 0.2, -1, -1, 0.1, 1, 1, 1, 0], dtype=torch.float64)
    ask(x).equals(
        6 / 11,
        suspects={
            "all samples at the limit; only stretches of `run` neighbours or more count": 8 / 11,
            "only the positive end: |x| counts": 3 / 11,
            "stretches of exactly `run` count, too": 0.0,
            "the number of samples; their share is wanted": 6,
            "the number of stretches, or of their last samples; all their samples count": 2 / 11,
            "per cent; a share from 0 to 1 is wanted": 600 / 11,
        },
    )
    ask(x, run=2).equals(8 / 11, "`run` is an argument, not always 3")
    ask(x, run=4).equals(0.0, "a stretch shorter than `run` does not count")
    ask(x[[0, 0, 0, 3]], 1.0, 3).equals(0.75, "a sample that is exactly `limit` is at the end of the scale")
    ask(0.6 * x, 0.5, 3).equals(6 / 11, "`limit` is an argument, not always 0.999")
    ask(x[[3, 3, 0, 0, 0]]).equals(0.6, "a stretch that lasts to the recording's end counts as well")


def _trim(levels, threshold, least, hang):
    T = len(levels)
    keep = [
        t
        for first in range(T - least + 1)
        if all(level > threshold for level in levels[first : first + least])
        for t in range(first, first + least)
    ]
    return [max(0, keep[0] - hang), min(T, keep[-1] + 1 + hang)] if keep else None


def draw_levels(g):
    levels = [-60.0, -40.0, -20.0]
    drawn: list[float] = []
    for _ in range(integer(g, 0, 14)):
        drawn.append(drawn[-1] if drawn and integer(g, 0, 1) else levels[integer(g, 0, 2)])
    return drawn, -40.0, integer(g, 1, 4), integer(g, 0, 3)


@task("13.trim", "the example in the task", _trim, draw_levels, 80)
def trim(ask: Examiner):
    levels = [-60, -10, -60, -60, -20, -15, -60, -20, -30, -60, -60, -60, -60]
    ask(levels, -40, 2, 1).equals(
        [3, 10],
        suspects={
            "frame 1 is a click, shorter than `least`": [0, 10],
            "`end` is the frame *behind* the last one to keep, as in a slice": [3, 9],
            "the hang-over is missing: `hang` frames before and behind": [4, 9],
            "the hang-over is missing at the beginning": [4, 10],
            "only the first stretch of speech; keep everything up to the last one": [3, 7],
            "only the last stretch of speech; keep everything from the first one": [6, 10],
            "frames counted from 1": [4, 11],
        },
    )
    ask(levels, -40, 1, 0).equals([1, 9], "with `least` 1 a single frame is speech")
    ask(levels, -40, 2, 7).equals(
        [0, 13], "the hang-over ends where the recording does: not before 0, not behind the last frame"
    )
    ask([-40, -40, -60], -40, 1, 0).equals(None, "speech is *above* the threshold; here nothing is")
    ask([-60, -60], -40, 1, 2).equals(None, "no speech: None is wanted")
    ask([-60, -10, -10], -40, 2, 0).equals([1, 3], "speech that lasts to the recording's end counts as well")
    ask([-10, -60, -10, -60, -10], -40, 2, 0).equals(
        None, "`least` neighbours in one stretch, not `least` frames in all"
    )
    ask([], -40, 1, 1).equals(None, "no frames: None is wanted")


def _burst(samples, rate):
    loud = (samples.abs() > 0.05).nonzero()[:, 0]
    return [float(loud[0]) / rate, float(loud[-1] + 1) / rate]


def draw_burst(g):
    rate = (8000, 16000)[integer(g, 0, 1)]
    before, speech, after = (round(number(g, 0.3, 0.9) * rate) for _ in range(3))
    x = 1e-3 * normal(g, before + speech + after)
    x[before : before + speech] = 0.4 * normal(g, speech)
    return x, rate


@lru_cache
def _noisy_clips():
    """(samples, rate, start, end) of the course's clips in white noise, with more of it around."""
    from asrlib.data.audio import cut_audio
    from asrlib.data.corpora import clips

    found, g = [], torch.Generator().manual_seed(13)
    for cut in clips():
        words = cut.supervisions[0].alignment["word"]
        x, rate = torch.from_numpy(cut_audio(cut)).double(), cut.sampling_rate
        for snr_db in (20, 10, 5):
            before, after = (round(number(g, 0.1, 0.8) * rate) for _ in range(2))
            noise = normal(g, before + len(x) + after) * (x.square().mean() / 10 ** (snr_db / 10)).sqrt()
            noise[before : before + len(x)] += x
            start, end = words[0].start + before / rate, words[-1].end + before / rate
            found.append((noise, rate, start, end))
    return found


@task(
    "13.endpoints", "task 3, and the questions at the end of the task", _burst, draw_burst, 10, tolerance=0.1
)
def endpoints(ask: Examiner):
    g = torch.Generator().manual_seed(2)
    x = 1e-3 * normal(g, 16000)
    x[6400:9600] = 0.4 * normal(g, 3200)
    ask(x, 8000).equals(
        [0.8, 1.2],
        suspects={
            "samples; seconds are wanted": [6400, 9600],
            "frames of 10 ms; seconds are wanted": [80, 120],
            "milliseconds; seconds are wanted": [800, 1200],
            "start and length; start and end are wanted": [0.8, 0.4],
            "the whole recording: nothing was found, or everything": [0.0, 2.0],
            "the rate is the argument `rate`, not always 16000": [0.4, 0.6],
            "what is behind the end; the end itself is wanted": [0.8, 0.8],
        },
    )
    quiet = 0.02 * x
    ask(quiet, 8000).equals(
        [0.8, 1.2], "the same recording 34 dB quieter: a threshold must follow the background's level"
    )
    click = x.clone()
    click[1600:1616] = 0.5
    click[14400:14416] = 0.5
    ask(click, 8000).equals(
        [0.8, 1.2], "a click of 2 ms is no speech, however loud: speech lasts longer than a few frames"
    )
    far = {}
    for samples, rate, start, end in _noisy_clips():
        got = ask(samples, rate)
        try:
            yours = [float(time) for time in got.value]
        except (TypeError, ValueError):
            yours = []
        got.satisfies(
            len(yours) == 2 and all(map(math.isfinite, yours)),
            "two numbers, in seconds",
            "one of the clips in noise: there is speech in each of them",
        )
        far.setdefault("beginnings", []).append(abs(yours[0] - start))
        far.setdefault("ends", []).append(abs(yours[1] - end))
    mean = {name: 1000 * sum(d) / len(d) for name, d in far.items()}
    if not sum(mean.values()) / 2 <= 45:
        raise ask.because(
            f"on the noisy clips your beginnings are {mean['beginnings']:.0f} ms off on average, your ends"
            f" {mean['ends']:.0f}; 45 ms is asked for. How far above the background, and for how long?"
        )
