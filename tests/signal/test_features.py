"""Log-mel features: librosa and torchaudio as witnesses, and padding that no utterance can see."""

import librosa
import numpy as np
import pytest
import torch
import torchaudio.functional

from asrlib.errors import InputError
from asrlib.signal.features import FrontEnd, log_mel
from asrlib.signal.framing import frame, frame_count, preemphasize
from asrlib.signal.mel import hz_to_mel, mel_filters, mel_to_hz, warp_filters


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(1)


def noise(*shape):
    return 0.1 * torch.randn(*shape)


def librosa_log_mel(signal, rate, window, hop, mels):
    """librosa centres the window in its FFT frame, ours starts with it: shift the signal, not the powers."""
    fft_size = 2 ** int(np.ceil(np.log2(window)))
    before = (fft_size - window) // 2
    power = librosa.feature.melspectrogram(
        y=np.pad(signal.double().numpy(), (before, fft_size - window - before)),
        sr=rate,
        n_mels=mels,
        n_fft=fft_size,
        win_length=window,
        hop_length=hop,
        window="hann",
        center=False,
        htk=True,
        norm=None,
    )
    return torch.from_numpy(np.log(power.T + 1e-6)).float()


# ---- mel filters -------------------------------------------------------------------------------------------


def test_mel_scale_is_librosas_htk_scale():
    hz = torch.tensor([0.0, 100.0, 1000.0, 7999.0], dtype=torch.float64)
    torch.testing.assert_close(hz_to_mel(hz), torch.from_numpy(librosa.hz_to_mel(hz.numpy(), htk=True)))
    torch.testing.assert_close(mel_to_hz(hz_to_mel(hz)), hz)


@pytest.mark.parametrize(
    "rate, fft_size, mels, low, high", [(16000, 512, 80, 0.0, None), (8000, 256, 40, 60.0, 3800.0)]
)
def test_mel_filters_are_torchaudios_and_librosas(rate, fft_size, mels, low, high):
    ours = mel_filters(rate, fft_size, mels, low, high)
    high = high or rate / 2
    theirs = torchaudio.functional.melscale_fbanks(
        fft_size // 2 + 1, low, high, mels, rate, norm=None, mel_scale="htk"
    )
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
    librosas = librosa.filters.mel(
        sr=rate, n_fft=fft_size, n_mels=mels, fmin=low, fmax=high, htk=True, norm=None, dtype=np.float64
    )
    torch.testing.assert_close(ours.double(), torch.from_numpy(librosas).T, atol=1e-6, rtol=0)


@pytest.mark.parametrize("low, high", [(-1.0, 4000.0), (4000.0, 4000.0), (0.0, 8001.0)])
def test_mel_filters_outside_the_spectrum_are_refused(low, high):
    with pytest.raises(InputError, match="do not fit in 0 to 8000"):
        mel_filters(16000, 512, 80, low, high)


# ---- frames ------------------------------------------------------------------------------------------------


def test_the_longest_librispeech_utterance_has_2972_frames():
    assert frame_count(475_760, 400, 160) == 2972
    assert log_mel(noise(475_760), 16000).shape == (2972, 80)


@pytest.mark.parametrize("samples, frames", [(1, 1), (399, 1), (400, 1), (559, 1), (560, 2), (720, 3)])
def test_frame_counts_around_the_edges(samples, frames):
    assert frame_count(samples, 400, 160) == frames
    assert frame_count(torch.tensor([samples]), 400, 160).tolist() == [frames]
    assert frame(noise(samples), 400, 160).shape == (frames, 400)


def test_a_frame_is_its_samples():
    signal = torch.arange(20.0)
    assert torch.equal(frame(signal, 6, 4)[2], signal[8:14])
    assert torch.equal(frame(signal[:3], 6, 4), torch.tensor([[0.0, 1, 2, 0, 0, 0]]))


