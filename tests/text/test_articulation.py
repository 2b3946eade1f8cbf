"""How phones are made."""

import pytest

from asrlib.errors import InputError
from asrlib.text.articulation import ARTICULATION, Articulation, articulation, by_manner
from asrlib.text.lexicon import ARPABET, VOWELS


def test_every_phone_of_the_dictionary_has_an_articulation():
    assert set(ARTICULATION) == set(ARPABET)


def test_vowels_and_only_they_have_a_height():
    assert {phone for phone, made in ARTICULATION.items() if made.manner.endswith("vowel")} == set(VOWELS)


@pytest.mark.parametrize("voiceless, voiced", ["PB", "TD", "KG", "SZ", "FV", ("TH", "DH"), ("CH", "JH")])
def test_pairs_differ_in_voice_alone(voiceless, voiced):
    one, other = articulation(voiceless), articulation(voiced)
    assert one[:2] == other[:2]
    assert (one.voiced, other.voiced) == (False, True)


def test_stress_does_not_matter():
    assert articulation("EY1") == articulation("EY") == Articulation("mid vowel", "front", True)


def test_an_unknown_phone_is_named():
    with pytest.raises(InputError, match="'Q' is no phone of the CMU dictionary"):
        articulation("Q")


def test_neighbors_sound_alike():
    assert by_manner(["IY", "Z", "M", "P", "S", "B", "P"]) == ["P", "B", "S", "Z", "M", "IY"]


def test_the_order_is_total():
    assert by_manner(reversed(ARPABET)) == by_manner(ARPABET)
    assert len(by_manner(ARPABET)) == 39
