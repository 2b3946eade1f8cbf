"""asrlib.data.espeak: synthesized speech and its times."""

import threading

import numpy as np
import pytest

from asrlib import InputError
from asrlib.data.espeak import SAMPLE_RATE, event_times, resample_to_16_khz, synthesize
from asrlib.data.grammar import DIGITS


def loudness(samples, start, end):
    part = samples[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
    return float(np.sqrt((part**2).mean()))


def test_words_and_phones_come_in_order_and_tile_the_speech():
    speech = synthesize("seven eight, two zero", "en-us+f3")
    assert speech.sample_rate == 16_000 and speech.samples.dtype == np.float32
    assert np.abs(speech.samples).max() == pytest.approx(0.5, abs=1e-3)
    assert [word for word, *_ in speech.words] == ["seven", "eight", "two", "zero"]
    assert [phone for phone, *_ in speech.phones] == "s ɛ v ə n eɪ t t uː z iə ɹ oʊ".split()
    seconds = len(speech.samples) / speech.sample_rate
    for items in (speech.words, speech.phones):
        times = [time for _, start, end in items for time in (start, end)]
        assert times == sorted(times) and times[0] == 0 and times[-1] <= seconds
        assert all(end - start > 0.02 for _, start, end in items)
    # each phone lies in a word, and the words' edges are phones' edges
    assert {start for _, start, _ in speech.words} <= {start for _, start, _ in speech.phones}
    assert {end for *_, end in speech.words} <= {end for *_, end in speech.phones}


@pytest.mark.parametrize("voice", ["en-us", "en-gb+m3", "en-029+r11", "hi+r3"])
def test_times_agree_with_the_energy(voice):
    speech = synthesize("six one, seven, two", voice, rate=150)
    words, seconds = speech.words, len(speech.samples) / speech.sample_rate
    levels = [loudness(speech.samples, start, end) for _, start, end in words]
    assert min(levels) > 0.02
    pauses = [(words[1][2], words[2][1]), (words[2][2], words[3][1])]
    for start, end in pauses:
        assert end - start > 0.03
        # the last vowel rings on for some milliseconds
        assert loudness(speech.samples, start + 0.02, end) < 0.1 * min(levels)
    assert words[3][2] > seconds - 0.1


def test_a_final_n_belongs_to_its_word():
    """espeak-ng reports the word after it one phone too early."""
    speech = synthesize("seven eight", "en-us")
    (_, _, end), (_, start, _) = speech.words
    n = next(item for item in speech.phones if item[0] == "n")
    assert end == start == n[2] and n[2] - n[1] > 0.03


@pytest.mark.parametrize(
    ("text", "voice", "last"),
    [("the old whale", "en-us", "eɪ l"), ("call", "en-us", "ɔː l"), ("a whale and a wheel", "en-us", "iː l")],
)
def test_a_final_l_is_kept(text, voice, last):
    """espeak-ng reports the l of "whale" where it is over: it would have no time of its own."""
    speech = synthesize(text, voice)
    vowel, final = speech.phones[-2:]
    assert [vowel[0], final[0]] == last.split()
    assert final[1] == vowel[2] and 0.02 < final[2] - final[1] <= 0.0601 and vowel[2] - vowel[1] > 0.05


def test_every_sound_that_espeak_reports_is_in_the_phones(monkeypatch):
    """In every accent, sentences with l and r at the ends of words, digits among them."""
    from asrlib.data import espeak
    from asrlib.data.voices import ACCENTS

    reported = []
    speak = espeak.speak
    monkeypatch.setattr(espeak, "speak", lambda *a: reported.append(speak(*a)) or reported[-1])
    for accent in ACCENTS:
        for text in ("four small whales were near", "a girl fell, for the wheel is full", "zero four"):
            speech = synthesize(text, accent, rate=200)
            _, events = reported.pop()
            assert [phone for phone, *_ in speech.phones] == [e[3] for e in events if e[0] != 1 and e[3]]
            assert all(end > start for _, start, end in speech.phones)


def test_words_that_espeak_would_fuse_have_times_of_their_own():
    speech = synthesize("the light of the car is on the floor", "en-gb")
    assert [word for word, *_ in speech.words] == "the light of the car is on the floor".split()
    assert all(end - start > 0.03 for _, start, end in speech.words)


def test_words_without_an_event_share_the_time_letter_by_letter():
    events = [(1, 1, 0.0, ""), (7, 1, 0.0, "a"), (7, 1, 0.5, "b"), (7, 1, 0.8, "")]
    words, phones = event_times(["ab", "cdef"], [(1, 2), (4, 7)], events, 1.0)
    third = pytest.approx(0.8 / 3)
    assert words == [("ab", 0.0, third), ("cdef", third, 0.8)]
    assert phones == [("a", 0.0, 0.5), ("b", 0.5, 0.8)]


def test_rate_pitch_and_gap_do_what_they_say():
    def seconds(**how):
        return len(synthesize("one two three four", "en-us", **how).samples) / SAMPLE_RATE

    assert seconds(rate=110) > 1.3 * seconds(rate=220)
    assert seconds(gap=10) > seconds() + 0.2

    def pitch(**how):
        samples = synthesize("one", "en-us", pitch_range=0, **how).samples[2000:4000]
        correlation = np.correlate(samples, samples, "full")[len(samples) :]
        return SAMPLE_RATE / (40 + correlation[40:320].argmax() + 1)

    assert pitch(pitch=90) > 1.2 * pitch(pitch=20)


def test_the_resampler_keeps_a_tone_and_removes_what_is_above_8_khz():
    time = np.arange(22_050) / 22_050
    kept = resample_to_16_khz(np.sin(2 * np.pi * 1000 * time).astype(np.float32))
    assert len(kept) == 16_000
    expected = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000)
    np.testing.assert_allclose(kept[200:-200], expected[200:-200], atol=2e-3)
    gone = resample_to_16_khz(np.sin(2 * np.pi * 9000 * time).astype(np.float32))
    assert np.abs(gone[200:-200]).max() < 2e-3


def test_threads_take_turns():
    speech = {}

    def speak(number):
        speech[number] = synthesize(" ".join(DIGITS[: number + 1]), "en-us+f3")

    threads = [threading.Thread(target=speak, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(8):
        assert [word for word, *_ in speech[number].words] == list(DIGITS[: number + 1])


def test_bad_input():
    for arguments, message in (
        (("", "en-us"), "no word in the text"),
        ((" , .", "en-us"), "no word in the text"),
        (("one", "xx"), "unknown accent 'xx'.*known: en-us"),
        (("one", "en-us+nobody"), "unknown timbre 'nobody'"),
        (("one", "en-us+../f3"), "unknown timbre"),
        (("eleven", "de"), "only the ten digit words, not 'eleven'"),
        (("one", "en-us", 20), "rate=20 is outside its range"),
        (("one", "en-us", 160, 120), "pitch=120 is outside"),
        (("one", "en-us", 160, 50, -1), "pitch_range=-1 is outside"),
        (("one", "en-us", 160, 50, 50, 999), "gap=999 is outside"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            synthesize(*arguments)
        assert "\n" not in str(caught.value)
