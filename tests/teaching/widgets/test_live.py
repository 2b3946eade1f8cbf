"""Words in chunks against the recognizer on the whole utterance, and the player's times."""

import re

import pytest
import streams

import asrlib
from asrlib.errors import InputError
from asrlib.teaching import widgets
from asrlib.teaching.widgets.live import Shown, live_html, shown_words


@pytest.fixture(scope="module")
def plain(recognizer):
    """The recognizer's CTC head without its averages over frequency warps, which take long."""
    recognizer = asrlib.Recognizer.load("lessons-model")
    recognizer.config.decoding.head, recognizer.config.decoding.warps = "ctc", None
    return recognizer


def test_one_chunk_is_the_whole_utterance(plain, cut):
    samples = asrlib.cut_audio(cut)
    whole = plain.transcribe(samples, cut.sampling_rate)
    shown = shown_words(plain, samples, cut.sampling_rate, 1000, 0)
    assert [word for word, _ in shown] == whole.tokens
    assert [second for _, second in shown] == pytest.approx([cut.duration] * len(shown), abs=1e-3)


def test_words_in_the_silence_after_the_utterance_come_with_its_last_chunk():
    causal = streams.recognizer(features={"tail_ms": 700}, decoding={"head": "ctc"})
    samples = asrlib.cut_audio(asrlib.clips()[1])[:12000]
    whole = causal.transcribe(samples, 8000)
    for chunk in (4, 1000):
        shown = shown_words(causal, samples, 8000, chunk, 1, context=1000)
        assert [word for word, _ in shown] == whole.tokens


def test_words_are_shown_when_their_chunk_and_what_lies_ahead_was_heard(plain, cut):
    samples = asrlib.cut_audio(cut)
    for chunk, ahead in ((5, 4), (3, 8)):
        shown = shown_words(plain, samples, cut.sampling_rate, chunk, ahead)
        ends = [second for _, second in shown]
        assert ends == sorted(ends) and [word for word, _ in shown] == cut.text.split()
        for second in ends:
            frames = second / plain.frame_seconds - ahead
            full = frames / chunk == pytest.approx(round(frames / chunk))
            assert full or second == pytest.approx(cut.duration, abs=1e-3)


def test_sound_that_was_not_heard_yet_changes_nothing(plain, cut):
    """Chunks of 4 frames and 2 ahead: words shown before the noise begins stay as they are."""
    samples = asrlib.cut_audio(cut).copy()
    before = shown_words(plain, samples, cut.sampling_rate, 4, 2)
    second = before[1].second
    samples[round(second * cut.sampling_rate) + 400 :] = 0.0
    after = shown_words(plain, samples, cut.sampling_rate, 4, 2)
    assert [s for s in after if s.second <= second] == [s for s in before if s.second <= second]


@pytest.mark.parametrize(("chunk", "ahead"), [(0, 1), (3, -1)])
def test_lengths_that_make_no_sense_are_refused(plain, cut, chunk, ahead):
    with pytest.raises(InputError, match="a chunk has at least one frame"):
        shown_words(plain, asrlib.cut_audio(cut), cut.sampling_rate, chunk, ahead)


def test_the_player_holds_each_word_and_its_second():
    page = live_html([Shown("one", 0.4), Shown("<two>", 1.25)], [0.0, 0.5, -0.5], 8000)
    assert re.findall(r'data-at="([\d.]+)"', page) == ["0.400", "1.250"]
    assert "&lt;two&gt;" in page and "<two>" not in page and "data:audio/wav;base64," in page


def test_the_explorer_draws_over_the_range_of_its_sliders(plain, cut):
    samples = asrlib.cut_audio(cut)
    box = widgets.live_explorer(plain, samples, cut.sampling_rate, cut.words)
    chunk, ahead, picture, live = box.children
    seen = {bytes(picture.value)}
    for control, values in ((chunk, (1, chunk.max)), (ahead, (0, ahead.max))):
        for value in values:
            control.value = value
            assert bytes(picture.value).startswith(b"\x89PNG") and "data-at" in live.value
            seen.add(bytes(picture.value))
    assert len(seen) == 5
