"""asrlib.data.whistles: pitches relative to the whistler, names that are alike at every pitch, pasts."""

import random

import numpy as np
import pytest

from asrlib.data.corpora import load_corpus
from asrlib.data.whistles import (
    CAST,
    LOWEST,
    NAMES,
    PASTS,
    SAMPLE_RATE,
    SNR_DB,
    STEP,
    WORDS,
    Said,
    Scene,
    draw_scene,
    draw_script,
    past_and_tail,
    play,
    semitones_apart,
    write_whistles,
)
from asrlib.errors import InputError

QUIET = Scene(lowest=500.0, tempo=1.0, response=(0.0,) * 6, echo=0.05, noise_db=-80.0)


def pitch(samples):
    """The frequency of the loudest component, in Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 1 << 15))
    return spectrum.argmax() * SAMPLE_RATE / (1 << 15)


def pitches(scene):
    samples, spans = play([Said(word, 0.2, 0.4) for word in WORDS], scene, seed=0)
    return [pitch(samples[round(s * SAMPLE_RATE) : round(e * SAMPLE_RATE)]) for _, s, e in spans]


@pytest.mark.parametrize("lowest", LOWEST)
def test_words_are_levels_above_the_whistlers_lowest_pitch(lowest):
    scene = Scene(lowest, 1.1, QUIET.response, QUIET.echo, QUIET.noise_db)
    semitones = 12 * np.log2(np.array(pitches(scene)) / lowest)
    assert semitones == pytest.approx(STEP * np.arange(5), abs=1.0)


def test_one_whistlers_high_word_is_anothers_low_word():
    low = Scene(500.0, 1.0, QUIET.response, QUIET.echo, QUIET.noise_db)
    high = Scene(500.0 * 2 ** (4 * STEP / 12), 1.0, QUIET.response, QUIET.echo, QUIET.noise_db)
    assert pitches(low)[4] == pytest.approx(pitches(high)[0], rel=0.06)


def test_names_move_and_words_do_not():
    for name in NAMES:
        samples, ((_, start, end),) = play([Said(name, 0.2, 0.6)], QUIET, seed=0)
        sound = samples[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
        parts = [pitch(part) for part in np.array_split(sound, 12)]
        assert max(parts) > 1.3 * min(parts), name


def test_each_name_is_introduced_once_and_then_covered():
    script = draw_script(random.Random(3), 120.0)
    names = [said for said in script if said.word in NAMES]
    assert len({said.word for said in names}) == CAST
    for name in {said.word for said in names}:
        covered = [said.snr_db for said in names if said.word == name]
        assert covered[0] is None
        assert all(SNR_DB[0] <= snr <= SNR_DB[1] for snr in covered[1:]) and len(covered) > 3
    covered = [
        said.snr_db for said in draw_script(random.Random(3), 60.0, introduced=True) if said.word in NAMES
    ]
    assert None not in covered


def test_a_recording_ends_on_time_with_whole_words():
    draw = random.Random(0)
    scene, script = draw_scene(draw), draw_script(draw, 20.0)
    samples, spans = play(script, scene, 1, 20.0)
    assert samples.shape == (160_000,) and samples.dtype == np.float32
    assert 19 < spans[-1][2] <= 20.0 and [word for word, *_ in spans] == [
        s.word for s in script[: len(spans)]
    ]
    assert all(a[2] < b[1] for a, b in zip(spans, spans[1:], strict=False))
    again, _ = play(script, scene, 1, 20.0)
    assert np.array_equal(samples, again)


def test_the_tail_is_the_same_whatever_came_before():
    made = {past: past_and_tail(0, past, 30.0, 8.0) for past in PASTS}
    whole, text, start = made["intact"]
    assert start == 30.0 and len(whole) == 38 * SAMPLE_RATE and text
    cut = 30 * SAMPLE_RATE
    for past, (samples, other, _) in made.items():
        assert other == text and np.array_equal(samples[cut:], whole[cut:])
        if past != "intact":
            assert not np.allclose(samples[:cut], whole[:cut], atol=0.05)
    assert np.abs(made["masked"][0][:cut]).max() < 0.1 < np.abs(whole[:cut]).max()


def test_another_past_is_refused():
    with pytest.raises(InputError, match="past is 'other'; use one of intact, shuffled"):
        past_and_tail(0, "other", 30.0, 8.0)


def test_the_other_whistlers_range_is_as_far_away_as_is_said():
    found = {number: semitones_apart(number, 112.0, 16.0) for number in range(24)}
    assert abs(found[0]) < 0.5 and -14.5 < found[1] < -13.5 and 4 < found[3] < 5
    sure = [number for number, apart in found.items() if abs(apart) >= 4]
    assert sure[:6] == [1, 3, 4, 6, 8, 9] and len(sure) == 12


def test_a_corpus_is_written_with_word_times_and_without_a_shared_whistler(tmp_path):
    write_whistles(tmp_path / "corpus", train=2, test=1, seconds=5.0)
    train, test = (load_corpus(tmp_path / "corpus", split) for split in ("train", "test"))
    assert [len(train), len(test)] == [2, 1] and train[0].duration == 5.0
    assert [word for word, *_ in train[0].words] == train[0].text.split()
    assert not {cut.speaker for cut in train} & {cut.speaker for cut in test}
