"""Speech synthesised offline, with the time of every word and phone.

espeak-ng, an open-source formant synthesiser, comes as a wheel of its own (``espeakng_loader``) and is
driven here through ctypes, about 1,000 times faster than real time. While it fills the buffer it reports
*events*: at which sample each word and each phone begins. So every synthetic utterance carries a perfect
alignment, which no recording has. Lessons 01 (waveforms) and 05 (alignments) draw them.

    synthesise(text, voice, rate, pitch, pitch_range) -> Utterance
    voices()                                          -> the named voices

A *voice* is written ``accent+timbre``. The accent is one of ``ACCENTS``: it decides which phones a word is
made of. The timbre decides whose throat says them: a name that espeak-ng ships (``f3``, ``klatt4``,
``Andrea``; listed by ``timbres()``), or ``r`` and a number (``r17``): a speaker drawn at random from the
number, with a vocal-tract length, a pitch and formants of their own; there is no end of these.

espeak-ng keeps its state in C globals, so it is not thread-safe: a lock lets one thread in at a time.
Two renderings of the same text differ by a few samples (its noise and its phase run on), so whoever needs
the same samples twice stores them, as ``corpus`` does.
"""

from __future__ import annotations

import ctypes
import os
import random
import re
import tempfile
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from asrlib.errors import InputError

SAMPLE_RATE = 16_000  # Hz, of everything this module returns

# accent -> the file of espeak-ng that describes it
ACCENTS = {
    "en-us": "gmw/en-US",
    "en-us-nyc": "gmw/en-US-nyc",
    "en-gb": "gmw/en",
    "en-gb-x-rp": "gmw/en-GB-x-rp",
    "en-gb-scotland": "gmw/en-GB-scotland",
    "en-gb-x-gbclan": "gmw/en-GB-x-gbclan",
    "en-gb-x-gbcwmd": "gmw/en-GB-x-gbcwmd",
    "en-029": "gmw/en-029",
}

# Foreign accents: the rules of another language read English digits that are respelled for it, as a
# learner would say them. They know these ten words and no others.
RESPELLED = {
    "de": ("gmw/de", "siro wann tuh sri fohr faif siks sewwen äit nain"),
    "nl": ("gmw/nl", "ziero wan toe srie foor faif siks sevven eet nain"),
    "sv": ("gmq/sv", "sirå vann to tri får fajv sicks sevven ejt najn"),
    "fr": ("roa/fr", "ziro ouane tou sri fore faillve sixe sévène éïte naillne"),
    "es": ("roa/es", "sirou uan tu tri for faif siks seven eit nain"),
    "it": ("roa/it", "ziro uan tu tri for faiv siks seven eit nain"),
    "pt": ("roa/pt", "zirou uane tu sri fór faive sics séven êite naine"),
    "pl": ("zlw/pl", "ziroł łan tu sri for fajw syks sewen ejt najn"),
    "ru": ("zle/ru", "зиро ван ту сри фор файв сикс сэвэн эйт найн"),
    "hi": ("inc/hi", "ज़ीरो वन टू थ्री फ़ोर फ़ाइव सिक्स सेवन एट नाइन"),
    "tr": ("trk/tr", "ziro van tu tri for fayv siks sevın eyt nayn"),
    "id": ("poz/id", "ziro wan tu tri for faif siks seven eit nain"),
}
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

# Timbres that no listener would take for a person, or that double another one.
_NOVELTY = {
    "whisper", "whisperf", "croak", "Demonic", "UniRobot", "anikaRobot", "AnxiousAndy", "fast",
    "RicishayMax3", "robosoft", "robosoft2", "robosoft3", "robosoft4", "robosoft5",
    "robosoft6", "robosoft7", "robosoft8",
    "klatt", "klatt2", "Alicia",
}  # fmt: skip


@dataclass(frozen=True)
class Utterance:
    """Mono samples in [-1, 1] with the times, in seconds, of what is said.

    ``words`` and ``phones`` hold ``(symbol, start, end)`` in order of time. Phones are written in the
    International Phonetic Alphabet without stress marks. Between two entries there may be a pause; the end
    of the last word is the end of speech.
    """

    samples: Float[np.ndarray, " samples"]
    sample_rate: int  # Hz
    words: list[tuple[str, float, float]]
    phones: list[tuple[str, float, float]]


