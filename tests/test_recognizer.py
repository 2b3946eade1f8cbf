"""asrlib.recognizer: its hypotheses, whatever the batches, searches and files."""

import dataclasses
import math
import shutil

import numpy as np
import pytest
import soundfile
import streams
import tiny
import torch

from asrlib.data.audio import cut_audio
from asrlib.data.corpora import load_corpus
from asrlib.errors import InputError
from asrlib.recognizer import Recognizer
from asrlib.text.ngram import train_ngram

TEXT = "low high mid low"


@pytest.fixture(autouse=True)
def one_thread():
    with tiny.one_thread():
        yield


@pytest.fixture(scope="module")
def recognizer(tiny_model):
    return Recognizer.load(tiny_model)


@pytest.fixture
def searched(recognizer, monkeypatch):
    """``searched(beam_width=4)`` and the like, until the end of the test."""
    usual = recognizer.config.decoding
    monkeypatch.setattr(recognizer, "lm", None)
    yield lambda **keys: setattr(recognizer.config, "decoding", dataclasses.replace(usual, **keys))
    recognizer.config.decoding = usual


@pytest.fixture
def copied(tiny_model, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "model")
    return tmp_path / "model"


def utterances(recognizer, count=8):
    words = tiny.texts(count, seed=7)
    return words, [(torch.from_numpy(tiny.tones(text, seed=n)), tiny.RATE) for n, text in enumerate(words)]


def test_a_hypothesis_has_text_times_and_confidences(recognizer):
    samples = tiny.tones(TEXT)
    found = recognizer.transcribe(samples, tiny.RATE)
    assert found.text == TEXT and found.tokens == TEXT.split()
    assert len(found.times) == len(found.confidences) == 4
    assert found.times == sorted(found.times)
    assert 0 <= found.times[0] and found.times[-1] <= len(samples) / tiny.RATE
    for number, second in enumerate(found.times):  # each tone starts 0.28 s after the one before it
        assert second == pytest.approx(0.12 + 0.28 * number, abs=0.2)
    assert all(0 < confidence <= 1 for confidence in found.confidences)
    # blanks belong to the path too, so it is no more probable than its labels
    assert found.score <= sum(math.log(confidence) for confidence in found.confidences) <= 0
    assert found.score > -5


def test_the_score_is_the_log_probability_of_the_best_path(recognizer):
    """Once more, one (t, u) after another, with the joint network itself."""
    samples = torch.from_numpy(tiny.tones(TEXT))
    with torch.no_grad():
        features, counts = recognizer.front_end(samples[None], torch.tensor([len(samples)]))
        encoded, _ = recognizer.model.encoder(features, counts)
        model, total, labels, t = recognizer.model, 0.0, [], 0
        prediction_out, state = model.prediction.step(torch.zeros(1, dtype=torch.long))
        while t < encoded.shape[1]:
            log_prob, label = model.joint(encoded[:, t], prediction_out).log_softmax(-1).max(-1)
            total += log_prob.item()
            if label.item() == 0:
                t += 1
                continue
            labels.append(label.item())
            prediction_out, state = model.prediction.step(label, state)
    found = recognizer.transcribe(samples, tiny.RATE)
    assert recognizer.tokenizer.decode(labels) == found.text
    assert found.score == pytest.approx(total, abs=1e-4)


def test_alone_or_in_a_batch_the_result_is_the_same(recognizer):
    texts, inputs = utterances(recognizer)
    together = recognizer.transcribe_batch(inputs)
    assert [found.text for found in together] == texts
    for (samples, rate), found in zip(inputs, together, strict=True):
        alone = recognizer.transcribe(samples, rate)
        assert (alone.text, alone.tokens, alone.times) == (found.text, found.tokens, found.times)
        assert alone.score == pytest.approx(found.score, abs=1e-3)
        assert alone.confidences == pytest.approx(found.confidences, abs=1e-3)


@pytest.mark.parametrize("head", ["transducer", "ctc"])
def test_a_beam_finds_the_same_words_and_is_at_least_as_sure(recognizer, searched, head):
    texts, inputs = utterances(recognizer)
    searched(head=head)
    greedy = recognizer.transcribe_batch(inputs)
    searched(head=head, beam_width=1)
    for found, expected in zip(recognizer.transcribe_batch(inputs), greedy, strict=True):
        assert (found.text, found.times) == (expected.text, expected.times)
        assert found.score == pytest.approx(expected.score, abs=1e-3)
    searched(head=head, beam_width=4)
    for found, expected, text in zip(recognizer.transcribe_batch(inputs), greedy, texts, strict=True):
        assert found.text == text and len(found.times) == len(found.confidences) == len(text.split())
        assert found.score >= expected.score - 1e-4


