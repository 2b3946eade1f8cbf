"""Long synthetic recordings in which context must help: a whistled language. Lesson 15.

Its words are whistles of the same length at one of five pitches, ``WORDS`` from the lowest to the highest.
The pitches are those of the whistler: three semitones apart, from a lowest one that nobody knows. A word that
is heard alone can therefore be almost any; which one it is, only the other words tell. (Talkers' ranges
do the same for the level tones of Cantonese: Wong & Diehl 2003.) ``NAMES`` are melodies that are alike at
every pitch. A recording has two of them, its cast; each is introduced once in silence, and from then on noise
covers it.

    scene = draw_scene(draw)                       the whistler, the channel and the room
    script = draw_script(draw, seconds=120.0)      what is whistled
    samples, words = play(script, scene, seed=1)   at 8 kHz

The two factors are drawn apart on purpose: a scene says nothing about which names occur, and a cast nothing
about the whistler. What is heard is not quite apart: a name is centered on the pitch in the middle of its
whistler's range, so a name whose pitches are made out gives the range away as well.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from asrlib.data.manifest import load_folder, save_corpus
from asrlib.errors import InputError

if TYPE_CHECKING:
    from lhotse import CutSet

SAMPLE_RATE = 8000  # Hz
WORDS = ("ka", "ke", "ki", "ko", "ku")
WEIGHTS = (1, 3, 3, 3, 1)  # the outer words, which give the range away, are rare
STEP = 3.0  # semitones between two words
LOWEST = (400.0, 1000.0)  # Hz: the pitch of "ka"
# melodies, in semitones above the pitch in the middle, evenly spaced over the name
NAMES = {
    "ada": (-6, 6),
    "bo": (6, -6),
    "cleo": (-5, 5, -5),
    "dan": (5, -5, 5),
    "eva": (-5, 5, -5, 5),
    "finn": (5, -5, 5, -5),
}
CAST = 2  # names per recording
SNR_DB = (-4.0, 2.0)  # of a name, once it was introduced
# what may come before the words that are tested, see past_and_tail
PASTS = ("intact", "shuffled", "whistler", "names", "masked")

Spans = list[tuple[str, float, float]]


@dataclass(frozen=True)
class Scene:
    """What stays the same throughout a recording.

    ``lowest`` is the whistler's pitch for the first of ``WORDS``, in Hz, and ``tempo`` a factor of speed.
    ``response`` is the channel's gain in dB at evenly spaced frequencies from 0 to 4 kHz. The room's echo
    falls by 60 dB in ``echo`` seconds. ``noise_db`` is the background's level.
    """

    lowest: float
    tempo: float
    response: tuple[float, ...]
    echo: float
    noise_db: float


@dataclass(frozen=True)
class Said:
    """A word or name of a script.

    ``pause`` is the silence before it and ``seconds`` its length, both at tempo 1. ``snr_db`` is the level of
    a name over the noise that covers it; None: no noise.
    """

    word: str
    pause: float
    seconds: float
    snr_db: float | None = None


def draw_scene(draw: random.Random) -> Scene:
    """Draw a whistler, a channel and a room."""
    low, high = LOWEST
    return Scene(
        lowest=low * (high / low) ** draw.random(),
        tempo=draw.uniform(0.9, 1.2),
        response=tuple(draw.gauss(0, 4) for _ in range(6)),
        echo=draw.uniform(0.05, 0.25),
        noise_db=draw.uniform(-60, -45),
    )


def draw_cast(draw: random.Random, without: Sequence[str] = ()) -> list[str]:
    """Draw the names of a recording, none of them in ``without``."""
    return draw.sample([name for name in NAMES if name not in without], CAST)


def draw_script(
    draw: random.Random, seconds: float, cast: Sequence[str] | None = None, introduced: bool = False
) -> list[Said]:
    """Draw a script that lasts at least ``seconds`` at tempo 1.2: a name, three to six words, and so on.

    ``cast`` are the names that occur; None draws ``CAST`` of them. With ``introduced``, noise covers all of
    them.
    """
    cast = draw_cast(draw) if cast is None else cast
    script: list[Said] = []
    known = set(cast) if introduced else set()
    length = 0.0
    while length < 1.2 * seconds:
        name = draw.choice(cast)
        added = [Said(name, draw.uniform(0.3, 0.5), 0.5, draw.uniform(*SNR_DB) if name in known else None)]
        known.add(name)
        for _ in range(draw.randint(3, 6)):
            word = draw.choices(WORDS, WEIGHTS)[0]
            added.append(Said(word, draw.uniform(0.2, 0.4), draw.uniform(0.22, 0.3)))
        script += added
        length += sum(said.pause + said.seconds for said in added)
    return script


def play(
    script: Sequence[Said], scene: Scene, seed: int, seconds: float | None = None
) -> tuple[Float[np.ndarray, " samples"], Spans]:
    """Return the samples of a script, and its words as (word, start, end) in seconds.

    ``seconds`` is the length of the recording, which ends before the first word that does not fit into it;
    None: that of the script. ``seed`` draws the noise.
    """
    noise = np.random.default_rng(seed)
    placed: list[tuple[int, np.ndarray]] = []
    spans: Spans = []
    at = 0.0
    for said in script:
        start = at + said.pause / scene.tempo
        end = start + said.seconds / scene.tempo
        if seconds is not None and end > seconds:
            break
        whistle = _whistle(_pitches(said.word), end - start, scene, noise)
        if said.snr_db is not None:
            whistle += whistle.std() * 10 ** (-said.snr_db / 20) * noise.standard_normal(len(whistle))
        placed.append((round(start * SAMPLE_RATE), whistle))
        spans.append((said.word, round(start, 4), round(end, 4)))
        at = end
    samples = np.zeros(round((at + 0.2 if seconds is None else seconds) * SAMPLE_RATE))
    for first, whistle in placed:
        kept = whistle[: len(samples) - first]
        samples[first : first + len(kept)] += kept
    samples = _through(samples, scene, noise)
    samples += 10 ** (scene.noise_db / 20) * noise.standard_normal(len(samples))
    return np.clip(samples, -1, 1).astype(np.float32), spans


def _pitches(word: str) -> tuple[float, ...]:
    """Return the pitches of a word or name in semitones above the whistler's lowest."""
    if word in NAMES:
        middle = STEP * (len(WORDS) - 1) / 2
        return tuple(middle + pitch for pitch in NAMES[word])
    return (STEP * WORDS.index(word),) * 2


