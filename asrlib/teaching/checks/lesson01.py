"""Checkers of assignment 01: from sound to spectrogram."""

from __future__ import annotations

import math
from functools import lru_cache

import torch

from asrlib.signal import features, framing, mel
from asrlib.teaching.check import Examiner, task
from asrlib.teaching.exercise_data.draws import integer, normal, number

LESSON = "lesson 01, "


def draw_signal(g):
    window = integer(g, 1, 6)
    return normal(g, window + integer(g, 0, 20)), window, integer(g, 1, 7)


@task("01.frame", LESSON + "'2 · Frames'", framing.frame, draw_signal, 40)
def frame(ask: Examiner):
    x = torch.arange(10, dtype=torch.float64)
    ask(x, 4, 2).equals(
        framing.frame(x, 4, 2),
        suspects={
            "the last piece that still fits is missing": framing.frame(x, 4, 2)[:-1],
            "pieces side by side: they overlap where hop is less than window": x[:8].reshape(2, 4),
            "window and hop are exchanged": x.unfold(0, 2, 4),
            "one piece a column; one piece a row is wanted": framing.frame(x, 4, 2).T,
            "too few: pieces begin `hop` samples apart, and overlap": framing.frame(x, 4, 2)[:2],
        },
        because="piece t begins at sample t · hop and has `window` samples",
    )
    ask(x[:9], 4, 3).equals(
        framing.frame(x[:9], 4, 3), "a piece that does not wholly fit does not count, nor is it padded"
    )
    ask(x[:4], 4, 3).equals(x[None, :4], "a signal of just one window is one piece")


@task(
    "01.hann",
    LESSON + "'4 · Windows'",
    lambda n: torch.hann_window(n, dtype=torch.float64),
    lambda g: (integer(g, 2, 50),),
)
def hann(ask: Examiner):
    n = torch.arange(8, dtype=torch.float64)
    expected = torch.hann_window(8, dtype=torch.float64)
    ask(8).equals(
        expected,
        suspects={
            "the symmetric window: its last sample is 0 and should be the next one's": torch.hann_window(
                8, periodic=False, dtype=torch.float64
            ),
            "the Hamming window": torch.hamming_window(8, dtype=torch.float64),
            "turned over: it must be 0 at its beginning": 1 - expected,
            "half a period: a sine, not a raised cosine": torch.sin(math.pi * n / 8),
            "the angle is half of what it should be: 2 π n / size": 0.5 - 0.5 * torch.cos(math.pi * n / 8),
        },
    )


def _power(frames, fft_size):
    return torch.fft.rfft(frames.double(), n=fft_size).abs().square()


def draw_frames(g):
    window = integer(g, 1, 9)
    return normal(g, integer(g, 1, 4), window), window + integer(g, 0, 8)


@task("01.power_spectrum", LESSON + "'3 · The Fourier transform of one frame'", _power, draw_frames)
def power_spectrum(ask: Examiner):
    g = torch.Generator().manual_seed(1)
    x = normal(g, 2, 6)
    ask(x, 8).equals(
        _power(x, 8),
        suspects={
            "the magnitude; its square is wanted": _power(x, 8).sqrt(),
            "divided by K": _power(x, 8) / 8,
            "divided by K squared": _power(x, 8) / 64,
            "the real part alone: the sines are missing": torch.fft.rfft(x, n=8).real.square(),
            "the imaginary part alone: the cosines are missing": torch.fft.rfft(x, n=8).imag.square(),
            "real plus imaginary part, then the square: each is squared first": (
                torch.fft.rfft(x, n=8).real - torch.fft.rfft(x, n=8).imag
            ).square(),
            "all K bins: those above K/2 mirror those below, and are left out": torch.fft.fft(x, n=8)
            .abs()
            .square(),
            "the last bin, K/2, is missing": _power(x, 8)[:, :-1],
            "in decibels or in logarithms; the power itself is wanted": _power(x, 8).log(),
            "the angle is 2 π k n / K with K = fft_size, not the window's length": _at_window(x, 5),
        },
    )
    ask(x, 16).equals(
        _power(x, 16),
        "the angle is 2 π k n / K with K = fft_size, not the window's length: zeros are appended",
    )


def _at_window(x, bins):
    n, k = torch.arange(x.shape[1]), torch.arange(bins)
    angle = 2 * math.pi * k[:, None] * n / x.shape[1]
    return (x @ angle.cos().double().T).square() + (x @ angle.sin().double().T).square()