@pytest.mark.parametrize("head", ["transducer", "ctc"])
def test_a_language_model_changes_the_words(recognizer, searched, head):
    """One that has never met the word "mid" makes it disappear, if its word counts for enough."""
    samples = tiny.tones("low mid high")
    encode, labels = recognizer.tokenizer.encode, recognizer.tokenizer.labels
    searched(head=head, beam_width=4)
    recognizer.lm = train_ngram(200 * [encode("low high")], labels, order=2)
    assert recognizer.transcribe(samples, tiny.RATE).text == "low mid high"
    searched(head=head, beam_width=4, lm_weight=20.0)
    assert recognizer.transcribe(samples, tiny.RATE).text == "low high"
    searched(head=head, beam_width=4, lm_weight=20.0, label_bonus=300.0)
    assert len(recognizer.transcribe(samples, tiny.RATE).tokens) > 5


@pytest.mark.parametrize("hotword", ["東京", "!!!"])
def test_a_hotword_that_the_labels_cannot_write_is_named_in_one_line(recognizer, searched, hotword):
    searched(beam_width=4, hotwords=["mid", hotword])
    with pytest.raises(InputError, match=f"decoding.hotwords: .*'{hotword}': leave it out") as error:
        recognizer.transcribe(torch.zeros(8000), 8000)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("head", ["transducer", "ctc"])
def test_hotwords_change_the_words(recognizer, searched, head):
    """A bonus larger than what the sound says makes a word appear; another word's bonus does nothing."""
    samples = tiny.tones("low mid high")
    for hotword, bonus, expected in (("mid", 0.0, True), ("mid high", 1.0, True), ("mid", 300.0, False)):
        searched(head=head, beam_width=4, hotwords=[hotword], hotword_bonus=bonus)
        assert (recognizer.transcribe(samples, tiny.RATE).text == "low mid high") == expected
    assert recognizer.transcribe(samples, tiny.RATE).text.split().count("mid") > 1


def test_much_padding_changes_nothing(recognizer):
    short = (torch.from_numpy(tiny.tones("mid")), tiny.RATE)
    long = (torch.from_numpy(np.tile(tiny.tones("low high"), 12)), tiny.RATE)
    alone, beside = recognizer.transcribe_batch([short])[0], recognizer.transcribe_batch([long, short])[1]
    assert (alone.text, alone.times) == ("mid", beside.times) and beside.text == "mid"
    assert alone.score == pytest.approx(beside.score, abs=1e-3)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
def test_files_of_every_format_and_rate(recognizer, tmp_path, ending, rate):
    path = tmp_path / f"a.{ending}"
    soundfile.write(path, tiny.tones(TEXT, rate), rate)
    assert recognizer.transcribe(path).text == TEXT
    assert recognizer.transcribe(str(path)).text == TEXT


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
def test_stereo_is_averaged(recognizer, tmp_path, ending):
    mono = tiny.tones(TEXT, 16000)
    # speech on the left alone; on both sides, but stronger on one
    for name, right in (("left", 0 * mono), ("both", 0.5 * mono)):
        path = tmp_path / f"{name}.{ending}"
        soundfile.write(path, np.stack([mono, right], axis=1), 16000)
        assert recognizer.transcribe(path).text == TEXT


def test_samples_may_be_an_array_a_tensor_or_a_list(recognizer):
    samples = tiny.tones("high low")
    for given in (samples, samples.astype(np.float64), torch.from_numpy(samples), samples.tolist()):
        assert recognizer.transcribe(given, tiny.RATE).text == "high low"
    with_gradient = torch.from_numpy(samples).requires_grad_()
    assert recognizer.transcribe(with_gradient.detach(), tiny.RATE).text == "high low"


@pytest.mark.parametrize("count", [1, 7, 200])
def test_a_moment_of_silence_is_no_word(recognizer, count):
    found = recognizer.transcribe(np.zeros(count, dtype=np.float32), tiny.RATE)
    assert found.text == "" and found.tokens == found.times == found.confidences == []
    assert found.score <= 0


