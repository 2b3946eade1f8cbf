"""Streaming against the offline result: whatever the chunks, the same text, times and scores."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import assert_same, chunks, recognizer, streamed

from asrlib.config.parse import load_config
from asrlib.data.audio import cut_audio
from asrlib.data.corpora import clips
from asrlib.decoding.streaming import StreamingEncoder
from asrlib.errors import InputError
from asrlib.models.build import build_model
from asrlib.recognizer import Recognizer
from asrlib.signal.streaming import StreamingFrontEnd
from asrlib.text.tokenizers import Tokenizer

# ---- the whole ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", ["transducer", "ctc"])
@pytest.mark.parametrize("variant, memory", [("paper", None), ("tensorflowasr", None), ("paper", 80)])
def test_streaming_is_offline_on_every_clip(head, variant, memory):
    causal = recognizer(
        seed=3 if memory else 0,  # a network that writes several labels
        encoder={"variant": variant, "se_memory": memory},
        features={"running_memory": memory},
        decoding={"head": head},
    )
    draw, emitted, counts = random.Random(0), set(), []
    for cut in clips():
        samples, rate = cut_audio(cut), cut.sampling_rate
        assert rate == 16000  # resampled to the model's 8 kHz on the way
        expected = causal.transcribe(samples, rate)
        for sizes in ([1600], [draw.randint(1, 4000) for _ in range(50)]):
            assert_same(streamed(causal, samples, rate, sizes), expected)
        emitted.update(expected.tokens)
        counts.append(len(expected.tokens))
    assert len(emitted) > 1 and min(counts) > 0 and sum(counts) > 5 * len(counts)


@settings(deadline=None, max_examples=15)
@given(
    samples=st.integers(1, 9000),
    sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=8),
    rate=st.sampled_from([8000, 16000, 11025, 44100]),
    head=st.sampled_from(["transducer", "ctc"]),
    seed=st.integers(0, 3),
    tail=st.sampled_from([0, 1, 130]),
)
def test_streaming_is_offline_for_any_length_rate_and_chunks(samples, sizes, rate, head, seed, tail):
    causal = recognizer(seed, decoding={"head": head}, features={"tail_ms": tail})
    noise = np.random.default_rng(samples).standard_normal(samples).astype(np.float32) / 10
    assert_same(streamed(causal, noise, rate, sizes), causal.transcribe(noise, rate))


def test_one_sample_at_a_time():
    causal = recognizer()
    samples = cut_audio(clips()[0])[8000:9500]
    assert_same(streamed(causal, samples, 8000, [1]), causal.transcribe(samples, 8000))


def test_partial_results_are_the_offline_results_of_the_samples_so_far():
    causal = recognizer()
    samples = cut_audio(clips()[1])[:12000]
    stream = causal.stream()
    for end in range(2000, 12001, 2000):
        assert_same(stream.feed(samples[end - 2000 : end]), causal.transcribe(samples[:end], 8000))


def test_the_silence_after_an_utterance_is_heard_at_its_end():
    usual, causal = recognizer(), recognizer(features={"tail_ms": 700})
    samples = cut_audio(clips()[1])[:12000]
    longer = np.concatenate([samples, np.zeros(5600, np.float32)])
    expected = usual.transcribe(longer, 8000)
    assert len(expected.tokens) > len(usual.transcribe(samples, 8000).tokens)
    assert_same(causal.transcribe(samples, 8000), expected)
    stream = causal.stream()
    assert_same(stream.feed(samples), usual.stream().feed(samples))
    assert_same(stream.finish(), expected)
    assert_same(causal.transcribe_long(samples, 8000), expected)


def test_two_streams_do_not_disturb_each_other():
    causal = recognizer()
    first, second = (cut_audio(clips()[n])[:12000] for n in (2, 3))
    streams = causal.stream(), causal.stream()
    for pair in zip(chunks(first, [700]), chunks(second, [700]), strict=True):
        for stream, chunk in zip(streams, pair, strict=True):
            stream.feed(chunk)
    for stream, samples in zip(streams, (first, second), strict=True):
        assert_same(stream.finish(), causal.transcribe(samples, 8000))


def test_the_latency_is_window_and_reduction():
    """8 hops of 10 ms and a window of 25 ms; the encoder frame comes with the last sample that it needs."""
    causal = recognizer()
    stream = causal.stream()
    assert stream.latency_ms == pytest.approx(8 * 10 + 25)
    assert 105 < causal.stream(16000).latency_ms < 106 and 105 < causal.stream(44100).latency_ms < 106
    fed, arrivals = 0, []
    samples = torch.from_numpy(cut_audio(clips()[0])[:2900])
    front_end, encoder = StreamingFrontEnd(causal.front_end), StreamingEncoder(causal.model.encoder)
    with torch.no_grad():
        for sample in samples:
            fed += 1
            if encoder.feed(front_end.feed(sample[None])[None]).shape[1]:
                arrivals.append(fed)
    assert arrivals == [200 + 8 * 80 * n for n in range(5)]
    # a sound that begins one sample after the start of frame n's window is seen whole with frame n + 1
    begins = [8 * 80 * n + 1 for n in range(4)]
    whole = [next(a for a in arrivals if a - 200 >= b) for b in begins]
    assert max(1000 * (a - b) / 8000 for a, b in zip(whole, begins, strict=True)) <= stream.latency_ms


def test_nothing_and_almost_nothing():
    causal = recognizer()
    empty = causal.stream().finish()
    assert (empty.text, empty.tokens, empty.times, empty.score) == ("", [], [], 0.0)
    stream = causal.stream()
    assert stream.feed(np.zeros(0, np.float32)).text == ""
    stream.feed(np.ones(3, np.float32))
    assert_same(stream.finish(), causal.transcribe(np.ones(3, np.float32), 8000))


@pytest.mark.parametrize(
    "sections, message",
    [
        ({"features": {"normalize": "bin"}}, r"features.normalize is bin \(use none or running\)"),
        ({"features": {"normalize_signal": True}}, "features.normalize_signal is true"),
        ({"encoder": {"blocks": None, "alpha": 0.05}}, "encoder.padding is same .*encoder.se is global"),
        (
            {"encoder": {"blocks": [{"filters": 8, "se": "none"}]}},
            r"encoder.blocks\[0\].padding is same \(use causal\)$",
        ),
        (
            {"encoder": {"blocks": [{"filters": 8, "padding": "causal", "se": 128}]}},
            r"utterance: encoder.blocks\[0\].se is 128 \(use causal or none\)$",
        ),
        ({"decoding": {"head": "ctc", "warps": [1.0, 1.1]}}, "decoding.warps is set"),
        ({"decoding": {"beam_width": 5}}, "decoding.beam_width is 5"),
        (
            {"decoding": {"head": "ctc", "beam_width": 5, "rescore_weight": 0.3}},
            "decoding.rescore_weight is set",
        ),
    ],
)
def test_a_model_that_needs_the_future_says_why(sections, message):
    with pytest.raises(InputError, match=message):
        recognizer(**sections).stream()


def test_a_kernel_of_one_and_no_gate_need_no_causal_keys():
    blocks = [{"filters": 8, "layers": 1, "kernel": 1, "se": "none", "stride": 4}]
    causal = recognizer(encoder={"blocks": blocks}, features={"normalize": "none"})
    samples = cut_audio(clips()[0])[:6000]
    assert_same(streamed(causal, samples, 8000, [333]), causal.transcribe(samples, 8000))


def test_the_shipped_configuration_streams():
    settings, tokenizer = load_config("contextnet-digits-streaming"), Tokenizer("words", list("0123456789"))
    causal = Recognizer(settings, build_model(settings, tokenizer.vocabulary), tokenizer)
    assert causal.stream().latency_ms == pytest.approx(105)
    samples = cut_audio(clips()[0])[:8000]
    assert_same(streamed(causal, samples, 8000, [999]), causal.transcribe(samples, 8000))


def test_audio_that_a_stream_cannot_use():
    stream = recognizer().stream()
    with pytest.raises(InputError, match=r"shape \(2, 100\).*mono"):
        stream.feed(np.zeros((2, 100), np.float32))
    stream.finish()
    with pytest.raises(InputError, match="this stream is finished"):
        stream.feed(np.zeros(10, np.float32))


# ---- the parts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["paper", "tensorflowasr"])
@torch.no_grad()
def test_the_encoder_in_pieces(variant):
    encoder, draw = recognizer(encoder={"variant": variant}).model.encoder, random.Random(3)
    x = torch.randn(2, 101, 20)
    expected, _ = encoder(x)
    for most in (1, 5, 9, 40):
        streaming, out = StreamingEncoder(encoder, batch=2), []
        for chunk in chunks(x.transpose(0, 1), [draw.randint(1, most) for _ in range(30)]):
            out.append(streaming.feed(chunk.transpose(0, 1)))
        assert sum(o.shape[1] for o in out) == 13
        torch.testing.assert_close(torch.cat(out, dim=1), expected, atol=1e-5, rtol=1e-5)
