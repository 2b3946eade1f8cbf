"""Words of the CMU dictionary that the synthesizer pronounces as the dictionary does. Lesson 14.

espeak-ng has rules of its own for the sound of a word, and guesses badly at many of the dictionary's names. A
recognizer of phones should not learn from a word whose sound and label disagree, so such a word is not drawn.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache

from asrlib.data.espeak import synthesize
from asrlib.text.lexicon import cmu_lexicon, cmu_words

# lengths of the words in letters: longer ones are rare in speech
LETTERS = range(2, 9)
# espeak-ng's phones in the alphabet of the dictionary; a bar separates alternatives. The dictionary itself
# varies between AH and IH in unstressed syllables, and between AA and AO.
_ARPABET = {
    "ɑː": "AA|AO", "ɔ": "AO|AA", "ɔː": "AO|AA", "æ": "AE", "ʌ": "AH", "ə": "AH|IH", "ɐ": "AH|AE",
    "ᵻ": "IH|AH", "ɪ": "IH|AH", "i": "IY", "iː": "IY", "ɛ": "EH", "ɜː": "ER", "ɚ": "ER", "ʊ": "UH",
    "uː": "UW", "eɪ": "EY", "aɪ": "AY", "ɔɪ": "OY", "aʊ": "AW", "oʊ": "OW", "ɑːɹ": "AA R",
    "ɔːɹ": "AO R", "oːɹ": "AO R", "ɛɹ": "EH R", "ɪɹ": "IH|IY R", "ʊɹ": "UH R", "aɪɚ": "AY ER",
    "iə": "IY AH", "əl": "AH L", "n̩": "AH N", "ɾ": "T|D", "ʔ": "T", "tʃ": "CH", "dʒ": "JH", "θ": "TH",
    "ð": "DH", "ʃ": "SH", "ʒ": "ZH", "ŋ": "NG", "ɹ": "R", "j": "Y", "h": "HH", "ɡ": "G", "b": "B",
    "d": "D", "f": "F", "k": "K", "l": "L", "m": "M", "n": "N", "p": "P", "s": "S", "t": "T", "v": "V",
    "w": "W", "z": "Z",
}  # fmt: skip


def dictionary_text(draw: random.Random) -> str:
    """Draw one or two words that espeak-ng (American English) pronounces as the CMU dictionary does first."""
    words = _short_words()
    return " ".join(_draw_word(draw, words) for _ in range(draw.choice([1, 1, 2])))


def agree(spoken: Sequence[str], written: Sequence[str]) -> bool:
    """Return whether phones of espeak-ng (the IPA) are those of a pronunciation in the CMU dictionary."""
    slots = [slot.split("|") for phone in spoken for slot in _ARPABET.get(phone, "?").split()]
    return len(slots) == len(written) and all(w in slot for slot, w in zip(slots, written, strict=True))


def _draw_word(draw: random.Random, words: Sequence[str]) -> str:
    while True:
        word = draw.choice(words)
        spoken = [phone for phone, _, _ in synthesize(word).phones]
        if agree(spoken, cmu_lexicon([word]).pronunciations(word)[0]):
            return word


@lru_cache(maxsize=1)
def _short_words() -> list[str]:
    return sorted(word for word in cmu_words() if len(word) in LETTERS and word.isascii() and word.isalpha())
