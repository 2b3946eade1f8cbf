"""Connected digits: utterances joined from isolated digit recordings of a speaker. Lesson 09."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from asrlib.data.audio import cut_audio
from asrlib.data.grammar import DIGITS
from asrlib.data.manifest import alignment_items
from asrlib.errors import InputError
from asrlib.extras import extra

if TYPE_CHECKING:  # importing lhotse takes seconds, so it happens inside the functions
    import lhotse
    import lhotse.cut


def connected_digits(
    corpus: "lhotse.CutSet", speakers: Sequence[str] | None = None, n: int = 1000, seed: int = 0
) -> "lhotse.CutSet":
    """Join isolated digit recordings into ``n`` utterances of 1 to 7 digits, each by one speaker. Lesson 09.

    Only those cuts of ``corpus`` whose text is a single digit word are used. ``speakers`` take turns; None
    means all speakers. Recordings are trimmed to their speech. Three in four pauses between digits last 0.05
    to 0.4 s, the others 0 s. Pauses contain the recordings' own noise, because digital silence would mark the
    boundaries.

    The audio is held in memory at the recordings' sample rate. ``alignment["word"]`` holds the words' times
    in seconds. The same arguments give the same utterances.

    Raises ``InputError`` for an unknown speaker, a speaker without a digit recording, mixed sample rates, or
    ``n`` below 1.
    """
    with extra("train"):
        from lhotse import CutSet

    if n < 1:
        raise InputError(f"connected_digits: n is {n}; it must be at least 1")
    takes = _digit_recordings(corpus, speakers)
    chosen = list(takes) if speakers is None else list(speakers)
    rate = _common_rate([cut for words in takes.values() for cuts in words.values() for cut in cuts])
    draw = np.random.default_rng(seed)
    trimmed = {
        speaker: {
            word: [_trim(cut_audio(cut), rate) for cut in recordings]
            for word, recordings in takes[speaker].items()
        }
        for speaker in dict.fromkeys(chosen[:n])
    }
    noise = {  # from all of a speaker's recordings, which share a background
        speaker: _background([take for some in words.values() for take in some])
        for speaker, words in trimmed.items()
    }
    cuts = []
    for index in range(n):
        speaker = chosen[index % len(chosen)]
        recordings = trimmed[speaker]
        known = [digit for digit in DIGITS if digit in recordings]
        parts = []
        for word in draw.choice(known, size=draw.integers(1, 8)):
            parts.append((str(word), recordings[word][draw.integers(len(recordings[word]))]))
        samples, words = _string(parts, noise[speaker], rate, draw)
        cuts.append(_memory_cut(f"connected-{seed}-{index:05d}-{speaker}", samples, rate, speaker, words))
    return CutSet.from_cuts(cuts).to_eager()


def _digit_recordings(corpus: "lhotse.CutSet", speakers: Sequence[str] | None) -> dict[str, dict[str, list]]:
    """Return the cuts of one digit word, by speaker and word. ``speakers`` None: all, sorted."""
    takes: dict[str, dict[str, list]] = {}
    everyone = set()
    for cut in corpus:
        supervision = cut.supervisions[0]
        everyone.add(str(supervision.speaker))
        word = supervision.text.strip().lower()
        if word in DIGITS:
            takes.setdefault(str(supervision.speaker), {}).setdefault(word, []).append(cut)
    chosen = sorted(takes) if speakers is None else list(speakers)
    if not chosen:
        raise InputError("connected_digits: no cut of the corpus is a single digit word (zero to nine)")
    for speaker in chosen:
        if speaker not in everyone:
            raise InputError(
                f"connected_digits: unknown speaker {speaker!r}; "
                f"the corpus has {', '.join(sorted(everyone)[:20])}"
            )
        if speaker not in takes:
            raise InputError(f"connected_digits: speaker {speaker!r} has no recording of a single digit word")
    return {speaker: takes[speaker] for speaker in chosen}


def _common_rate(cuts: list) -> int:
    rates = {cut.sampling_rate for cut in cuts}
    if len(rates) > 1:
        raise InputError(
            f"connected_digits: the recordings have several sample rates, {sorted(rates)} Hz; "
            "resample them to one (CutSet.resample)"
        )
    return rates.pop()


@dataclass
class _Take:
    """A trimmed recording of one digit: ``samples[before:-after]`` is speech, the rest background."""

    samples: np.ndarray
    before: int  # samples
    after: int  # samples
    noise: np.ndarray  # amplitude spectrum of its quietest tenth, evenly spaced from 0 to rate / 2


def _trim(samples: np.ndarray, rate: int) -> _Take:
    """Trim a recording to its speech and 30 ms around it; measure the noise in its quietest tenth."""
    hop = rate // 100
    frames = samples[: len(samples) // hop * hop].reshape(-1, hop)
    if not len(frames):
        return _Take(samples, 0, 0, np.zeros(hop // 2 + 1))
    level = np.sqrt((frames**2).mean(axis=1))
    speech = np.flatnonzero(level >= level.max() / 100)  # within 40 dB of the loudest 10 ms
    first, last = speech[0] * hop, min((speech[-1] + 1) * hop, len(samples))
    start, stop = max(0, first - 3 * hop), min(len(samples), last + 3 * hop)
    quiet = frames[np.argsort(level)[: max(1, len(frames) // 10)]]
    noise = np.sqrt((np.abs(np.fft.rfft(quiet, axis=1)) ** 2).mean(axis=0) / hop)
    return _Take(samples[start:stop], int(first - start), int(stop - last), noise)


def _background(takes: list[_Take]) -> np.ndarray:
    """Return the amplitude spectrum of a speaker's background, from 0 to rate / 2.

    It is the median over the quieter half of the recordings: a closely trimmed one contains only speech.
    """
    loudness = [np.sqrt((take.noise**2).mean()) for take in takes]
    quieter = np.argsort(loudness)[: -(-len(takes) // 2)]
    return np.median([takes[i].noise for i in quieter], axis=0)


def _string(
    parts: list[tuple[str, _Take]], noise: np.ndarray, rate: int, draw: np.random.Generator
) -> tuple[np.ndarray, list]:
    """Join recordings over background noise, each faded in and out within 5 ms.

    Returns the samples, and ``(word, start, end)`` tuples in seconds.
    """
    pauses = np.where(draw.random(len(parts) + 1) < 0.25, 0.0, draw.uniform(0.05, 0.4, len(parts) + 1))
    pauses[[0, -1]] = draw.uniform(0.05, 0.3, 2)
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


def _memory_cut(key: str, samples: np.ndarray, rate: int, speaker: str, words: list) -> "lhotse.cut.MonoCut":
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
        text=" ".join(word for word, *_ in words),
        speaker=speaker,
        alignment=alignment_items({"word": words}),
    )
    return Clip(
        id=key, start=0.0, duration=seconds, channel=0, supervisions=[supervision], recording=recording
    )