def synthesise(
    text: str,
    voice: str = "en-us",
    rate: float | int = 160,
    pitch: int = 50,
    pitch_range: int = 50,
    gap: int = 0,
) -> Utterance:
    """Say ``text`` and return 16 kHz samples with word and phone times (lessons 01, 05).

    text: words between white space; a comma or full stop makes a pause and bends the melody.
    voice: ``accent`` or ``accent+timbre``, see the module's docstring.
    rate: words a minute, 80 to 450. pitch: 0 to 100 (50 is the voice's own).
    pitch_range: 0 (monotone) to 100. gap: pause between words, in units of 10 ms at the default rate.
    Raises InputError for an unknown voice, an empty text, a value outside its range, or when the
    espeak-ng library cannot be loaded.
    """
    for name, value, low, high in (
        ("rate", rate, 80, 450),
        ("pitch", pitch, 0, 100),
        ("pitch_range", pitch_range, 0, 100),
        ("gap", gap, 0, 200),
    ):
        if not low <= value <= high:
            raise InputError(f"synthesise: {name}={value} is outside its range of {low} to {high}")
    accent, timbre = _split_voice(voice)
    pieces = re.findall(r"[^\s,.;:!?]+|[,.;:!?]+", text)
    words = [piece for piece in pieces if piece[0] not in ",.;:!?"]
    if not words:
        raise InputError(f"synthesise: there is no word in the text {text!r}")

    spoken, spans = _spell(pieces, accent)
    with _lock:
        raw, events = _speak(spoken, accent, timbre, (int(rate), int(pitch), int(pitch_range), int(gap)))
    samples = _resample(raw)
    peak = float(np.abs(samples).max(initial=0.0))
    if peak > 0:
        samples *= 0.5 / peak
    word_times, phone_times = _times(words, spans, events, len(raw) / _ESPEAK_RATE)
    return Utterance(samples, SAMPLE_RATE, word_times, phone_times)


def voices() -> list[str]:
    """The named English voices, ``accent+timbre``, in a fixed order, without the random ones."""
    return [f"{accent}+{timbre}" for accent in ACCENTS for timbre in timbres()]


@lru_cache(maxsize=1)
def timbres() -> tuple[str, ...]:
    """Names of espeak-ng's own timbres that sound like a person, in alphabetical order."""
    folder = _data_folder() / "voices" / "!v"
    names = sorted(path.name for path in folder.iterdir() if path.name not in _NOVELTY)
    return tuple(name for name in names if re.fullmatch(r"\w+", name))


# -------------------------------------------------------------------------------- voices


def _split_voice(voice: str) -> tuple[str, str]:
    accent, _, timbre = voice.partition("+")
    if accent not in ACCENTS and accent not in RESPELLED:
        known = ", ".join([*ACCENTS, *RESPELLED])
        raise InputError(f"unknown accent {accent!r} in voice {voice!r}; known: {known}")
    if timbre and not re.fullmatch(r"r\d+", timbre) and timbre not in timbres():
        raise InputError(
            f"unknown timbre {timbre!r} in voice {voice!r}; use one of synth.timbres() or r and a number"
        )
    return accent, timbre


@lru_cache(maxsize=4096)
def _voice_file(accent: str, timbre: str) -> bytes:
    """Write the accent's description followed by the timbre's into one file; espeak-ng reads it by path.

    One file, because espeak-ng finds timbres only inside its own data folder, which is not ours to write to.
    """
    data = _data_folder()
    language = ACCENTS[accent] if accent in ACCENTS else RESPELLED[accent][0]
    description = (data / "lang" / language).read_text(encoding="utf-8")
    if re.fullmatch(r"r\d+", timbre):
        description += _random_timbre(int(timbre[1:]))
    elif timbre:
        lines = (data / "voices" / "!v" / timbre).read_text(encoding="utf-8").splitlines()
        own = (line for line in lines if line.split()[:1] not in (["language"], ["name"]))
        description += "\n".join(["", *own])
    # espeak-ng reads the name in lower case and cuts it at a plus sign
    path = _scratch() / f"{accent}_{timbre}".lower()
    path.write_text(description + "\n", encoding="utf-8")
    return os.fsencode(path)