def _whistle(
    pitches: Sequence[float], seconds: float, scene: Scene, noise: np.random.Generator
) -> Float[np.ndarray, " samples"]:
    """Return a whistle that moves through ``pitches``, with soft ends and a little vibrato."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    pitch = np.interp(time, np.linspace(0, seconds, len(pitches)), pitches)
    pitch = pitch + noise.normal(0, 0.2) + 0.2 * np.sin(2 * np.pi * (6 * time + noise.random()))
    phase = 2 * np.pi * np.cumsum(scene.lowest * 2 ** (pitch / 12)) / SAMPLE_RATE
    fade = np.minimum(1, np.minimum(time, time[::-1]) / 0.03)
    return 0.2 * noise.uniform(0.6, 1.2) * fade * np.sin(phase)


def _through(samples: np.ndarray, scene: Scene, noise: np.random.Generator) -> np.ndarray:
    """Send samples through the scene's channel and room."""
    tail = np.arange(round(scene.echo * SAMPLE_RATE)) / SAMPLE_RATE
    room = 0.05 * noise.standard_normal(len(tail)) * 10 ** (-3 * tail / scene.echo)
    room[0] = 1.0
    size = 1 << (len(samples) + len(room) - 2).bit_length()  # other sizes can be ten times slower
    spectrum = np.fft.rfft(samples, size) * np.fft.rfft(room, size)
    grid = np.linspace(0, 1, len(spectrum))
    gain = np.interp(grid, np.linspace(0, 1, len(scene.response)), scene.response)
    return np.fft.irfft(spectrum * 10 ** (gain / 20), size)[: len(samples)]


def past_and_tail(
    number: int, past: str, past_seconds: float, tail_seconds: float
) -> tuple[Float[np.ndarray, " samples"], str, float]:
    """Return test recording ``number`` with a past of choice: samples, the tail's text, and where it begins.

    The tail, the last ``tail_seconds``, is the same for every ``past``, to the sample. ``past`` is one of
    ``PASTS``. ``intact`` belongs to the tail. ``shuffled`` is that in another order; a script is longer than
    ``past_seconds``, so a part of what is heard is other words of the same script. ``whistler`` says the same
    in a new ``Scene``: another range, tempo, channel, room and background. ``names`` is the same whistler's
    with other names and words. ``masked`` is the faint background alone, ``Scene.noise_db``.

    Raises ``InputError`` for another ``past``.
    """
    if past not in PASTS:
        raise InputError(f"past is {past!r}; use one of {', '.join(PASTS)}")
    draw, scene, cast, tail, before, seed = _drawn(number, past_seconds, tail_seconds)
    now, spans = play(tail, scene, seed, tail_seconds)
    if past == "shuffled":
        before = draw.sample(before, len(before))
    elif past == "whistler":
        scene = draw_scene(draw)
    elif past == "names":
        before = draw_script(draw, past_seconds, draw_cast(draw, without=cast))
    elif past == "masked":
        before = []
    then, _ = play(before, scene, seed + 1, past_seconds)
    return np.concatenate([then, now]), " ".join(word for word, *_ in spans), past_seconds


def semitones_apart(number: int, past_seconds: float, tail_seconds: float) -> float:
    """Return how much higher the other whistler of `past_and_tail` is than the tail's, in semitones."""
    draw, scene, *_ = _drawn(number, past_seconds, tail_seconds)
    return 12 * math.log2(draw_scene(draw).lowest / scene.lowest)


def _drawn(
    number: int, past_seconds: float, tail_seconds: float
) -> tuple[random.Random, Scene, list[str], list[Said], list[Said], int]:
    """Draw what all pasts of a test recording share, and return the generator, too."""
    draw = random.Random(f"whistles past {number}")
    scene, cast = draw_scene(draw), draw_cast(draw)
    tail = draw_script(draw, tail_seconds, cast, introduced=True)
    return draw, scene, cast, tail, draw_script(draw, past_seconds, cast), draw.getrandbits(32)


def recordings(split: str, count: int, seconds: float) -> Iterator[tuple]:
    """Yield ``count`` recordings of ``seconds`` each, as `asrlib.data.manifest.save_corpus` takes them.

    No two splits share a whistler. The same arguments give the same recordings.
    """
    for number in range(count):
        draw = random.Random(f"whistles {split} {number}")
        scene, script = draw_scene(draw), draw_script(draw, seconds)
        samples, words = play(script, scene, draw.getrandbits(32), seconds)
        name, text = f"{split}-{number:04d}", " ".join(word for word, *_ in words)
        yield f"audio/{name}.wav", name, split, text, samples, {"word": words}


def write_whistles(folder: Path, train: int, test: int, seconds: float) -> CutSet:
    """Write recordings of two splits into the new ``folder``, and return them all."""
    parts = recordings("train", train, seconds), recordings("test", test, seconds)
    save_corpus(folder, itertools.chain(*parts), SAMPLE_RATE)
    return load_folder(folder)
