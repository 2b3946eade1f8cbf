"""Recordings of any length: one pass where the window covers them, bounded memory where it does not."""

import conformers
import numpy as np
import pytest
import soundfile
import streams
import tiny
import torch

from asrlib.data.audio import read_audio
from asrlib.decoding.hypothesis import Hypothesis, SearchResult
from asrlib.decoding.long_form import JOINS, Listener, LongForm, cut_recording, scan
from asrlib.errors import InputError
from asrlib.models.build import build_model
from asrlib.recognizer import Recognizer
from asrlib.signal.pauses import find_cuts
from asrlib.text.tokenizers import Tokenizer

WORDS = ["low", "mid", "high"]


@pytest.fixture(autouse=True)
def one_thread():
    with tiny.one_thread():
        yield


@pytest.fixture(scope="module")
def tones(tiny_model):
    """A transducer with a CTC head, without errors on tones."""
    return Recognizer.load(tiny_model)


@pytest.fixture(scope="module")
def long_text():
    """No word twice in a row, as in the tones that the model knows."""
    return " ".join(["low mid high mid", "low high mid high", "mid low high"] * 3)


@pytest.fixture(scope="module")
def recording(long_text, tmp_path_factory):
    path = tmp_path_factory.mktemp("long") / "long.wav"
    soundfile.write(path, tiny.tones(long_text), tiny.RATE)
    return path


def conformer(**sections):
    """A recognizer of random weights, whose blank is unlikely enough that there is text."""
    torch.manual_seed(0)
    model = build_model(conformers.config(**sections), 4)
    with torch.no_grad():
        model.ctc_head.linear.bias[0] -= 0.5
    return Recognizer(conformers.config(**sections), model, Tokenizer("words", WORDS))


def noise(seconds):
    return 0.1 * torch.randn(round(seconds * tiny.RATE), generator=torch.Generator().manual_seed(1))