def _random_timbre(number: int) -> str:
    """A speaker of its own: the same number is always the same throat.

    A shorter vocal tract raises all formants together (children over women over men) and goes with a higher
    pitch; the rest is individual: single formants, spectral tilt, jitter, breath, a little room.
    """
    draw = random.Random(number)
    who = draw.choices(["man", "woman", "child"], weights=[45, 40, 15])[0]
    tract, pitch = {
        "man": (draw.uniform(0.90, 1.06), draw.uniform(72, 140)),
        "woman": (draw.uniform(1.07, 1.22), draw.uniform(145, 235)),
        "child": (draw.uniform(1.18, 1.34), draw.uniform(200, 300)),
    }[who]
    tilt = draw.uniform(-6, 5)  # per cent of height a formant
    lines = [f"pitch {pitch:.0f} {pitch * draw.uniform(1.15, 1.6):.0f}"]
    for n in range(9):
        frequency = 100 * tract * draw.gauss(1, 0.025)
        height = 100 + tilt * n + draw.gauss(0, 7)
        lines.append(f"formant {n} {frequency:.0f} {max(height, 30):.0f} {draw.uniform(75, 140):.0f}")
    level = draw.uniform(-14, 10)
    tone = " ".join(f"{hz} {150 + level * i:.0f}" for i, hz in enumerate((100, 600, 1200, 2000, 3000)))
    lines.append(f"tone {tone}")
    lines.append(f"flutter {draw.randint(0, 8)}")
    lines.append(f"roughness {draw.randint(0, 3)}")
    lines.append(f"voicing {draw.randint(80, 120)}")
    lines.append(f"consonants {draw.randint(70, 130)} {draw.randint(70, 130)}")
    if draw.random() < 0.3:
        lines.append("breath 0 " + " ".join(str(draw.randint(0, 4)) for _ in range(7)))
    if draw.random() < 0.3:
        lines.append(f"echo {draw.randint(20, 120)} {draw.randint(4, 12)}")
    return "\n" + "\n".join(lines)


def _spell(pieces: list[str], accent: str) -> tuple[str, list[tuple[int, int]]]:
    """The text given to espeak-ng and each word's place in it (characters, counted from 1 as it does)."""
    respelled = dict(zip(DIGITS, RESPELLED[accent][1].split(), strict=True)) if accent in RESPELLED else {}
    spoken, spans = "", []
    for piece in pieces:
        if piece[0] in ",.;:!?":
            spoken = spoken.rstrip(" ") + piece[0] + " "
            continue
        word = piece
        if accent in RESPELLED:
            if piece.lower() not in respelled:
                raise InputError(f"the accent {accent!r} knows the ten digit words only, not {piece!r}")
            word = respelled[piece.lower()]
        spans.append((len(spoken) + 1, len(spoken) + len(word)))
        # the zero-width space keeps espeak-ng from fusing pairs such as "of the" into one word event
        spoken += word + "\u200b "
    return spoken, spans


# -------------------------------------------------------------------------------- times


def _times(words, spans, events, seconds):
    """Words and phones with start and end from espeak-ng's events (kind, place in text, time, symbol)."""
    starts: dict[int, float] = {}
    phones: list[list] = []  # [symbol, start, end]; an empty symbol is a pause
    word = None  # the word whose first phone is awaited
    for kind, place, time, symbol in events:
        if kind == _WORD:
            index = next((i for i, (first, last) in enumerate(spans) if first <= place <= last), None)
            if index is not None and index not in starts:
                word, starts[index] = index, time
            continue
        start = time
        if word is not None and symbol:
            last = phones[-1] if phones else ["", 0.0, 0.0]
            if last[0] and starts[word] - last[1] < 0.005:
                # "seven eight": the word event came with the final n, too early by that phone
                starts[word] = time
            else:
                # a word begins with the closure of its first stop, which the phone event leaves out
                start = starts[word]
            word = None
        if phones:
            phones[-1][2] = start
        phones.append([symbol, start, seconds])
    pauses = [start for symbol, start, _ in phones if not symbol] + [seconds]
    phones = [(symbol, start, end) for symbol, start, end in phones if symbol and end > start]

    heard = sorted(starts)
    words_out: list[tuple[str, float, float]] = []
    for position, index in enumerate(heard):
        start = starts[index]
        following = heard[position + 1] if position + 1 < len(heard) else len(words)
        latest = starts[following] if following < len(words) else seconds
        end = min([latest] + [pause for pause in pauses if start < pause < latest])
        # words without an event of their own share the time of the one before, letter by letter
        group = words[index if position else 0 : following]
        letters = sum(map(len, group))
        for word in group:
            stop = end if letters == len(word) else start + (end - start) * len(word) / letters
            words_out.append((word, start, stop))
            start, letters = stop, letters - len(word)
    return words_out, phones