@pytest.mark.parametrize(
    "audio, rate, message",
    [
        (np.zeros(100, np.float32), None, "sample_rate is missing"),
        (np.zeros(0, np.float32), 8000, r"shape \(0,\)"),
        (np.zeros((2, 100), np.float32), 8000, r"shape \(2, 100\).*mono"),
        ("nowhere.wav", None, "nowhere.wav: there is no such audio file"),
        (np.zeros(100, np.float32), 0, "sample_rate is 0; give whole Hz"),
        (np.zeros(100, np.float32), -8000, "sample_rate is -8000"),
        (np.zeros(100, np.float32), 400_000_000, "sample_rate is 400000000"),
        (np.array([0.1, np.nan]), 8000, "NaN or infinite"),
        (np.array([0.1, -np.inf]), 8000, "NaN or infinite"),
        (["loud"], 8000, "no array of samples"),
    ],
)
def test_audio_that_cannot_be_used(recognizer, audio, rate, message):
    for call in (recognizer.transcribe, recognizer.transcribe_long):
        with pytest.raises(InputError, match=message):
            call(audio, rate)


def test_batches_and_streams_refuse_the_same():
    recognizer = streams.recognizer(0)
    good, bad = torch.zeros(9000), torch.full((9000,), float("nan"))
    for call in (recognizer.transcribe_batch, recognizer.ctc_log_probs):
        with pytest.raises(InputError, match="NaN or infinite"):
            call([(good, 8000), (bad, 8000)])
        with pytest.raises(InputError, match="sample_rate is 0"):
            call([(good, 8000), (good, 0)])
    for rate in (0, 1, -8000):
        with pytest.raises(InputError, match="sample_rate is"):
            recognizer.stream(rate)
    stream = recognizer.stream(8000)
    stream.feed(good)
    with pytest.raises(InputError, match="NaN or infinite"):
        stream.feed(bad)


def test_every_cut_comes_back_once_whatever_the_batches(recognizer, tiny_corpus):
    cuts = load_corpus(tiny_corpus, "test")
    results = {}
    for seconds in (0.1, 3.0, 1000.0):
        found = list(recognizer.transcribe_cuts(cuts, batch_seconds=seconds))
        assert len(found) == len(cuts)
        results[seconds] = {name: (found.text, found.times) for name, found in found}
    assert results[0.1] == results[3.0] == results[1000.0]
    assert results[3.0] == {
        cut.id: (alone.text, alone.times)
        for cut in cuts
        if (alone := recognizer.transcribe(cut_audio(cut), cut.sampling_rate))
    }


def test_batches_hold_no_more_seconds_than_asked_for(recognizer, tiny_corpus, monkeypatch):
    sizes = []
    transcribe_batch = recognizer.transcribe_batch

    def watch(batch):
        sizes.append(len(batch) * max(len(samples) for samples, _ in batch) / tiny.RATE)
        return transcribe_batch(batch)

    monkeypatch.setattr(recognizer, "transcribe_batch", watch)
    list(recognizer.transcribe_cuts(load_corpus(tiny_corpus, "test"), batch_seconds=4.0))
    assert max(sizes) <= 4.0 and len(sizes) < 6


# ---------------------------------------------------------------------------- several networks


@pytest.fixture
def together(copied):
    """A recognizer with a member of other weights."""
    recognizer = Recognizer.load(copied)
    recognizer.config.decoding.head = "ctc"
    member = Recognizer.load(copied)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in member.model.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=generator)
    recognizer.members["other"] = member
    return recognizer


def test_members_average_their_log_probabilities(together):
    wave = torch.from_numpy(tiny.tones(TEXT))[None]
    lengths = torch.tensor([wave.shape[1]])
    with torch.no_grad():
        heads = [
            (r.model.ctc_head(r.model.encoder(*r.front_end(wave, lengths))[0])).log_softmax(-1)
            for r in (together, together.members["other"])
        ]
    assert (heads[0] - heads[1]).abs().max() > 0.01
    best = ((heads[0] + heads[1]) / 2).log_softmax(-1).max(-1).values.sum()
    found = together.transcribe(wave[0], tiny.RATE)
    assert found.text == TEXT
    assert found.score == pytest.approx(float(best), abs=1e-3)
    together.members.clear()
    alone = heads[0].max(-1).values.sum()
    assert together.transcribe(wave[0], tiny.RATE).score == pytest.approx(float(alone), abs=1e-3)


def test_members_cannot_stream(together):
    with pytest.raises(InputError, match="it is an ensemble with other"):
        together.stream()