def _filters(sample_rate, fft_size, mels):
    """Triangle by triangle, from the definition."""
    top = 2595 * math.log10(1 + sample_rate / 1400)
    points = [700 * (10 ** (top * m / (mels + 1) / 2595) - 1) for m in range(mels + 2)]
    filters = torch.zeros(fft_size // 2 + 1, mels, dtype=torch.float64)
    for k in range(len(filters)):
        f = k * sample_rate / fft_size
        for m, (left, peak, right) in enumerate(zip(points, points[1:], points[2:], strict=False)):
            if left < f < right:
                filters[k, m] = (f - left) / (peak - left) if f <= peak else (right - f) / (right - peak)
    return filters


def draw_filters(g):
    return (8000, 16000, 11025)[integer(g, 0, 2)], (64, 128, 256)[integer(g, 0, 2)], integer(g, 1, 12)


@task("01.mel_filters", LESSON + "'7 · Mel filters'", _filters, draw_filters, 10)
def mel_filters(ask: Examiner):
    expected = _filters(16000, 128, 6)
    hz = torch.linspace(0, 8000, 8, dtype=torch.float64)
    f = torch.arange(65, dtype=torch.float64)[:, None] * 125
    even = torch.minimum((f - hz[:-2]) / (hz[1:-1] - hz[:-2]), (hz[2:] - f) / (hz[2:] - hz[1:-1])).clamp(
        min=0
    )
    ask(16000, 128, 6).equals(
        expected,
        suspects={
            "evenly spaced in Hz; in mel is wanted": even,
            "each filter divided by its sum; here each one peaks at 1": expected / expected.sum(0),
            "one filter a row; one a column is wanted": expected.T,
            "not cut off at 0: outside of its triangle a filter is 0": _uncut(16000, 128, 6),
            "points up to the sample rate: half of it is the highest frequency there is": _filters(
                32000, 256, 6
            )[:65],
            "log to another base: the mel scale of 2595 takes log10": _natural(16000, 128, 6),
        },
    )


def _uncut(sample_rate, fft_size, mels):
    edges = mel.mel_to_hz(
        torch.linspace(0, float(mel.hz_to_mel(torch.tensor(sample_rate / 2.0).double())), mels + 2).double()
    )
    f = torch.arange(fft_size // 2 + 1, dtype=torch.float64)[:, None] * sample_rate / fft_size
    rise = (f - edges[:-2]) / (edges[1:-1] - edges[:-2])
    return torch.minimum(rise, (edges[2:] - f) / (edges[2:] - edges[1:-1]))


def _natural(sample_rate, fft_size, mels):
    top = 2595 * math.log(1 + sample_rate / 1400)
    edges = 700 * (10 ** (torch.linspace(0, top, mels + 2, dtype=torch.float64) / 2595) - 1)
    f = torch.arange(fft_size // 2 + 1, dtype=torch.float64)[:, None] * sample_rate / fft_size
    rise = (f - edges[:-2]) / (edges[1:-1] - edges[:-2])
    return torch.minimum(rise, (edges[2:] - f) / (edges[2:] - edges[1:-1])).clamp(min=0)


def _normalise(x):
    mean = x.sum(0) / len(x)
    return (x - mean) / (((x - mean) ** 2).sum(0).div(len(x)).sqrt() + 1e-3)


@task(
    "01.normalise",
    "lesson 01b, '1 · Normalization'",
    _normalise,
    lambda g: (3 * normal(g, integer(g, 2, 9), 3) - 5,),
)
def normalise(ask: Examiner):
    x = torch.tensor([[1.0, 10.0], [3.0, 30.0], [5.0, 20.0]], dtype=torch.float64)
    centred = x - x.mean(0)
    ask(x).equals(
        _normalise(x),
        suspects={
            "one mean and one deviation for all cells; each bin has its own": (x - x.mean())
            / (x.std(correction=0) + 1e-3),
            "each frame by itself; each mel bin is wanted: the other axis": _normalise(x.T).T,
            "the means are gone, but nothing is divided by the standard deviation": centred,
            "divided by the variance; by its square root is wanted": centred
            / (x.var(0, correction=0) + 1e-3),
            "the deviation over T - 1; over T is wanted": centred / (x.std(0) + 1e-3),
            "only divided: the mean is not subtracted": x / (x.std(0, correction=0) + 1e-3),
        },
    )
    same = torch.full((3, 2), 7.0, dtype=torch.float64)
    ask(same).equals(torch.zeros(3, 2), "a bin that never changes: the 1e-3 keeps 0 / 0 away")
    plain, shrill = _through_microphones()
    change = float((ask(shrill).value - ask(plain).value).abs().mean())
    if not change <= 0.1:
        raise ask.because(
            f"through the shrill microphone the features change by {change:.2f}; 0.1 is allowed"
        )


@lru_cache
def _through_microphones():
    from asrlib.data.audio import cut_audio
    from asrlib.data.corpora import clips
    from asrlib.signal.augment import color_channel

    cut = next(c for c in clips() if c.id == "audio/digits-1.flac")
    samples = torch.from_numpy(cut_audio(cut))
    shrill = color_channel(samples[None], torch.tensor([[-12.0, 0.0, 6.0, 9.0, 12.0]]))[0]
    return tuple(features.log_mel(x, cut.sampling_rate).double() for x in (samples, shrill))


def _pitch(signal, rate):
    shifts = torch.arange(round(rate / 400), round(rate / 80) + 1)
    match = torch.stack([signal[:-s] @ signal[s:] for s in shifts.tolist()])
    return rate / int(shifts[match.argmax()])


def _worst_pitch(signal, rate):
    shifts = torch.arange(round(rate / 400), round(rate / 80) + 1)
    match = torch.stack([signal[:-s] @ signal[s:] for s in shifts.tolist()])
    return rate / int(shifts[match.argmin()])


def draw_tone(g):
    rate = (8000, 16000)[integer(g, 0, 1)]
    t = torch.arange(rate // 10, dtype=torch.float64) / rate
    hz = number(g, 90, 390)
    tone = sum(number(g, 0.2, 1) * torch.cos(2 * math.pi * k * hz * t + k) for k in (1, 2, 3))
    return tone + 0.01 * normal(g, len(t)), rate


@task("01.pitch", LESSON + "'1 · Sampling'", _pitch, draw_tone)
def pitch(ask: Examiner):
    rate = 8000
    t = torch.arange(600, dtype=torch.float64) / rate
    tone = torch.sin(2 * math.pi * 200 * t) + 0.5 * torch.sin(2 * math.pi * 400 * t)
    ask(tone, rate).equals(
        200.0,
        suspects={
            "the shift in samples; the pitch is rate / shift": 40,
            "the period in seconds; its reciprocal is wanted": 1 / 200,
            "an octave too low: by their mean two periods match as well as one; take the sum": 100.0,
            "an octave too high": 400.0,
            "the shift at which the signal matches itself worst, not best": _worst_pitch(tone, rate),
        },
    )
    low = torch.sin(2 * math.pi * 100 * t) + 0.9 * torch.sin(2 * math.pi * 300 * t + 1)
    ask(low[:200], rate).equals(
        _pitch(low[:200], rate),
        suspects={
            "the spectrum's highest bin: bins are rate / N apart, far too coarse. Shift the signal": rate
            / 200
            * int(torch.fft.rfft(low[:200]).abs()[1:].argmax() + 1),
        },
        because="compare the sums of signal[n] * signal[n + shift] over all whole shifts; do not divide by"
        " the number of products",
    )
    edge = torch.sin(2 * math.pi * 80 * t)
    ask(edge, rate).equals(80.0, "the longest shift, rate / 80, is one of the candidates")
    top = torch.sin(2 * math.pi * 400 * t)
    ask(top[:400], rate).equals(
        _pitch(top[:400], rate), "the shortest shift, rate / 400, is one of the candidates"
    )
    for vowel, rate in _vowels():
        ask(vowel, rate).equals(_pitch(vowel, rate), "a vowel of the course's clips")


@lru_cache
def _vowels():
    """The first long vowel of each clip of digits, and its rate."""
    from asrlib.data.audio import cut_audio
    from asrlib.data.corpora import clips

    found = []
    for cut in clips():
        for phone in cut.supervisions[0].alignment["phone"] if "digits" in cut.id else ():
            if phone.symbol[0] in "aeiouæɑɛɪɔʊʌ" and phone.end - phone.start > 0.08:
                start = int(phone.start * cut.sampling_rate)
                samples = torch.from_numpy(cut_audio(cut))[start : start + cut.sampling_rate // 12]
                found.append((samples.double(), cut.sampling_rate))
                break
    return found
