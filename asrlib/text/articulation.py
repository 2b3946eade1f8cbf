"""How the phones of the CMU dictionary are made: manner, place and voice. Lesson 14.

Consonants by manner (what the airstream does) and place (where the mouth narrows), vowels by height and by
which part of the tongue is raised; diphthongs by where they begin. After the International Phonetic
Association's chart (Handbook of the IPA, 1999), in the words usual for American English.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from asrlib.errors import InputError
from asrlib.text.lexicon import without_stress


class Articulation(NamedTuple):
    """``manner`` of a consonant or height of a vowel, its ``place``, and whether the voice sounds."""

    manner: str
    place: str
    voiced: bool


# a row per manner, from the closed mouth to the open one; within it from the lips backward
_CONSONANTS = {
    "stop": {"lips": "P B", "gum": "T D", "soft palate": "K G"},
    "affricate": {"behind the gum": "CH JH"},
    "fricative": {
        "lip and teeth": "F V",
        "teeth": "TH DH",
        "gum": "S Z",
        "behind the gum": "SH ZH",
        "throat": "HH -",
    },
    "nasal": {"lips": "- M", "gum": "- N", "soft palate": "- NG"},
    "liquid": {"gum": "- L", "behind the gum": "- R"},
    "glide": {"lips": "- W", "palate": "- Y"},
}
_VOWELS = {
    "close vowel": {"front": "IY IH", "back": "UW UH"},
    "mid vowel": {"front": "EY EH", "center": "ER AH", "back": "OW AO OY"},
    "open vowel": {"front": "AE", "center": "AY AW", "back": "AA"},
}

ARTICULATION: dict[str, Articulation] = {}
for _manner, _places in _CONSONANTS.items():
    for _place, _pair in _places.items():
        for _phone, _voiced in zip(_pair.split(), (False, True), strict=True):
            if _phone != "-":
                ARTICULATION[_phone] = Articulation(_manner, _place, _voiced)
for _manner, _places in _VOWELS.items():
    for _place, _phones in _places.items():
        ARTICULATION |= {_phone: Articulation(_manner, _place, True) for _phone in _phones.split()}


def articulation(phone: str) -> Articulation:
    """Return how a phone is made, with stress or without. Raises ``InputError`` for an unknown one."""
    try:
        return ARTICULATION[without_stress(phone)]
    except KeyError:
        raise InputError(f"{phone!r} is no phone of the CMU dictionary: use one of its 39") from None


def by_manner(phones: Iterable[str]) -> list[str]:
    """Return the phones ordered by manner, then by place: neighbors sound alike."""
    order = {articulation: number for number, articulation in enumerate(ARTICULATION.values())}
    return sorted(set(phones), key=lambda phone: (order[articulation(phone)], phone))
