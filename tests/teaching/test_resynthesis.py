import pytest
import torch

import asrlib
from asrlib.errors import InputError
from asrlib.teaching.resynthesis import sound_from_log_mel


def features_of_a_clip():
    clip = asrlib.clips()["audio/digits-1.flac"]
    return torch.from_numpy(clip.audio), clip.sampling_rate, clip.text


def test_the_sound_has_the_features_again():
    samples, rate, _ = features_of_a_clip()
    features = asrlib.log_mel(samples, rate)
    sound = sound_from_log_mel(features, rate)
    again = asrlib.log_mel(sound, rate)
    assert again.shape == features.shape and abs(len(sound) - len(samples)) < 400
    a, b = (x[features > features.median()] for x in (features, again))  # where there is sound
    assert torch.corrcoef(torch.stack([a, b]))[0, 1] > 0.95
    random = asrlib.log_mel(torch.randn(len(sound), generator=torch.Generator().manual_seed(0)), rate)
    assert (a - b).abs().mean() < 0.3 * (a - random[features > features.median()]).abs().mean()


def test_more_iterations_come_nearer():
    samples, rate, _ = features_of_a_clip()
    features = asrlib.log_mel(samples, rate)

    def distance(iterations):
        again = asrlib.log_mel(sound_from_log_mel(features, rate, iterations), rate)
        return float((again - features)[features > features.median()].std())  # a peak elsewhere is no error

    assert distance(30) < 0.7 * distance(0)


def test_a_recognizer_still_understands_it():
    samples, rate, text = features_of_a_clip()
    sound = sound_from_log_mel(asrlib.log_mel(samples, rate), rate)
    assert asrlib.Recognizer.load().transcribe(sound.numpy(), rate).text == text


def test_a_tone_comes_back_at_its_frequency():
    rate = 8000
    tone = torch.cos(2 * torch.pi * 1000 * torch.arange(rate // 2) / rate)
    sound = sound_from_log_mel(asrlib.log_mel(tone, rate, mels=40), rate)
    spectrum = torch.fft.rfft(sound).abs()
    strongest = float(torch.fft.rfftfreq(len(sound), 1 / rate)[spectrum.argmax()])
    assert abs(strongest - 1000) < 60


def test_features_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="no frames"):
        sound_from_log_mel(torch.zeros(0, 80))
    with pytest.raises(InputError, match="have 40 mel bins, but mels is 80"):
        sound_from_log_mel(torch.zeros(5, 40), mels=80)