def test_preemphasis_by_hand_and_by_librosa():
    y = preemphasize(torch.tensor([[1.0, 2.0, 4.0]]), 0.5)
    assert y.tolist() == [[1.0, 1.5, 3.0]]
    signal = noise(100)
    theirs = torch.from_numpy(librosa.effects.preemphasis(signal.numpy(), coef=0.97, zi=[0.0]))
    torch.testing.assert_close(preemphasize(signal, 0.97), theirs)
    assert preemphasize(signal, 0.0) is signal


# ---- log-mel -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate, mels, window, hop", [(16000, 80, 400, 160), (8000, 40, 200, 80)])
def test_log_mel_is_librosas(rate, mels, window, hop):
    signal = noise(rate)
    ours = log_mel(signal, rate, mels=mels, preemphasis=0.0)
    torch.testing.assert_close(ours, librosa_log_mel(signal, rate, window, hop, mels), atol=1e-3, rtol=0)
    emphasised = librosa_log_mel(preemphasize(signal, 0.97), rate, window, hop, mels)
    torch.testing.assert_close(log_mel(signal, rate, mels=mels), emphasised, atol=1e-3, rtol=0)


def test_window_hop_and_floor_are_those_asked_for():
    signal = noise(8000)
    ours = log_mel(signal, 16000, window_ms=32.0, hop_ms=8.0, mels=24, preemphasis=0.0)
    torch.testing.assert_close(ours, librosa_log_mel(signal, 16000, 512, 128, 24), atol=1e-3, rtol=0)
    silence = log_mel(torch.zeros(1000), 16000, log_floor=1e-3)
    torch.testing.assert_close(silence, torch.full_like(silence, float(np.log(1e-3))))


def test_a_pure_tone_lights_its_mel_bin():
    time = torch.arange(16000) / 16000
    for hz in (300.0, 1000.0, 5000.0):
        loudest = int(log_mel(torch.sin(2 * torch.pi * hz * time), 16000).mean(0).argmax())
        centres = mel_to_hz(torch.linspace(0, float(hz_to_mel(torch.tensor([8000.0]))), 82))[1:-1]
        assert abs(loudest - int((centres - hz).abs().argmin())) <= 1


def test_peak_normalisation_makes_loudness_invisible():
    signal = noise(4000)
    loud, quiet = (log_mel(signal * gain, 16000, normalize_signal=True) for gain in (1.0, 0.01))
    torch.testing.assert_close(loud, quiet, atol=1e-3, rtol=0)
    torch.testing.assert_close(loud, log_mel(signal / signal.abs().max(), 16000))


@pytest.mark.parametrize("normalize, dims", [("utterance", (0, 1)), ("bin", 0)])
def test_normalisation_is_zero_mean_and_unit_variance(normalize, dims):
    signal = noise(8000).cumsum(0)
    raw = log_mel(signal, 16000)
    by_hand = (raw - raw.mean(dims, keepdim=True)) / (raw.std(dims, correction=0, keepdim=True) + 1e-3)
    torch.testing.assert_close(log_mel(signal, 16000, normalize=normalize), by_hand, atol=1e-4, rtol=0)


@pytest.mark.parametrize("normalize", ["none", "utterance", "bin"])
@pytest.mark.parametrize("rubbish", [0.0, 7.0])
def test_padding_is_invisible(normalize, rubbish):
    """Whatever lies behind an utterance, echoes or nothing, it gives the features it gives alone."""
    options = dict(normalize=normalize, normalize_signal=True)
    front_end = FrontEnd(**options)
    lengths = torch.tensor([8000, 4321, 400, 150])
    batch = noise(4, 8000)
    for waveform, length in zip(batch, lengths, strict=True):
        waveform[length:] = rubbish
    features, counts = front_end(batch, lengths)
    assert counts.tolist() == [48, 25, 1, 1]
    for waveform, length, row, count in zip(batch, lengths, features, counts, strict=True):
        alone = log_mel(waveform[:length], 16000, **options)
        torch.testing.assert_close(row[:count], alone, atol=1e-4, rtol=0)
        assert not row[count:].any()


