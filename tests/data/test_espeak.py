"""asrlib.data.espeak: synthesised speech and its times."""

import re
import subprocess
import sys
import threading

import numpy as np
import pytest

from asrlib import InputError
from asrlib.data import espeak
from asrlib.data.espeak import ACCENTS, DIGITS, RESPELLED, SAMPLE_RATE, synthesise


def loudness(samples, start, end):
    part = samples[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
    return float(np.sqrt((part**2).mean()))


def test_words_and_phones_come_in_order_and_tile_the_speech():
    said = synthesise("seven eight, two zero", "en-us+f3")
    assert said.sample_rate == 16_000 and said.samples.dtype == np.float32
    assert np.abs(said.samples).max() == pytest.approx(0.5, abs=1e-3)
    assert [word for word, *_ in said.words] == ["seven", "eight", "two", "zero"]
    assert [phone for phone, *_ in said.phones] == "s ɛ v ə n eɪ t t uː z iə ɹ oʊ".split()
    seconds = len(said.samples) / said.sample_rate
    for items in (said.words, said.phones):
        times = [time for _, start, end in items for time in (start, end)]
        assert times == sorted(times) and times[0] == 0 and times[-1] <= seconds
        assert all(end - start > 0.02 for _, start, end in items)
    # each phone lies in a word, and the words' edges are phones' edges
    assert {start for _, start, _ in said.words} <= {start for _, start, _ in said.phones}
    assert {end for *_, end in said.words} <= {end for *_, end in said.phones}


@pytest.mark.parametrize("voice", ["en-us", "en-gb+m3", "en-029+r11", "hi+r3"])
def test_times_agree_with_the_energy(voice):
    said = synthesise("six one, seven, two", voice, rate=150)
    words, seconds = said.words, len(said.samples) / said.sample_rate
    speech = [loudness(said.samples, start, end) for _, start, end in words]
    assert min(speech) > 0.02
    pauses = [(words[1][2], words[2][1]), (words[2][2], words[3][1])]
    for start, end in pauses:
        assert end - start > 0.03
        # the last vowel rings on for some milliseconds
        assert loudness(said.samples, start + 0.02, end) < 0.1 * min(speech)
    assert words[3][2] > seconds - 0.1


def test_a_final_n_belongs_to_its_word():
    """espeak-ng reports the word after it one phone too early."""
    said = synthesise("seven eight", "en-us")
    (_, _, end), (_, start, _) = said.words
    n = next(item for item in said.phones if item[0] == "n")
    assert end == start == n[2] and n[2] - n[1] > 0.03


def test_words_that_espeak_would_fuse_have_times_of_their_own():
    said = synthesise("the light of the car is on the floor", "en-gb")
    assert [word for word, *_ in said.words] == "the light of the car is on the floor".split()
    assert all(end - start > 0.03 for _, start, end in said.words)


def test_words_without_an_event_share_the_time_letter_by_letter():
    events = [(1, 1, 0.0, ""), (7, 1, 0.0, "a"), (7, 1, 0.5, "b"), (7, 1, 0.8, "")]
    words, phones = espeak._times(["ab", "cdef"], [(1, 2), (4, 7)], events, 1.0)
    third = pytest.approx(0.8 / 3)
    assert words == [("ab", 0.0, third), ("cdef", third, 0.8)]
    assert phones == [("a", 0.0, 0.5), ("b", 0.5, 0.8)]


def test_rate_pitch_and_gap_do_what_they_say():
    def seconds(**how):
        return len(synthesise("one two three four", "en-us", **how).samples) / SAMPLE_RATE

    assert seconds(rate=110) > 1.3 * seconds(rate=220)
    assert seconds(gap=10) > seconds() + 0.2

    def pitch(**how):
        samples = synthesise("one", "en-us", pitch_range=0, **how).samples[2000:4000]
        correlation = np.correlate(samples, samples, "full")[len(samples) :]
        return SAMPLE_RATE / (40 + correlation[40:320].argmax() + 1)

    assert pitch(pitch=90) > 1.2 * pitch(pitch=20)


def test_every_accent_says_the_digits():
    for accent in [*ACCENTS, *RESPELLED]:
        said = synthesise(" ".join(DIGITS), f"{accent}+r1")
        assert tuple(word for word, *_ in said.words) == DIGITS, accent
        assert len(said.phones) > 25, accent


def test_every_named_voice_speaks_without_clipping():
    names = espeak.voices()
    assert len(names) == len(set(names)) > 500
    assert not {"en-us+whisper", "en-us+croak", "en-us+Demonic"} & set(names)
    for timbre in espeak.timbres():
        raw, _ = espeak._speak("one two three", "en-us", timbre, (160, 50, 50, 0))
        assert 0.01 < np.abs(raw).max() < 0.99, timbre


def test_a_random_timbre_is_the_same_voice_each_time_and_unlike_others():
    assert espeak._random_timbre(17) == espeak._random_timbre(17) != espeak._random_timbre(18)


def test_the_resampler_keeps_a_tone_and_removes_what_is_above_8_khz():
    time = np.arange(22_050) / 22_050
    kept = espeak._resample(np.sin(2 * np.pi * 1000 * time).astype(np.float32))
    assert len(kept) == 16_000
    expected = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000)
    np.testing.assert_allclose(kept[200:-200], expected[200:-200], atol=2e-3)
    gone = espeak._resample(np.sin(2 * np.pi * 9000 * time).astype(np.float32))
    assert np.abs(gone[200:-200]).max() < 2e-3


