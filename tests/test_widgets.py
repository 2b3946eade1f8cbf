import io

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
import soundfile

import asrlib
from asrlib import widgets


@pytest.fixture(scope="module")
def recognizer():
    return asrlib.Recognizer.load()


@pytest.fixture(scope="module")
def cut():
    return next(iter(asrlib.clips()))


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
        noise = widgets._noisy(samples, snr_db, seed=0) - samples
        measured = 10 * np.log10((samples**2).mean() / (noise**2).mean())
        assert measured == pytest.approx(snr_db, abs=0.3)


def test_draw_noisy_titles_the_picture_with_what_is_heard(recognizer, cut):
    figure = widgets.draw_noisy(recognizer, asrlib.cut_audio(cut), cut.sampling_rate, 40)
    (title,) = [ax.get_title(loc="left") for ax in figure.axes if ax.get_title(loc="left")]
    assert title.endswith(cut.supervisions[0].text)
