"""Synthesize speech offline, with the time of every word and phone.

espeak-ng, an open-source formant synthesizer, renders about 1,000 times faster than real time. While
rendering, it reports *events*: the sample at which each word and each phone begins. Every synthetic utterance
therefore has a perfect alignment, which no recording has. Lessons 01 (waveforms) and 05 (alignments) plot
them.

    synthesize(text, voice, rate, pitch, pitch_range) -> Utterance

``asrlib.data.voices`` lists the voices. Two renderings of the same text differ slightly, because espeak-ng's
noise source and phase keep running; in a new process they start in the same state. Store the samples to use
them again, as the corpora do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from asrlib.data.espeak_library import ESPEAK_RATE, LOCK, WORD, speak
from asrlib.data.voices import spell, split_voice, voice_file
from asrlib.errors import InputError
from asrlib.text.lexicon import Lexicon

SAMPLE_RATE = 16_000  # Hz, the rate of all samples that this module returns


@dataclass(frozen=True)
class Utterance:
    """Mono samples in [-1, 1] with the times, in seconds, of words and phones.

    ``words`` and ``phones`` hold ``(symbol, start, end)`` in order of time. Phones are written in the
    International Phonetic Alphabet without stress marks. There may be pauses between entries. The end of the
    last word is the end of speech.
    """

    samples: Float[np.ndarray, " samples"]
    sample_rate: int  # Hz
    words: list[tuple[str, float, float]]
    phones: list[tuple[str, float, float]]


def synthesize(
    text: str,
    voice: str = "en-us",
    rate: float | int = 160,
    pitch: int = 50,
    pitch_range: int = 50,
    gap: int = 0,
) -> Utterance:
    """Render ``text`` as samples at 16 kHz with word and phone times. Lessons 01 and 05.

    - ``text``: words separated by white space. Punctuation makes a pause and shapes the intonation.
    - ``voice``: ``accent`` or ``accent+timbre``, see ``asrlib.data.voices``.
    - ``rate``: words per minute, 80 to 450.
    - ``pitch``: 0 to 100; 50 is the voice's own pitch.
    - ``pitch_range``: 0 (monotone) to 100.
    - ``gap``: pause between words, 0 to 200, in units of 10 ms at the default rate.

    Samples are scaled to a peak of 0.5. Raises ``InputError`` for an unknown voice, a text without words, a
    value outside its range, or if the espeak-ng library cannot be loaded.
    """
    for name, value, low, high in (
        ("rate", rate, 80, 450),
        ("pitch", pitch, 0, 100),
        ("pitch_range", pitch_range, 0, 100),
        ("gap", gap, 0, 200),
    ):
        if not low <= value <= high:
            raise InputError(f"synthesize: {name}={value} is outside its range of {low} to {high}")
    accent, timbre = split_voice(voice)
    pieces = re.findall(r"[^\s,.;:!?]+|[,.;:!?]+", text)
    words = [piece for piece in pieces if piece[0] not in ",.;:!?"]
    if not words:
        raise InputError(f"synthesize: there is no word in the text {text!r}")

    spelled, spans = spell(pieces, accent)
    with LOCK:
        file = voice_file(accent, timbre)
        raw, events = speak(spelled, file, int(rate), int(pitch), int(pitch_range), int(gap))
    samples = resample_to_16_khz(raw)
    peak = float(np.abs(samples).max(initial=0.0))
    if peak > 0:
        samples *= 0.5 / peak
    word_times, phone_times = event_times(words, spans, events, len(raw) / ESPEAK_RATE)
    return Utterance(samples, SAMPLE_RATE, word_times, phone_times)


def espeak_lexicon(words: Iterable[str], accents: Sequence[str] = ("en-us",)) -> Lexicon:
    """Return the words' pronunciations as espeak-ng has them, in the phones of `Utterance`, without stress.

    A word has one for each of the ``accents`` in which it differs. It also knows words that no dictionary
    has; ``Lexicon.save`` makes a file for ``tokenizer.lexicon`` of it. Lesson 14. Raises ``InputError`` as
    ``synthesize`` does.
    """
    return Lexicon(
        {
            word: [[phone for phone, _, _ in synthesize(word, accent).phones] for accent in accents]
            for word in dict.fromkeys(words)
        }
    )


def event_times(
    words: list[str], spans: list[tuple[int, int]], events: list[tuple[int, int, float, str]], seconds: float
) -> tuple[list[tuple[str, float, float]], list[tuple[str, float, float]]]:
    """Return the words and the phones, as ``(symbol, start, end)`` in seconds, from espeak-ng's events.

    An event is ``(kind, place in the text, seconds, symbol)``. ``spans`` holds each word's first and last
    character in the text. ``seconds`` is the length of the rendering.
    """
    starts: dict[int, float] = {}
    phones: list[list] = []  # [symbol, start, end]; an empty symbol is a pause
    word = None  # the word whose first phone is awaited
    for kind, place, time, symbol in events:
        if kind == WORD:
            index = next((i for i, (first, last) in enumerate(spans) if first <= place <= last), None)
            if index is not None and index not in starts:
                word, starts[index] = index, time
            continue
        start = time
        if word is not None and symbol:
            last = phones[-1] if phones else ["", 0.0, 0.0]
            if last[0] and starts[word] - last[1] < 0.005:
                # the event came one phone too early: in "seven eight", with the n of "seven"
                starts[word] = time
            else:
                # a word begins with the closure of its first stop, which the phone's event does not include
                start = starts[word]
            word = None
        if phones:
            phones[-1][2] = start
        phones.append([symbol, start, seconds])
    pauses = [start for symbol, start, _ in phones if not symbol] + [seconds]
    _share_time(phones)
    phones = [(symbol, start, end) for symbol, start, end in phones if symbol]

    timed = sorted(starts)
    words_out: list[tuple[str, float, float]] = []
    for position, index in enumerate(timed):
        start = starts[index]
        following = timed[position + 1] if position + 1 < len(timed) else len(words)
        latest = starts[following] if following < len(words) else seconds
        end = min([latest] + [pause for pause in pauses if start < pause < latest])
        # words without an event share the time of the word before, in proportion to their letters
        group = words[index if position else 0 : following]
        letters = sum(map(len, group))
        for word in group:
            stop = end if letters == len(word) else start + (end - start) * len(word) / letters
            words_out.append((word, start, stop))
            start, letters = stop, letters - len(word)
    return words_out, phones


def _share_time(phones: list[list]) -> None:
    """Give each phone without a duration the last part of the phone before it, in place.

    espeak-ng renders some vowels together with the l or r that ends the syllable ("whale", "four"), and
    reports that consonant at its end. It gets a third of their common time, at most 60 ms.
    """
    for before, phone in zip(phones, phones[1:], strict=False):
        symbol, start, end = phone
        if symbol and before[0] and end <= start:
            phone[1] = before[2] = end - min(0.06, (end - before[1]) / 3)


def resample_to_16_khz(samples: np.ndarray) -> np.ndarray:
    """Resample from 22,050 to 16,000 Hz through the spectrum, fading out the last 400 Hz below 8 kHz."""
    block = 441 * 16  # 22,050 / 16,000 = 441 / 320
    padded = -(-len(samples) // block) * block
    length = padded * 320 // 441
    spectrum = np.fft.rfft(samples, padded)[: length // 2 + 1]
    frequency = np.linspace(0, SAMPLE_RATE / 2, len(spectrum))
    spectrum *= np.clip((SAMPLE_RATE / 2 - frequency) / 400, 0, 1) * (length / padded)
    return np.fft.irfft(spectrum, length)[: round(len(samples) * 320 / 441)].astype(np.float32)