def _resample(samples: np.ndarray) -> np.ndarray:
    """22,050 to 16,000 Hz through the spectrum: keep what is below 8 kHz, fading the last 400 Hz out."""
    block = 441 * 16  # 22,050 / 16,000 = 441 / 320
    padded = -(-len(samples) // block) * block
    length = padded * 320 // 441
    spectrum = np.fft.rfft(samples, padded)[: length // 2 + 1]
    frequency = np.linspace(0, SAMPLE_RATE / 2, len(spectrum))
    spectrum *= np.clip((SAMPLE_RATE / 2 - frequency) / 400, 0, 1) * (length / padded)
    return np.fft.irfft(spectrum, length)[: round(len(samples) * 320 / 441)].astype(np.float32)


# -------------------------------------------------------------------------------- espeak-ng

_ESPEAK_RATE = 22_050  # Hz; espeak_Initialize returns it
_WORD, _PHONEME = 1, 7  # espeak_EVENT_TYPE
_lock = threading.Lock()


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@lru_cache(maxsize=1)
def _scratch_holder() -> tempfile.TemporaryDirectory:
    for parent in (None, "/tmp", "/var/tmp", "/dev/shm"):
        try:
            folder = tempfile.TemporaryDirectory(prefix="asrlib-voices-", dir=parent)
        except OSError:
            continue
        # espeak-ng turns a voice's path into lower case and has room for some 160 characters
        if os.path.isdir(folder.name.lower()) and len(folder.name) < 120:
            return folder
        folder.cleanup()
    raise InputError("espeak-ng needs a writable folder with a short lower-case path; set TMPDIR to one")


def _scratch() -> Path:
    return Path(_scratch_holder().name)


@lru_cache(maxsize=1)
def _data_folder() -> Path:
    try:
        import espeakng_loader

        return Path(espeakng_loader.get_data_path())
    except (ImportError, RuntimeError, OSError) as error:
        raise InputError(
            f"speech synthesis needs the espeak-ng library ({error}); "
            "install it with: pip install espeakng-loader"
        ) from None


class _Engine:
    """The one espeak-ng of this process. Its callback fills two lists while espeak_Synth runs."""

    def __init__(self):
        data = _data_folder()
        # espeak-ng keeps this path in a buffer of 160 characters
        if len(os.fsencode(data)) > 120:
            link = _scratch() / "data"
            link.symlink_to(data)
            data = link
        import espeakng_loader

        path = espeakng_loader.get_library_path()
        try:
            self.library = ctypes.CDLL(path)
        except OSError as error:
            raise InputError(
                f"{path}: the espeak-ng library cannot be loaded ({error}); reinstall it with: "
                "pip install --force-reinstall espeakng-loader"
            ) from None
        # 2: no sound device, return when done. Options: phone events, in IPA, and never exit() the process.
        rate = self.library.espeak_Initialize(2, 0, os.fsencode(data), 0b11 | 1 << 15)
        if rate != _ESPEAK_RATE:
            raise InputError(
                f"{data}: espeak-ng does not start from this folder; reinstall it with: "
                "pip install --force-reinstall espeakng-loader"
            )
        self.chunks: list[np.ndarray] = []
        self.events: list[tuple[int, int, float, str]] = []
        self._callback = _Callback(self._collect)  # kept: C holds only a pointer to it
        self.library.espeak_SetSynthCallback(self._callback)

    def _collect(self, wave, count, event):
        if count > 0:
            self.chunks.append(np.ctypeslib.as_array(wave, (count,)).astype(np.float32) / 32768)
        index = 0
        while event[index].type:
            e = event[index]
            if e.type in (_WORD, _PHONEME):
                symbol = bytes(e.id.string).decode("utf-8", "ignore") if e.type == _PHONEME else ""
                symbol = symbol.strip("ˈˌ\u200d ")  # stress is no phone of its own
                self.events.append((e.type, e.text_position, e.sample / _ESPEAK_RATE, symbol))
            index += 1
        return 0


@lru_cache(maxsize=1)
def _engine() -> _Engine:
    return _Engine()


def _speak(text: str, accent: str, timbre: str, parameters: tuple[int, int, int, int]):
    engine = _engine()
    engine.chunks.clear()
    engine.events.clear()
    if engine.library.espeak_SetVoiceByFile(_voice_file(accent, timbre)) != 0:
        raise InputError(f"espeak-ng cannot use the voice {accent}+{timbre}; use another one")
    rate, pitch, pitch_range, gap = parameters
    # 1 rate, 2 volume (25 of 100: several timbres clip at 40), 3 pitch, 4 range, 7 word gap
    for number, value in ((1, rate), (2, 25), (3, pitch), (4, pitch_range), (7, gap)):
        engine.library.espeak_SetParameter(number, value, 0)
    encoded = text.encode("utf-8")
    status = engine.library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded) + 1), 0, 1, 0, 1, None, None)
    if status != 0 or not engine.chunks:
        raise InputError(f"espeak-ng returned no speech for the text {text!r}")
    return np.concatenate(engine.chunks), list(engine.events)
