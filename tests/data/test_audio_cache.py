"""asrlib.data.audio_cache: decoded once, the same from memory and from disk."""

import numpy as np
import pytest
import soundfile
import tiny
import torch
from cuts import utterance

from asrlib.data.audio_cache import AudioCache
from asrlib.errors import InputError


def test_audio_is_the_same_from_memory_and_from_disk(tmp_path):
    samples = tiny.tones("low high", 16000)
    soundfile.write(tmp_path / "a.wav", samples, 16000)
    cut = utterance("a", len(samples) / 16000, path=tmp_path / "a.wav", rate=16000)
    forgetful, cache = AudioCache(8000, max_bytes=100), AudioCache(8000)
    first = cache.load(cut)
    assert first.dtype == torch.float32 and first.shape == (len(samples) // 2,)
    assert np.abs(first.numpy() - samples[::2]).mean() < 0.003  # both tones are far below 4 kHz
    assert torch.equal(first, forgetful.load(cut)) and torch.equal(first, forgetful.load(cut))
    (tmp_path / "a.wav").unlink()
    assert torch.equal(first, cache.load(cut))
    with pytest.raises(InputError, match="a.wav"):
        forgetful.load(cut)


def test_loaded_audio_may_be_changed_in_place(tmp_path):
    soundfile.write(tmp_path / "a.wav", tiny.tones("low"), 8000)
    cut = utterance("a", 0.1, path=tmp_path / "a.wav")
    cache = AudioCache(8000)
    before = cache.load(cut).clone()
    cache.load(cut).zero_()
    assert torch.equal(cache.load(cut), before)
