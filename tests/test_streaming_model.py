"""The streaming digit recognizer that ships: it streams what it transcribes, with both heads, for minutes."""

import json

import numpy as np
import pytest
import torch
from streams import streamed

from asrlib.data.corpora import clips
from asrlib.files import assets
from asrlib.metrics import word_error_rate
from asrlib.recognizer import Recognizer


@pytest.fixture
def recognizer():
    return Recognizer.load("digits-streaming-model")


@pytest.fixture(scope="module")
def digits():
    return [clip for clip in clips() if "digits" in clip.id]


def test_it_is_small_and_causal(recognizer):
    folder = assets() / "digits-streaming-model"
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 2_000_000
    assert recognizer.streaming_obstacles() == [] and not recognizer.members
    assert recognizer.stream(8000).latency_ms == pytest.approx(105)
    blocks = recognizer.config.encoder.blocks
    assert {block.padding for block in blocks} == {block.se for block in blocks} == {"causal"}
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["latency_ms"] == 105 and metrics["wer"]["everyone"]["ctc"]["an4"]["length"] == 195


@pytest.mark.parametrize("head", ["ctc", "transducer"])
def test_a_stream_writes_what_the_whole_utterance_gives(recognizer, digits, head):
    recognizer.config.decoding.head = head
    said, heard = [], []
    for clip in digits:
        whole = recognizer.transcribe(clip.audio, clip.sampling_rate)
        found = streamed(recognizer, clip.audio, clip.sampling_rate, [1600, 77])
        assert (found.text, found.tokens) == (whole.text, whole.tokens)
        said.append(clip.text)
        heard.append(found.text)
    # words on the edge fall either way between processors: 18 words, of which six may be wrong
    assert word_error_rate(said, heard).rate < 34


def test_minutes_later_it_hears_as_well(recognizer, digits):
    """Each third of a stream of three minutes; the state has the size that it had after a second."""
    noise = np.random.default_rng(0)
    stream, said, at, seconds = recognizer.stream(16000), [], [], 0.0
    sizes = set()
    while seconds < 180:
        for clip in digits:
            pause = 1e-3 * noise.standard_normal(round(noise.uniform(0.5, 6) * 16000))
            stream.feed(torch.from_numpy(pause).float())
            seconds += len(pause) / 16000
            said.append(clip.text)
            at.append(seconds)
            found = stream.feed(clip.audio)
            seconds += clip.duration
            sizes.add(sum(x.numel() for x in stream._encoder.state))
    found = stream.finish()
    assert len(sizes) == 1
    heard = [[] for _ in said]
    for word, time in zip(found.text.split(), found.times, strict=True):
        heard[max(0, int(np.searchsorted(at, time)) - 1)].append(word)
    third = len(said) // 3
    for part in range(3):
        inside = slice(part * third, (part + 1) * third)
        assert word_error_rate(said[inside], [" ".join(words) for words in heard[inside]]).rate < 40
