"""asrlib.data.voices: accents and timbres."""

import numpy as np

from asrlib.data.espeak import synthesize
from asrlib.data.espeak_library import LOCK, speak
from asrlib.data.grammar import DIGITS
from asrlib.data.voices import ACCENTS, RESPELLED, random_timbre, timbres, voice_file


def test_every_accent_says_the_digits():
    for accent in [*ACCENTS, *RESPELLED]:
        speech = synthesize(" ".join(DIGITS), f"{accent}+r1")
        assert tuple(word for word, *_ in speech.words) == DIGITS, accent
        assert len(speech.phones) > 25, accent


def test_every_named_timbre_speaks_without_clipping():
    assert len(timbres()) == len(set(timbres())) > 60
    assert not {"whisper", "croak", "Demonic"} & set(timbres())
    for timbre in timbres():
        with LOCK:
            raw, _ = speak("one two three", voice_file("en-us", timbre), 160, 50, 50, 0)
        assert 0.01 < np.abs(raw).max() < 0.99, timbre


def test_a_random_timbre_is_the_same_voice_each_time_and_unlike_others():
    assert random_timbre(17) == random_timbre(17) != random_timbre(18)