def alike(found, expected):
    assert (found.text, found.tokens) == (expected.text, expected.tokens)
    assert found.times == pytest.approx(expected.times)
    assert found.score == pytest.approx(expected.score, rel=1e-3, abs=1e-3)
    assert found.confidences == pytest.approx(expected.confidences, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("head", ["ctc", "transducer"])
@pytest.mark.parametrize("beam", [0, 3])
def test_a_window_that_covers_the_recording_is_one_pass(tones, recording, head, beam, monkeypatch):
    monkeypatch.setattr(tones.config.decoding, "head", head)
    monkeypatch.setattr(tones.config.decoding, "beam_width", beam)
    alike(tones.transcribe_long(recording, window=60), tones.transcribe(recording))


def test_a_piece_and_the_silence_after_it_fit_into_a_window():
    spoken, lengths = torch.cat([noise(0.3), torch.zeros(2400)] * 15), {}
    for tail in (0, 400):
        front_end = streams.recognizer(features={"tail_ms": tail}).front_end
        listener = Listener(front_end, streams.recognizer().model, [1.0])
        pieces = cut_recording([listener], lambda: [spoken], LongForm(2.0, 0.5, None, "pauses"))
        lengths[tail] = [sum(map(len, piece())) for _, piece in pieces]
    assert sum(lengths[0]) == sum(lengths[400]) == len(spoken)
    assert max(lengths[0]) <= 2 * tiny.RATE and max(lengths[400]) <= 1.6 * tiny.RATE


def test_so_it_is_for_a_conformer_and_its_probabilities():
    recognizer = conformer()
    alike(recognizer.transcribe_long(noise(3), tiny.RATE), recognizer.transcribe(noise(3), tiny.RATE))


@pytest.mark.parametrize("head", ["ctc", "transducer"])
@pytest.mark.parametrize("join", [None, "middle"])
@pytest.mark.parametrize("window, overlap", [(2.0, 0.875), (2.0, 0.5), (3.0, 0.6)])
def test_windows_hear_what_the_whole_says(
    tones, recording, long_text, head, join, window, overlap, monkeypatch
):
    monkeypatch.setattr(tones.config.decoding, "head", head)
    found = tones.transcribe_long(recording, window=window, overlap=overlap, join=join)
    assert found.text == long_text == tones.transcribe(recording).text
    assert found.times == sorted(found.times)


def with_a_pause(first, second, seconds=0.6):
    """The samples of two texts of tones, and those of each half, divided in the middle of the pause."""
    pause = 0.001 * np.random.default_rng(3).standard_normal(round(seconds / 2 * tiny.RATE))
    halves = np.append(tiny.tones(first), pause), np.append(pause, tiny.tones(second, seed=1))
    return np.concatenate(halves).astype(np.float32), [half.astype(np.float32) for half in halves]


@pytest.mark.parametrize("head", ["ctc", "transducer"])
@pytest.mark.parametrize("beam", [0, 3])
def test_a_recording_with_a_pause_is_its_two_halves(tones, head, beam, monkeypatch):
    monkeypatch.setattr(tones.config.decoding, "head", head)
    monkeypatch.setattr(tones.config.decoding, "beam_width", beam)
    signal, halves = with_a_pause("low mid high mid low", "high low high mid high")
    (middle,) = find_cuts([torch.from_numpy(signal)], tiny.RATE, round(2.4 * tiny.RATE))
    assert middle / tiny.RATE == pytest.approx(len(halves[0]) / tiny.RATE, abs=0.03)
    first, second = (tones.transcribe(half, tiny.RATE) for half in (signal[:middle], signal[middle:]))
    assert (first.text, second.text) == ("low mid high mid low", "high low high mid high")
    found = tones.transcribe_long(signal, tiny.RATE, window=2.4, cut="pauses")
    alike(found, Hypothesis.joined([(0.0, first), (middle / tiny.RATE, second)]))
    assert [word for word, _ in found.words] == found.text.split()
    times = [second for _, second in found.words]
    assert times == sorted(times) and times[4] < middle / tiny.RATE < times[5]


def test_a_piece_is_normalized_by_itself(tones):
    """A half that is 30 dB quieter has the features of a recording of its own, but not in windows."""
    _, halves = with_a_pause("low mid high mid low", "high low high mid high")
    signal = np.append(halves[0], 0.03 * halves[1]).astype(np.float32)
    (middle,) = find_cuts([torch.from_numpy(signal)], tiny.RATE, round(2.4 * tiny.RATE))
    by_themselves = [(0.0, tones.transcribe(signal[:middle], tiny.RATE))]
    by_themselves.append((middle / tiny.RATE, tones.transcribe(signal[middle:], tiny.RATE)))
    expected = Hypothesis.joined(by_themselves)
    alike(tones.transcribe_long(signal, tiny.RATE, window=2.4, cut="pauses"), expected)
    together = tones.transcribe_long(signal, tiny.RATE, window=2.4, cut="windows")
    assert together.score != pytest.approx(expected.score, rel=0.02)


@pytest.mark.parametrize("head", ["ctc", "transducer"])
def test_a_recording_without_a_pause_is_decoded_in_windows(tones, recording, head, monkeypatch):
    monkeypatch.setattr(tones.config.decoding, "head", head)
    found = tones.transcribe_long(recording, window=2.0, cut="pauses")
    assert found == tones.transcribe_long(recording, window=2.0, cut="windows")


def test_pieces_of_a_file_are_those_of_its_samples(tones, tmp_path):
    signal, _ = with_a_pause("low mid high mid low", "high low high mid high")
    soundfile.write(tmp_path / "fast.flac", signal.repeat(2), 2 * tiny.RATE)
    found = tones.transcribe_long(tmp_path / "fast.flac", window=2.4, cut="pauses")
    assert found.text == tones.transcribe_long(signal, tiny.RATE, window=2.4, cut="pauses").text


def test_words_have_times(tones, recording, long_text):
    found = tones.transcribe_long(recording, window=2.0)
    assert [word for word, _ in found.words] == long_text.split()
    seconds = [second for _, second in found.words]
    assert seconds == sorted(seconds) and 0 < seconds[0] and seconds[-1] < 0.28 * len(seconds) + 0.3


def test_no_labels_are_no_words():
    found = conformer().hypothesis(SearchResult())
    assert (found.text, found.tokens, found.words) == ("", [], [])


def test_a_file_is_what_its_samples_are_at_any_rate(tones, recording, tmp_path):
    samples, rate = read_audio(recording)
    alike(tones.transcribe_long(samples, rate, window=2.0), tones.transcribe_long(recording, window=2.0))
    stereo = np.stack([samples, samples], axis=1).repeat(2, axis=0)
    soundfile.write(tmp_path / "stereo.flac", stereo, 2 * rate)
    found = tones.transcribe_long(tmp_path / "stereo.flac", window=2.0)
    assert found.text == tones.transcribe(tmp_path / "stereo.flac").text


def test_an_ensemble_with_warps_listens_as_to_one_utterance(tiny_model, recording):
    recognizer = Recognizer.load(tiny_model)
    recognizer.config.decoding.head, recognizer.config.decoding.warps = "ctc", [0.97, 1.0, 1.05]
    other = Recognizer.load(tiny_model)
    other.front_end.log_floor = 1e-3
    recognizer.members["other"] = other
    alike(recognizer.transcribe_long(recording, window=60), recognizer.transcribe(recording))


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.875])
def test_whole_is_one_pass_with_the_window_of_attention(overlap):
    recognizer = conformer()
    encoder = recognizer.model.encoder
    found = recognizer.transcribe_long(noise(20), tiny.RATE, window=0.5, overlap=overlap, join="whole")
    assert encoder.attention_window is None  # as before
    encoder.set_attention_window(3)  # 0.25 s on either side, at 80 ms a frame
    alike(found, recognizer.transcribe(noise(20), tiny.RATE))
    encoder.set_attention_window(None)
    assert found.score != pytest.approx(recognizer.transcribe(noise(20), tiny.RATE).score, rel=1e-4)


