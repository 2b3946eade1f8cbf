"""Join recordings of words into utterances, over the recordings' own background noise. Lesson 09.

    trim(samples, rate)               a recording reduced to its speech, with the noise around it measured
    cut_closely(samples, rate, draw)  the same, often without the faint sounds at its edges
    background(takes)                 the noise that several recordings share
    join(parts, noise, rate, ...)     one signal of several recordings and pauses, with the words' times
    memory_cut(...)                   the signal as an utterance of a corpus, held in memory

The pauses contain noise like the recordings' own, because digital silence would mark the boundaries.
"""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from asrlib.data.manifest import alignment_items
from asrlib.extras import extra

if TYPE_CHECKING:  # importing lhotse takes seconds, so it happens inside the functions
    import lhotse
    import lhotse.cut


# how closely `cut_closely` cuts: the range of the depth in decibels, how often the margin of 30 ms goes and
# how often more goes, and at most how much, in seconds; what would get shorter than the last is left whole
DEPTHS_DB = (12.0, 40.0)
NO_MARGIN, CUT_SHORT = 0.6, 0.3
LONGEST_CUT, SHORTEST_REST = 0.09, 0.12


@dataclass
class Take:
    """A trimmed recording of one digit: ``samples[before:-after]`` is speech, the rest background."""

    samples: np.ndarray
    before: int  # samples
    after: int  # samples
    noise: np.ndarray  # amplitude spectrum of its quietest tenth, evenly spaced from 0 to rate / 2


def trim(samples: np.ndarray, rate: int, depth_db: float = 40.0) -> Take:
    """Trim a recording to its speech and 30 ms around it; measure the noise in its quietest tenth.

    Speech is what lies within ``depth_db`` decibels of the loudest 10 ms. ``rate`` is in Hz.
    """
    hop = rate // 100
    frames = samples[: len(samples) // hop * hop].reshape(-1, hop)
    if not len(frames):
        return Take(samples, 0, 0, np.zeros(hop // 2 + 1))
    level = np.sqrt((frames**2).mean(axis=1))
    speech = np.flatnonzero(level >= level.max() * 10 ** (-depth_db / 20))
    first, last = speech[0] * hop, min((speech[-1] + 1) * hop, len(samples))
    start, stop = max(0, first - 3 * hop), min(len(samples), last + 3 * hop)
    quiet = frames[np.argsort(level)[: max(1, len(frames) // 10)]]
    noise = np.sqrt((np.abs(np.fft.rfft(quiet, axis=1)) ** 2).mean(axis=0) / hop)
    return Take(samples[start:stop], int(first - start), int(stop - last), noise)


def cut_closely(samples: np.ndarray, rate: int, draw: np.random.Generator) -> Take:
    """Trim a recording as closely as careless people do: "six" may lose its s, and "eight" its t.

    The depth of `trim` is drawn. Either edge may lose its margin and up to 0.09 s more. ``rate`` is in Hz.
    """
    take = trim(samples, rate, float(draw.uniform(*DEPTHS_DB)))
    cuts = []
    for margin in (take.before, take.after):
        cut = margin if draw.random() < NO_MARGIN else 0
        if draw.random() < CUT_SHORT:
            cut += int(draw.uniform(0, LONGEST_CUT) * rate)
        cuts.append(cut)
    first, last = cuts
    if len(take.samples) - first - last < SHORTEST_REST * rate:
        return take
    before, after = max(0, take.before - first), max(0, take.after - last)
    return Take(take.samples[first : len(take.samples) - last], before, after, take.noise)


def background(takes: list[Take]) -> np.ndarray:
    """Return the amplitude spectrum of a speaker's background, from 0 to rate / 2.

    It is the median over the quieter half of the recordings: a closely trimmed one contains only speech.
    """
    loudness = [np.sqrt((take.noise**2).mean()) for take in takes]
    quieter = np.argsort(loudness)[: -(-len(takes) // 2)]
    return np.median([takes[i].noise for i in quieter], axis=0)


def join(
    parts: list[tuple[str, Take]],
    noise: np.ndarray,
    rate: int,
    draw: np.random.Generator,
    waiting: float = 0.0,
) -> tuple[np.ndarray, list]:
    """Join recordings over background noise, each faded in and out within 5 ms.

    Three in four pauses between recordings last 0.05 to 0.4 s, the others 0 s; those at the ends last 0.05 to
    0.3 s. ``waiting`` is the share of pauses, but for the last, that last 1 to 6 s instead.

    Returns the samples, and ``(word, start, end)`` tuples in seconds.
    """
    pauses = np.where(draw.random(len(parts) + 1) < 0.25, 0.0, draw.uniform(0.05, 0.4, len(parts) + 1))
    pauses[[0, -1]] = draw.uniform(0.05, 0.3, 2)
    if waiting:
        long = draw.random(len(parts)) < waiting
        pauses[:-1] = np.where(long, draw.uniform(1.0, 6.0, len(parts)), pauses[:-1])
    gaps = np.round(pauses * rate).astype(int)
    total = int(gaps.sum()) + sum(len(take.samples) for _, take in parts)
    # shape white noise like the recordings' own noise: any other noise would mark the pauses
    padded = (
        1 << (total - 1).bit_length()
    )  # a power of two: transforms of other sizes can be ten times slower
    spectrum = np.fft.rfft(draw.standard_normal(padded))
    grid = np.linspace(0, 1, len(spectrum))
    shape = np.interp(grid, np.linspace(0, 1, len(noise)), noise)
    out = np.fft.irfft(spectrum * np.maximum(shape, 1e-4))[:total].astype(np.float32)
    words, at = [], 0
    for gap, (word, take) in zip(gaps, parts, strict=False):
        at += gap
        length = len(take.samples)
        ramp = np.minimum(1, np.arange(1, length + 1) / (0.005 * rate))
        fade = np.minimum(ramp, ramp[::-1])
        out[at : at + length] = take.samples * fade + out[at : at + length] * (1 - fade)
        words.append((word, (at + take.before) / rate, (at + length - take.after) / rate))
        at += length
    return out, words


def memory_cut(
    key: str,
    samples: np.ndarray,
    rate: int,
    speaker: str,
    text: str,
    words: list[tuple[str, float, float]] | None = None,
) -> "lhotse.cut.MonoCut":
    """Return samples as an utterance that is held in memory. ``words`` are its words with their times."""
    import soundfile

    with extra("train"):
        from lhotse import Recording, SupervisionSegment
        from lhotse.audio import AudioSource

        from asrlib.data.clip import Clip

    buffer = io.BytesIO()
    pcm = np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)
    soundfile.write(buffer, pcm, rate, format="WAV")
    seconds = len(samples) / rate
    recording = Recording(
        id=key,
        sources=[AudioSource("memory", [0], buffer.getvalue())],
        sampling_rate=rate,
        num_samples=len(samples),
        duration=seconds,
    )
    supervision = SupervisionSegment(
        id=key,
        recording_id=key,
        start=0.0,
        duration=seconds,
        text=text,
        speaker=speaker,
        alignment=None if words is None else alignment_items({"word": words}),
    )
    return Clip(
        id=key, start=0.0, duration=seconds, channel=0, supervisions=[supervision], recording=recording
    )
