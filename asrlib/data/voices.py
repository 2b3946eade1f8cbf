"""Voices of the synthesizer: accents, timbres, and randomly drawn speakers. Lesson 03.

A *voice* is written ``accent+timbre``. The accent, one of ``ACCENTS`` or ``RESPELLED``, determines the phones
of a word. The timbre is the speaker. It is either a name that ships with espeak-ng (``f3``, ``klatt4``,
``Andrea``; see ``timbres()``), or ``r`` and a number (``r17``). The number is the seed of a random speaker
with a vocal-tract length, pitch and formants of their own.

    timbres()                    the named timbres
    voice_file(accent, timbre)   the file from which espeak-ng reads a voice
    spell(pieces, accent)        a text in the spelling given to espeak-ng
"""

from __future__ import annotations

import os
import random
import re
from functools import lru_cache

from asrlib.data.espeak_library import data_folder, scratch_folder
from asrlib.data.grammar import DIGITS
from asrlib.errors import InputError

# accent -> espeak-ng's file that describes it
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

# Foreign accents: English digits are respelled so that the rules of another language read them as a learner
# would pronounce them. These accents have these ten words only.
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

# timbres that do not sound like a person, or that double another one
_NOVELTY = {
    "whisper", "whisperf", "croak", "Demonic", "UniRobot", "anikaRobot", "AnxiousAndy", "fast",
    "RicishayMax3", "robosoft", "robosoft2", "robosoft3", "robosoft4", "robosoft5",
    "robosoft6", "robosoft7", "robosoft8",
    "klatt", "klatt2", "Alicia",
}  # fmt: skip


@lru_cache(maxsize=1)
def timbres() -> tuple[str, ...]:
    """Return the names of espeak-ng's own timbres that sound like a person, in alphabetical order."""
    folder = data_folder() / "voices" / "!v"
    names = sorted(path.name for path in folder.iterdir() if path.name not in _NOVELTY)
    return tuple(name for name in names if re.fullmatch(r"\w+", name))


def split_voice(voice: str) -> tuple[str, str]:
    """Split a voice into accent and timbre. Raises ``InputError`` if either is unknown."""
    accent, _, timbre = voice.partition("+")
    if accent not in ACCENTS and accent not in RESPELLED:
        known = ", ".join([*ACCENTS, *RESPELLED])
        raise InputError(f"unknown accent {accent!r} in voice {voice!r}; known: {known}")
    if timbre and not re.fullmatch(r"r\d+", timbre) and timbre not in timbres():
        raise InputError(
            f"unknown timbre {timbre!r} in voice {voice!r}; use r and a number, or one of timbres() in "
            "asrlib.data.voices"
        )
    return accent, timbre


@lru_cache(maxsize=4096)
def voice_file(accent: str, timbre: str) -> bytes:
    """Write the descriptions of accent and timbre into one file; return its path.

    espeak-ng finds separate timbre files only in its own data folder, which may be read-only.
    """
    data = data_folder()
    language = ACCENTS[accent] if accent in ACCENTS else RESPELLED[accent][0]
    description = (data / "lang" / language).read_text(encoding="utf-8")
    if re.fullmatch(r"r\d+", timbre):
        description += random_timbre(int(timbre[1:]))
    elif timbre:
        lines = (data / "voices" / "!v" / timbre).read_text(encoding="utf-8").splitlines()
        own = (line for line in lines if line.split()[:1] not in (["language"], ["name"]))
        description += "\n".join(["", *own])
    # espeak-ng reads the name in lower case and cuts it at a plus sign
    path = scratch_folder() / f"{accent}_{timbre}".lower()
    path.write_text(description + "\n", encoding="utf-8")
    return os.fsencode(path)


def random_timbre(number: int) -> str:
    """Return the description of a random speaker, in espeak-ng's format; ``number`` is the seed.

    A shorter vocal tract raises all formants together (highest for children, then women, then men) and comes
    with a higher pitch. Single formants, spectral tilt, jitter, breath and a little room vary independently.
    """
    draw = random.Random(number)
    who = draw.choices(["man", "woman", "child"], weights=[45, 40, 15])[0]
    tract, pitch = {
        "man": (draw.uniform(0.90, 1.06), draw.uniform(72, 140)),
        "woman": (draw.uniform(1.07, 1.22), draw.uniform(145, 235)),
        "child": (draw.uniform(1.18, 1.34), draw.uniform(200, 300)),
    }[who]
    tilt = draw.uniform(-6, 5)  # percent of height per formant
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


def spell(pieces: list[str], accent: str) -> tuple[str, list[tuple[int, int]]]:
    """Return the text given to espeak-ng, and each word's first and last character in it, counted from 1.

    ``pieces`` are words and punctuation. Raises ``InputError`` for a word that a foreign accent does not
    have.
    """
    respelled = dict(zip(DIGITS, RESPELLED[accent][1].split(), strict=True)) if accent in RESPELLED else {}
    spelled, spans = "", []
    for piece in pieces:
        if piece[0] in ",.;:!?":
            spelled = spelled.rstrip(" ") + piece[0] + " "
            continue
        word = piece
        if accent in RESPELLED:
            if piece.lower() not in respelled:
                raise InputError(f"the accent {accent!r} has only the ten digit words, not {piece!r}")
            word = respelled[piece.lower()]
        spans.append((len(spelled) + 1, len(spelled) + len(word)))
        # the zero-width space keeps espeak-ng from fusing pairs such as "of the" into one word event
        spelled += word + "\u200b "
    return spelled, spans
