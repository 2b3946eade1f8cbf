"""Checkers of assignment 13: your own voice."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch

from asrlib.teaching.check import Ask, task
from asrlib.teaching.checks.draws import integer, labels, log_probs, normal, number

LESSON = "lesson 13, "


def _level(samples):
    return 10 * math.log10(sum(x * x for x in samples.tolist()) / len(samples) + 1e-10)


def draw_samples(g):
    return (normal(g, integer(g, 1, 30)) * 10 ** number(g, -6, 0),)


@task("13.level_db", LESSON + "'Look before you train'", _level, draw_samples)
def level_db(ask: Ask):
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


@task("13.clipped_share", LESSON + "'Look before you train'", _clipped, draw_clipped, 60)
def clipped_share(ask: Ask):
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


@task("13.trim", LESSON + "'Look before you train'", _trim, draw_levels, 80)
def trim(ask: Ask):
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


# ---- texts and confidence ----------------------------------------------------------------------------------


def _forced(log_probs, target, blank):
    states = [blank, *(s for label in target.tolist() for s in (label, blank))]
    best = {0: float(log_probs[0, blank]), 1: float(log_probs[0, states[1]])}
    for y in log_probs[1:].tolist():
        new = {}
        for s, label in enumerate(states):
            ways = [best[p] for p in (s, s - 1) if p in best]
            if s - 2 in best and label != blank and label != states[s - 2]:
                ways.append(best[s - 2])
            if ways:
                new[s] = max(ways) + y[label]
        best = new
    return max(best.get(len(states) - 1, -math.inf), best.get(len(states) - 2, -math.inf))


def _gap(log_probs, target, blank=0):
    return (sum(max(y) for y in log_probs.tolist()) - _forced(log_probs, target, blank)) / len(target)


def draw_gap(g):
    V, U = integer(g, 2, 4), integer(g, 1, 3)
    blank = integer(g, 0, V - 1)
    return log_probs(g, integer(g, 2 * U, 8), V), labels(g, U, V, blank), blank


@task("13.gap", LESSON + "'Find the wrong text'", _gap, draw_gap, 40)
def gap(ask: Ask):
    g = torch.Generator().manual_seed(1)
    y, target = log_probs(g, 7, 4), torch.tensor([2, 3, 3])
    right, free = _gap(y, target), float(y.amax(1).sum())
    from asrlib.losses import ctc

    all_paths = float(ctc.ctc_alphas(y, target)[-1, -2:].logsumexp(0))
    ask(y, target).equals(
        right,
        suspects={
            "the whole gap; nats *a label* are wanted": 3 * right,
            "divided by the frames, not by the labels": 3 * right / 7,
            "the sign is turned: the recogniser's own best path comes first": -right,
            "the target's best path alone: compare it with the best of all paths": right - free / 3,
            "all paths of the target, as in the loss; the best one is wanted": (free - all_paths) / 3,
            "the greedy path's probability alone": free / 3,
        },
    )
    sure = torch.full((4, 3), 0.05, dtype=torch.float64)
    sure[torch.arange(4), [1, 0, 2, 2]] = 0.9
    ask(sure.log(), torch.tensor([1, 2])).equals(
        0.0, "the target is what the best path reads: the two are the same path, and the gap is 0"
    )
    ask(y, target - 1, blank=3).equals(
        _gap(y, target - 1, 3), "the blank is the argument `blank`, not always 0"
    )


def _separation(right, wrong):
    ranks = [*right, *wrong]
    below = sum(float(np.mean([np.sign(r - w) for w in wrong])) for r in ranks[: len(right)]) / len(right)
    return (1 + below) / 2


def draw_confidences(g):
    # one decimal, so that ties occur
    return tuple([integer(g, 0, 10) / 10 for _ in range(integer(g, 1, 8))] for _ in range(2))


@task("13.separation", LESSON + "'Confidence: does it know when it is wrong?'", _separation, draw_confidences)
def separation(ask: Ask):
    ask([0.9, 0.8], [0.8, 0.3]).equals(
        0.875,
        suspects={
            "a tie counts nothing; it counts half": 0.75,
            "a tie counts whole; it counts half": 1.0,
            "the number of pairs; their share is wanted": 3.5,
            "the wrong way round: right words should be the surer ones": 0.125,
            "the difference of the means": 0.3,
            "words are compared place by place; every right word meets every wrong one": 1.0,
        },
    )
    ask([0.9, 0.6, 0.5], [0.7]).equals(
        1 / 3,
        suspects={
            "divided by the wrong number of pairs: right words times wrong words": 1 / 9,
            "the wrong way round: right words should be the surer ones": 2 / 3,
            "only the best right word counts": 1.0,
        },
    )
    ask([0.5, 0.5], [0.5]).equals(0.5, "all the same: confidence says nothing, and a tie counts half")


# ---- how sure, and which -----------------------------------------------------------------------------------


def _rates(errors, words, speakers, draws):
    names = sorted(set(speakers))
    rates = []
    for row in draws.tolist():
        chosen = [i for k in row for i, name in enumerate(speakers) if name == names[k]]
        rates.append(100 * sum(int(errors[i]) for i in chosen) / sum(int(words[i]) for i in chosen))
    return np.array(rates)


def _interval(errors, words, speakers, draws, low=2.5, high=97.5):
    return np.percentile(_rates(errors, words, speakers, draws), [low, high]).tolist()


def draw_interval(g):
    people = ["anna", "ben", "carla", "dan"][: integer(g, 1, 4)]
    speakers = people + [people[integer(g, 0, len(people) - 1)] for _ in range(integer(g, 0, 6))]
    speakers = [speakers[i] for i in torch.randperm(len(speakers), generator=g).tolist()]
    N, S = len(speakers), len(people)
    errors, words = torch.randint(0, 6, (N,), generator=g), torch.randint(1, 12, (N,), generator=g)
    return errors, words, speakers, torch.randint(0, S, (integer(g, 1, 9), S), generator=g)


@task("13.interval", LESSON + "'How sure is that?'", _interval, draw_interval, 30)
def interval(ask: Ask):
    errors, words = torch.tensor([1, 0, 3, 2, 0]), torch.tensor([10, 8, 10, 4, 7])
    speakers = ["ben", "anna", "ben", "carla", "anna"]
    draws = torch.tensor([[0, 1, 2], [1, 1, 2], [0, 0, 1], [2, 2, 0], [2, 2, 2], [0, 1, 1]])
    rates = _rates(errors, words, speakers, draws)
    expected = _interval(errors, words, speakers, draws)
    # ben is the first to appear, anna the second
    swapped = ["anna" if s == "ben" else "ben" if s == "anna" else s for s in speakers]
    of_one = _rates(errors, words, speakers, torch.arange(3)[:, None])
    each = of_one[draws.numpy()].mean(1)
    of_recordings = (100 * errors[draws].sum(1) / words[draws].sum(1)).numpy()
    sets = [torch.tensor([sorted(set(row))]) for row in draws.tolist()]
    once = np.array([_rates(errors, words, speakers, row)[0] for row in sets])
    whole = np.array([100 * _errors(errors, speakers, r) / int(words.sum()) for r in draws.tolist()])

    def middle(values, low=2.5, high=97.5):
        return np.percentile(values, [low, high]).tolist()

    came = ask(errors, words, speakers, draws).value
    came = came.tolist() if hasattr(came, "tolist") else came
    if not isinstance(came, tuple | list) or len(came) != 2:
        raise ask.because("two numbers must be returned: low, high")
    ask(errors, words, speakers, draws).equals(
        expected,
        suspects={
            "a ratio; per cent are wanted": [x / 100 for x in expected],
            "recordings are drawn; all recordings of the drawn *speakers* are wanted": middle(of_recordings),
            "the mean of the speakers' rates; errors and words are summed first": middle(each),
            "speakers are numbered as they appear; alphabetical order is wanted": _interval(
                errors, words, swapped, draws
            ),
            "a speaker drawn twice counts twice": middle(once),
            "divided by the words of the whole set, not by those drawn": middle(whole),
            "the smallest and the largest; 2.5 % are left out on each side": middle(rates, 0, 100),
            "5 % are left out on each side; 2.5 % make 95 in the middle": middle(rates, 5, 95),
            "high before low": expected[::-1],
            "the nearest of the values; interpolate between two of them": np.percentile(
                rates, [2.5, 97.5], method="nearest"
            ).tolist(),
            "one sum over all rows; each row is a test set of its own": [100 * float(np.mean(rates))] * 2,
        },
    )
    one = torch.tensor([[1, 1]])
    ask(torch.tensor([1, 0, 3]), torch.tensor([10, 10, 10]), ["ben", "anna", "ben"], one).equals(
        [20.0, 20.0], "ben drawn twice: 8 errors in 40 words, and one row alone is its own interval"
    )


def _errors(errors, speakers, row):
    names = sorted(set(speakers))
    return sum(int(errors[i]) for k in row for i, name in enumerate(speakers) if name == names[k])


def _choose(models, allowed):
    best = 0
    for n, (own, others) in enumerate(models):
        if others <= models[0][1] + allowed and (own, others) < tuple(models[best]):
            best = n
    return best


def draw_models(g):
    # few values, so that equal ones occur
    models = [(float(integer(g, 0, 4)), float(integer(g, 0, 4))) for _ in range(integer(g, 1, 6))]
    return models, float(integer(g, 0, 2))


@task("13.choose", LESSON + "'Fine-tune'", _choose, draw_models, 80)
def choose(ask: Ask):
    models = [(15.3, 1.4), (0.9, 11.7), (2.7, 2.9), (9.0, 3.0), (6.0, 1.2), (4.0, 1.9)]
    ask(models, 2.0).equals(
        2,
        suspects={
            "the best on your voice has forgotten the others: more than `allowed` points": 1,
            "the one that has forgotten least; of those allowed the best on your voice is wanted": 4,
            "`allowed` is by how much the others' WER may *rise* above that of models[0]": 5,
            "the index counts from 0": 3,
            "the model before fine-tuning: one of the others is allowed and better": 0,
        },
    )
    ask([(9.0, 4.0), (2.0, 5.5), (3.0, 1.0)], 2.0).equals(
        1,
        "`allowed` is by how much the others' WER may *rise* above that of models[0], not the WER itself",
    )
    ask([(9.0, 1.0), (2.0, 3.0)], 2.0).equals(1, "*at most* `allowed` points: exactly so many are allowed")
    ask([(9.0, 1.0), (2.0, 8.0)], 2.0).equals(0, "none of the tuned ones is allowed: models[0] always is")
    ask([(1.0, 1.0), (9.0, 1.0)], 2.0).equals(0, "models[0] takes part, too: here tuning made it worse")
    ask([(9.0, 1.0), (2.0, 3.0), (2.0, 1.5)], 2.0).equals(
        2, "two are equally good on your voice: the one that is better on other voices is wanted"
    )
    ask([(9.0, 1.0), (2.0, 1.5), (2.0, 1.5)], 2.0).equals(1, "all equal: the first one is wanted")


# ---- speech in noise ---------------------------------------------------------------------------------------


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


@task("13.endpoints", LESSON + "'Look before you train'", _burst, draw_burst, 10, tolerance=0.1)
def endpoints(ask: Ask):
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
        came = ask(samples, rate)
        try:
            yours = [float(time) for time in came.value]
        except (TypeError, ValueError):
            yours = []
        came.satisfies(
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