def test_unusable_arguments_are_refused():
    with pytest.raises(InputError, match="empty"):
        log_mel(torch.zeros(0), 16000)
    with pytest.raises(InputError, match="'batch'; use one of none, utterance, bin"):
        log_mel(noise(800), 16000, normalize="batch")
    with pytest.raises(InputError, match="window must be at least as long"):
        FrontEnd(16000, window_ms=5.0, hop_ms=10.0)
    with pytest.raises(InputError, match="at least one sample"):
        FrontEnd(16000, window_ms=5.0, hop_ms=0.0)


# ---- warped frequency --------------------------------------------------------------------------------------


def test_warp_of_one_changes_nothing():
    filters = mel_filters(16000, 512, 80)
    assert torch.equal(warp_filters(filters, torch.ones(2)), filters.expand(2, -1, -1))
    front_end, signal, lengths = FrontEnd(), noise(2, 4000), torch.tensor([4000, 3000])
    torch.testing.assert_close(front_end(signal, lengths, torch.ones(2))[0], front_end(signal, lengths)[0])


def test_warp_moves_each_utterances_filters_by_its_own_factor():
    filters = mel_filters(16000, 512, 80)
    up, down = warp_filters(filters, torch.tensor([1.25, 0.8]))
    bins = torch.arange(257.0)[:, None]
    centre, centre_up, centre_down = ((f * bins).sum(0)[20:60] / f.sum(0)[20:60] for f in (filters, up, down))
    torch.testing.assert_close(centre_up / centre, torch.full((40,), 1.25), atol=0.01, rtol=0)
    torch.testing.assert_close(centre_down / centre, torch.full((40,), 0.8), atol=0.01, rtol=0)


def test_warping_is_linear_interpolation():
    filters = mel_filters(8000, 256, 40)
    warped = warp_filters(filters, torch.tensor([1.13]))[0]
    at = np.arange(129) / np.float32(1.13)
    theirs = np.stack([np.interp(at, np.arange(129), f.numpy()) for f in filters.T], axis=1)
    torch.testing.assert_close(warped, torch.from_numpy(theirs).float(), atol=1e-5, rtol=0)


def test_a_warped_tone_is_a_tone_at_another_frequency():
    """A warp of 1.25 hears 1000 Hz where an unwarped front end hears 800 Hz."""
    front_end, time = FrontEnd(preemphasis=0.0), torch.arange(8000) / 16000
    tones = torch.sin(2 * torch.pi * torch.tensor([[1000.0], [800.0]]) * time)
    features, _ = front_end(tones, torch.tensor([8000, 8000]), torch.tensor([1.25, 1.0]))
    loudest = features.mean(1).argmax(1)
    assert loudest[0] == loudest[1]


def test_centered_powers_are_torchaudios():
    signal = noise(16000)
    mel = torchaudio.transforms.MelSpectrogram(n_fft=512, win_length=400, hop_length=160, n_mels=80)(signal)
    options = dict(preemphasis=0.0, logarithm=False, centered=True)
    features = log_mel(signal, 16000, **options)
    torch.testing.assert_close(features, mel.T, atol=1e-3, rtol=1e-4)
    normalized = (mel - mel.mean(-1, keepdim=True)) / mel.std(-1, keepdim=True)
    features = log_mel(signal, 16000, normalize="recording", **options)
    torch.testing.assert_close(features, normalized.T, atol=1e-4, rtol=1e-4)
    quiet = log_mel(1e-4 * signal, 16000, normalize="recording", **options)
    torch.testing.assert_close(quiet, normalized.T, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("length", [1, 150, 201, 3000])
def test_a_batch_is_mirrored_at_each_signals_own_end(length):
    front_end = FrontEnd(centered=True, normalize="recording", logarithm=False)
    signals, lengths = noise(2, 4000), torch.tensor([4000, length])
    together, counts = front_end(signals, lengths)
    alone, _ = front_end(signals[1:, :length], lengths[1:])
    assert counts.tolist() == [1 + 4000 // 160, 1 + length // 160]
    torch.testing.assert_close(together[1, : counts[1]], alone[0], atol=1e-4, rtol=1e-4)
    assert not together[1, counts[1] :].any()
