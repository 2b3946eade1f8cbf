"""asrlib.signal.frame_times: when frames are."""

import pytest
import torch

import asrlib
from asrlib.signal.frame_times import FrameTimes


def test_a_frame_is_at_the_center_of_its_window():
    """The energy of a click, as every frame sees it, lies around the click's time."""
    rate, click = 16000, 0.5
    samples = torch.zeros(rate)
    samples[round(click * rate)] = 1.0
    energy = asrlib.log_mel(samples, rate, preemphasis=0.0, log_floor=1e-12).exp().sum(1)
    times = FrameTimes(0.010, 0.0125)(torch.arange(len(energy)))
    assert float((times * energy).sum() / energy.sum()) == pytest.approx(click, abs=2e-3)


def test_an_encoder_frame_is_at_the_center_of_what_it_sees():
    """The same for the lessons' model: the gradient of frame t lies around its time, in feature frames."""
    recognizer = asrlib.Recognizer.load("lessons-model")
    assert recognizer.frame_times == FrameTimes(0.08, 0.0125)
    features = FrameTimes(0.010, 0.0125)
    x = torch.zeros(1, 400, 40, requires_grad=True)
    layers = [(block.kernel, block.stride) for block in recognizer.config.encoder.blocks]
    assert {stride for _, stride in layers} <= {1, 2} and all(kernel % 2 for kernel, _ in layers)
    out = recognizer.model.encoder.blocks[0].layers[0].conv(x)
    (gradient,) = torch.autograd.grad(out[0, 25].sum(), x)
    seen = gradient[0].abs().sum(1)
    center = float((features(torch.arange(400)) * seen.bool()).sum() / seen.bool().sum())
    assert center == pytest.approx(FrameTimes(0.02, 0.0125)(25), abs=1e-6)


def test_tokens_have_the_times_of_their_frames():
    recognizer = asrlib.Recognizer.load("lessons-model")
    clip = asrlib.clips()["audio/digits-1.flac"]
    found = recognizer.transcribe(clip.audio, clip.sampling_rate)
    frames = [(time - 0.0125) / 0.08 for time in found.times]
    assert frames == pytest.approx([round(frame) for frame in frames], abs=1e-6) and frames[0] >= 0
