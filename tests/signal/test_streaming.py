"""Resampling and the front end chunk by chunk, against the whole signal at once."""

import random

import numpy as np
import pytest
import torch
import torchaudio.functional
from streams import chunks

from asrlib.errors import InputError
from asrlib.signal.features import FrontEnd
from asrlib.signal.resample import resample
from asrlib.signal.streaming import StreamingFrontEnd, StreamingResampler, mono_chunk


@pytest.mark.parametrize(
    "rates", [(16000, 8000), (44100, 16000), (8000, 16000), (11025, 8000), (16000, 16000)]
)
def test_the_resampler_is_torchaudios(rates):
    draw, rate, new_rate = random.Random(1), *rates
    for count in (1, 5, 100, 3001):
        x = torch.randn(count)
        expected = torchaudio.functional.resample(x, rate, new_rate)
        for most in (3, 500):
            resampler, out = StreamingResampler(rate, new_rate), []
            for chunk in chunks(x, [draw.randint(1, most) for _ in range(40)]):
                out.append(resampler.feed(chunk))
                assert len(resampler.buffer) < 2000  # a stream may be hours long
            out.append(resampler.finish())
            torch.testing.assert_close(torch.cat(out), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("rates", [(16000, 8000), (44100, 16000), (8000, 16000)])
def test_the_resampler_waits_no_longer_than_it_says(rates):
    rate, new_rate = rates
    resampler = StreamingResampler(rate, new_rate)
    assert resampler.delay_seconds < 0.001
    given = 0
    for fed in range(1, 3000):
        given += len(resampler.feed(torch.zeros(1)))
        assert fed / rate - given / new_rate <= resampler.delay_seconds + 1 / rate + 1 / new_rate


@pytest.mark.parametrize("normalize", ["none", "running"])
def test_the_front_end_in_pieces(normalize):
    front_end, draw = FrontEnd(8000, mels=12, normalize=normalize), random.Random(2)
    for count in (1, 199, 200, 201, 4321):
        x = torch.randn(count)
        expected = front_end(x[None], torch.tensor([count]))[0][0]
        streaming = StreamingFrontEnd(front_end)
        out = [streaming.feed(c) for c in chunks(x, [draw.randint(1, 300) for _ in range(30)])]
        torch.testing.assert_close(torch.cat([*out, streaming.finish()]), expected, atol=1e-5, rtol=1e-5)


def test_a_chunk_is_one_row_of_any_number_of_samples():
    assert mono_chunk([]).shape == (0,) and mono_chunk(np.zeros(3, np.float64)).dtype == torch.float32
    with pytest.raises(InputError, match=r"shape \(2, 100\).*mono"):
        mono_chunk(np.zeros((2, 100), np.float32))


def test_a_running_mean_is_that_of_the_frames_so_far():
    features = FrontEnd(8000, mels=12)
    running = FrontEnd(8000, mels=12, normalize="running")
    x, lengths = torch.randn(2, 3000), torch.tensor([3000, 1100])
    plain, counts = features(x, lengths)
    found, _ = running(x, lengths)
    for row in range(2):
        for t in range(int(counts[row])):
            expected = plain[row, t] - plain[row, : t + 1].mean(0)
            torch.testing.assert_close(found[row, t], expected, atol=1e-5, rtol=1e-5)
    assert float(found[1, int(counts[1]) :].abs().max()) == 0
    louder, _ = running(3 * x, lengths)
    torch.testing.assert_close(louder, found, atol=1e-3, rtol=0)  # but for the floor under the logarithm


@pytest.mark.parametrize("rates", [(44101, 16000), (16000, 44101), (8001, 8000)])
def test_the_resampler_of_rates_without_a_common_divisor(rates, seed):
    draw, rate, new_rate = random.Random(1), *rates
    x = torch.randn(3001)
    resampler, out = StreamingResampler(rate, new_rate), []
    for chunk in chunks(x, [draw.randint(1, 500) for _ in range(40)]):
        out.append(resampler.feed(chunk))
        assert len(resampler.buffer) < 600  # not a period, which is a second
    out.append(resampler.finish())
    torch.testing.assert_close(torch.cat(out), resample(x, rate, new_rate), atol=1e-4, rtol=0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_samples_that_are_no_numbers_are_refused(bad):
    for chunk in ([0.0, bad], np.array([bad]), torch.tensor([0.1, bad, 0.2])):
        with pytest.raises(InputError, match="NaN or infinite"):
            mono_chunk(chunk)
    for chunk in (["loud"], None, object()):
        with pytest.raises(InputError, match="no array of samples|has shape"):
            mono_chunk(chunk)


def test_tensors_with_gradients_are_samples():
    assert not mono_chunk(torch.zeros(3, requires_grad=True)).requires_grad


@pytest.mark.parametrize("samples", [1, 79, 80, 81, 199, 200, 2001])
@pytest.mark.parametrize("tail", [0, 8, 300])
def test_windows_that_zeros_complete_and_those_of_the_tail_come_at_the_end(samples, tail):
    front_end = FrontEnd(8000, mels=12, pad_end=True, tail_ms=tail)
    signal = 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(0))
    expected = front_end(signal[None], torch.tensor([samples]))[0][0]
    streaming = StreamingFrontEnd(front_end)
    found = torch.cat([*(streaming.feed(piece) for piece in signal.split(70)), streaming.finish()])
    assert len(found) == -(-(samples + 8 * tail) // 80)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("samples", [1, 160, 200, 2001])
def test_a_tail_is_silence_that_follows_the_utterance(samples):
    front_end, usual = (FrontEnd(8000, mels=12, normalize="running", tail_ms=tail) for tail in (90, 0))
    signal = 0.1 * torch.randn(2, 3000, generator=torch.Generator().manual_seed(0))
    longer = torch.cat([signal[0, :samples], torch.zeros(720)])
    expected, _ = usual(longer[None], torch.tensor([len(longer)]))
    found, counts = front_end(signal, torch.tensor([samples, 3000]))  # what else the batch holds is not heard
    assert counts.tolist() == [expected.shape[1], front_end.frame_count(3000)]
    torch.testing.assert_close(found[:1, : counts[0]], expected)
    assert found[0, counts[0] :].abs().max() == 0
    streaming = StreamingFrontEnd(front_end)
    pieces = [*(streaming.feed(piece) for piece in signal[0, :samples].split(70)), streaming.finish()]
    torch.testing.assert_close(torch.cat(pieces), expected[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("tail", [-1, float("nan"), float("inf")])
def test_a_tail_is_some_milliseconds(tail):
    with pytest.raises(InputError, match="tail_ms is .*; give the duration of silence in ms"):
        FrontEnd(8000, tail_ms=tail)


def test_nothing_has_no_tail():
    assert StreamingFrontEnd(FrontEnd(8000, mels=12, tail_ms=90)).finish().shape == (0, 12)
