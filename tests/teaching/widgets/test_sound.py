import io

import numpy as np
import pytest
import soundfile
import torch

import asrlib
from asrlib.teaching import widgets


def test_noise_explorer_redraws_over_the_whole_range_of_its_slider(recognizer, cut):
    samples = asrlib.cut_audio(cut)
    slider, picture, sound = widgets.noise_explorer(recognizer, samples, cut.sampling_rate).children
    seen = {(bytes(picture.value), bytes(sound.value))}
    positions = range(slider.min, slider.max + 1, slider.step)
    for position in positions:
        slider.value = position
        assert bytes(picture.value).startswith(b"\x89PNG")
        heard, rate = soundfile.read(io.BytesIO(bytes(sound.value)))
        assert rate == cut.sampling_rate and len(heard) == len(samples)
        seen.add((bytes(picture.value), bytes(sound.value)))
    assert len(seen) == len(positions)


def test_noise_is_as_loud_as_the_slider_says(cut):
    samples = asrlib.cut_audio(cut)
    for snr_db in (-10, 0, 20):
        noise = widgets.with_white_noise(samples, snr_db, seed=0) - samples
        measured = 10 * np.log10((samples**2).mean() / (noise**2).mean())
        assert measured == pytest.approx(snr_db, abs=0.3)


def test_draw_noisy_titles_the_picture_with_what_is_heard(recognizer, cut):
    figure = widgets.draw_noisy(recognizer, asrlib.cut_audio(cut), cut.sampling_rate, 40)
    (title,) = [ax.get_title(loc="left") for ax in figure.axes if ax.get_title(loc="left")]
    assert title.endswith(cut.supervisions[0].text)


def test_spectrogram_explorer_redraws_over_the_range_of_each_slider(cut):
    *sliders, message, picture, sound = widgets.spectrogram_explorer(
        asrlib.cut_audio(cut)[:8000], cut.sampling_rate
    ).children
    start, seen = [slider.value for slider in sliders], {bytes(picture.value)}
    for slider, value in zip(sliders, start, strict=True):
        for position in range(slider.min, slider.max + 1, slider.step):
            slider.value = position
            if sliders[0].value < sliders[1].value:
                assert "window must be at least as long as the hop" in message.value
            else:
                assert bytes(picture.value).startswith(b"\x89PNG") and not message.value
                heard, rate = soundfile.read(io.BytesIO(bytes(sound.value)))
                assert rate == cut.sampling_rate and 0.4 < len(heard) / rate <= 0.5
                seen.add(bytes(picture.value))
        slider.value = value
    too_short = sum(n < start[1] for n in range(sliders[0].min, sliders[0].max + 1, sliders[0].step))
    positions = sum(len(range(s.min, s.max + 1, s.step)) for s in sliders)
    assert len(seen) == positions - too_short - (len(sliders) - 1)


def test_draw_spectrogram_shows_the_features_of_the_lessons(cut):
    """The lower picture is ``log_mel`` with its usual values, pre-emphasis included."""
    samples = torch.from_numpy(asrlib.cut_audio(cut))
    (image,) = widgets.draw_spectrogram(samples, cut.sampling_rate).axes[1].get_images()
    features = asrlib.log_mel(samples, cut.sampling_rate).T
    np.testing.assert_allclose(image.get_array(), features, atol=1e-4)


def test_draw_spectrogram_says_how_many_filters_are_empty(cut):
    figure = widgets.draw_spectrogram(asrlib.cut_audio(cut), 16000, window_ms=5, hop_ms=5, mels=80)
    above, below = figure.axes[:2]
    frames = 1 + (len(asrlib.cut_audio(cut)) - 80) // 80
    assert above.get_title() == f"{frames} frames of 80 samples, hop 80"
    assert above.get_images()[0].get_array().shape == (65, frames)
    empty = int((asrlib.signal.mel.mel_filters(16000, 128, 80).sum(0) == 0).sum())
    assert empty > 0 and below.get_title() == f"80 filters over bins of 125 Hz, {empty} of them empty"