def test_a_configured_window_of_attention_is_kept():
    recognizer = conformer(encoder={"attention_window": 2})
    alike(
        recognizer.transcribe_long(noise(15), tiny.RATE, window=1, join="whole"),
        recognizer.transcribe(noise(15), tiny.RATE),
    )
    assert recognizer.model.encoder.attention_window == 2


def test_an_encoder_of_convolutions_alone_needs_no_attention():
    blocks = [block | {"se": "none", "padding": "same"} for block in streams.CONFIG["encoder"]["blocks"]]
    blocks[1]["se"] = 24
    recognizer = streams.recognizer(encoder={"blocks": blocks})
    assert recognizer.model.encoder.reach is not None
    found = recognizer.transcribe_long(noise(12), tiny.RATE, window=1, join="whole")
    alike(found, recognizer.transcribe(noise(12), tiny.RATE))


def test_what_cannot_be_is_said(tones, recording, monkeypatch):
    for options, message in (
        ({"window": 0}, "window is 0 s; it must be positive"),
        ({"overlap": 1.0}, "overlap is 1.0; it must be at least 0 and below 1"),
        ({"join": "mean"}, "join is 'mean'; use one of average, middle, whole"),
        ({"cut": "words"}, "cut is 'words'; use one of pauses, windows"),
        ({"cut": "pauses", "join": "whole"}, "decodes the recording in one piece: set cut to windows"),
        ({"join": "average"}, "a transducer has no probabilities to average"),
        (
            {"join": "whole"},
            "join is whole, but a ContextNetEncoder has no attention .*: use average or middle",
        ),
    ):
        with pytest.raises(InputError, match=message):
            tones.transcribe_long(recording, **options)
    fourier = conformer(encoder={"positions": "fourier", "attention_window": 2})
    with pytest.raises(InputError, match="positions count from the recording's start: use average or middle"):
        fourier.transcribe_long(noise(1), tiny.RATE, join="whole")
    assert fourier.model.encoder.attention_window == 2


def test_a_file_that_breaks_off_is_said_where_it_does(tones, recording, tmp_path):
    whole = recording.read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cut.wav: truncated"):
        tones.transcribe_long(tmp_path / "cut.wav")
    with pytest.raises(InputError, match="sample_rate is missing"):
        tones.transcribe_long(noise(1))


@pytest.mark.parametrize("join", JOINS)
def test_the_frames_that_wait_do_not_grow_with_the_recording(join):
    """What is yielded comes while the sound is read, and never a frame more than a window late."""
    recognizer = conformer(features={"normalize": "none"})
    listener = Listener(recognizer.front_end, recognizer.model, [1.0])
    read = 0

    def blocks():
        nonlocal read
        for block in noise(60).split(tiny.RATE):
            read += 1
            yield block

    final, lags = 0, []
    with torch.no_grad():
        for frames in scan([listener], blocks, LongForm(1.0, 0.5, join), ctc=True):
            final += len(frames)
            lags.append(read - 0.08 * final)
    assert final == 750 - 1 or final == 750  # 60 s at 80 ms
    assert max(lags[:-1]) < 8.0 and len(lags) > 10