def test_threads_take_turns():
    said = {}

    def speak(number):
        said[number] = synthesise(" ".join(DIGITS[: number + 1]), "en-us+f3")

    threads = [threading.Thread(target=speak, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(8):
        assert [word for word, *_ in said[number].words] == list(DIGITS[: number + 1])


def test_bad_input():
    for arguments, message in (
        (("", "en-us"), "no word in the text"),
        ((" , .", "en-us"), "no word in the text"),
        (("one", "xx"), "unknown accent 'xx'.*known: en-us"),
        (("one", "en-us+nobody"), "unknown timbre 'nobody'"),
        (("one", "en-us+../f3"), "unknown timbre"),
        (("eleven", "de"), "ten digit words only, not 'eleven'"),
        (("one", "en-us", 20), "rate=20 is outside its range"),
        (("one", "en-us", 160, 120), "pitch=120 is outside"),
        (("one", "en-us", 160, 50, -1), "pitch_range=-1 is outside"),
        (("one", "en-us", 160, 50, 50, 999), "gap=999 is outside"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            synthesise(*arguments)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "sabotage, message",
    [
        ("sys.modules['espeakng_loader'] = None", "pip install espeakng-loader"),
        ("espeakng_loader.get_library_path = lambda: '/nowhere.so'", "/nowhere.so: .*cannot be loaded"),
        ("espeakng_loader.get_data_path = lambda: '/nowhere'", "/nowhere: espeak-ng does not start"),
    ],
)
def test_without_the_library_there_is_one_clear_line(sabotage, message):
    """In a process of its own, as espeak-ng starts once a process."""
    program = f"""
import sys, espeakng_loader
{sabotage}
from asrlib.data.espeak import synthesise
try:
    synthesise("one")
except ValueError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.strip().splitlines()
    assert len(lines) == 1 and re.search(message, lines[0]), run.stdout


def test_a_long_data_path_and_an_upper_case_temporary_folder_work(tmp_path):
    """espeak-ng has room for 160 characters, and looks for voices in lower case."""
    deep = tmp_path / "/".join(["a-rather-long-name"] * 8)
    deep.mkdir(parents=True)
    (tmp_path / "TMP").mkdir()
    program = f"""
import os, espeakng_loader
os.symlink(espeakng_loader.get_data_path(), {str(deep / "data")!r})
espeakng_loader.get_data_path = lambda: {str(deep / "data")!r}
from asrlib.data.espeak import synthesise
print(len(synthesise("one two", "en-us+r5").words))
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={"TMPDIR": str(tmp_path / "TMP")}
    )
    assert run.stdout.strip() == "2", run.stderr
