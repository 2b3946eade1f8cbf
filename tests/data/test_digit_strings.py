"""asrlib.data.digit_strings: strings of pieces from many speakers."""

from collections import Counter

import numpy as np
from folders import fails

from asrlib.data import digit_strings
from asrlib.data.audio import cut_audio
from asrlib.data.digit_strings import Piece, mixed_digits
from asrlib.data.grammar import DIGITS
from asrlib.data.joining import trim


def piece(words, source, speaker, level=0.3, pitch=500):
    tone = level * np.sin(2 * np.pi * pitch * np.arange(1600) / 8000)
    noise = np.random.default_rng(len(words)).standard_normal(3200) * 1e-3
    return Piece(words, trim((np.pad(tone, 800) + noise).astype(np.float32), 8000), source, speaker)


# ann said every digit, a hundred people said "one", and one person "two three" in a row
ANN = [piece((word,), "studio", "ann", pitch=300 + 50 * n) for n, word in enumerate(DIGITS)]
CROWD = [piece(("one",), "crowd", f"c{n}", level=0.02) for n in range(100)]
RUN = [piece(("two", "three"), "phone", "bob")]


def test_digits_are_balanced_and_texts_fit():
    cuts = list(mixed_digits(ANN + CROWD + RUN, 8000, 300, seed=1))
    words = Counter(word for cut in cuts for word in cut.supervisions[0].text.split())
    assert set(words) == set(DIGITS)
    # a piece that holds two words counts for both
    assert all(80 < words[word] < 220 for word in DIGITS if word not in ("two", "three"))
    assert {cut.supervisions[0].speaker for cut in cuts} == {"ann", "several"}
    alone = sum(cut.supervisions[0].speaker == "ann" for cut in cuts) / len(cuts)
    assert abs(alone - digit_strings.ONE_SPEAKER) < 0.1
    for cut in cuts[:20]:
        count = len(cut.supervisions[0].text.split())
        assert 0.2 * count / 2 < cut.duration < 0.75 * count + 1


def test_a_source_is_as_frequent_with_each_of_its_digits(monkeypatch):
    monkeypatch.setattr(digit_strings, "ONE_SPEAKER", 0.0)
    crowd = [piece((DIGITS[0],), "crowd", f"c{n}", pitch=2500) for n in range(100)]
    crowd += [piece((word,), "crowd", "c", pitch=2500) for word in DIGITS[1:]]
    heard = {word: Counter() for word in DIGITS}
    for cut in mixed_digits(ANN + crowd, 8000, 1000, longest=1):
        samples = cut_audio(cut)
        high = np.abs(np.fft.rfft(samples)).argmax() * 8000 / len(samples) > 2000
        heard[cut.supervisions[0].text][bool(high)] += 1
    assert all(0.3 < count[True] / count.total() < 0.7 for count in heard.values())


def test_levels_of_a_mixed_string_are_near_each_other(monkeypatch):
    monkeypatch.setattr(digit_strings, "ONE_SPEAKER", 0.0)
    loudest = []
    for cut in mixed_digits(ANN + CROWD, 8000, 40, seed=2):
        loudest.append(np.abs(cut_audio(cut)).max())
    # the crowd is 24 dB below ann before it is leveled
    assert min(loudest) > 0.025 and max(loudest) < 0.6


def test_the_same_arguments_give_the_same_strings():
    def everything(seed):
        cuts = mixed_digits(ANN + CROWD, 8000, 5, seed)
        return [(cut.id, cut.supervisions[0].text, cut_audio(cut).tobytes()) for cut in cuts]

    assert everything(3) == everything(3) != everything(4)


def test_waiting_makes_pauses_of_seconds():
    short = sum(cut.duration for cut in mixed_digits(ANN, 8000, 40))
    cuts = list(mixed_digits(ANN, 8000, 40, waiting=0.5))
    assert sum(cut.duration for cut in cuts) > 3 * short
    # none of them is at the end: what was said last must be written without waiting for it
    assert all(np.abs(cut_audio(cut)[-4000:]).max() > 0.01 for cut in cuts)


def test_other_words_are_told_from_digits():
    tree = [piece(("tree",), "studio", f"t{n}") for n in range(3)]
    cuts = list(mixed_digits(ANN + CROWD + tree, 8000, 300, others=0.3))
    words = Counter(word for cut in cuts for word in cut.supervisions[0].text.split())
    assert set(words) == {*DIGITS, "tree"}
    # strings by one speaker have digits only
    assert abs(words["tree"] / words.total() - 0.3 * (1 - digit_strings.ONE_SPEAKER)) < 0.05
    assert "tree" not in " ".join(cut.supervisions[0].text for cut in mixed_digits(ANN + tree, 8000, 50))


def test_most_single_words_have_no_pause_around_them():
    shortest = [cut.duration for cut in mixed_digits(ANN, 8000, 200, longest=1)]
    assert abs(np.mean(np.array(shortest) < 0.29) - digit_strings.BARE) < 0.1


def test_bad_input_is_named():
    fails("n is 0; it must be at least 1", mixed_digits, ANN, 8000, 0)
    fails("there is no recording of digits", mixed_digits, [], 8000, 3)
    fails("others is above 0, but every recording is of digits", mixed_digits, ANN, 8000, 3, others=0.1)
    fails("there is no recording of digits", mixed_digits, [piece(("tree",), "studio", "t")], 8000, 3)
