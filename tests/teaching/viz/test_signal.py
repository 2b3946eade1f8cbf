import matplotlib.pyplot as plt
import numpy as np
import pytest

from asrlib.teaching import viz


def test_waveform_spans_its_duration():
    ax = viz.plot_waveform(np.zeros(8000), 16000)
    assert ax.get_xlim() == (0, 0.5)
    assert "(s)" in ax.get_xlabel()


def test_log_mel_picture_has_time_across_and_mel_upwards():
    features = np.zeros((150, 40))
    features[:, 39] = 1.0
    ax = viz.plot_log_mel(features, hop_ms=10)
    (image,) = ax.get_images()
    # a frame is drawn around the center of its window of 25 ms
    assert image.get_extent() == pytest.approx([0.0075, 1.5075, 0, 40]) and ax.get_xlim()[0] == 0
    assert image.get_array().shape == (40, 150)
    assert image.get_array()[39].min() == 1.0 and image.origin == "lower"


def test_log_mel_picture_shows_hertz_where_the_filters_have_their_tips():
    from asrlib.signal.mel import mel_filters

    ax = viz.plot_log_mel(np.zeros((10, 40)), sample_rate=8000)
    marked = dict(zip([label.get_text() for label in ax.get_yticklabels()], ax.get_yticks(), strict=True))
    assert list(marked) == ["250", "500", "1,000", "2,000"] and "Hz" in ax.get_ylabel()
    filters = mel_filters(8000, 4096, 40)
    for text, place in marked.items():
        tip = int(filters[round(float(text.replace(",", "")) * 4096 / 8000)].argmax())
        assert abs(place - (tip + 0.5)) < 0.6


def test_plots_draw_into_the_axes_they_are_given():
    _, ax = plt.subplots()
    assert viz.plot_waveform(np.zeros(10), 10, ax) is ax
    assert viz.mark_words([("one", 0.1, 0.4)], ax) is ax
    assert viz.mark_tokens(["one"], [0.2], ax) is ax
    assert [text.get_text() for text in ax.texts] == ["one", "one"]
    assert ax.texts[0].get_position()[0] == pytest.approx(0.25)


def test_words_over_a_picture_leave_its_colors_alone():
    over_a_line, over_a_picture = viz.plot_waveform(np.zeros(10), 10), viz.plot_log_mel(np.zeros((150, 40)))
    for ax in (over_a_line, over_a_picture):
        limits = ax.get_xlim(), ax.get_ylim()
        viz.mark_words([("one", 0.1, 0.4)], ax)
        assert (ax.get_xlim(), ax.get_ylim()) == limits
    assert len(over_a_line.patches) == 1 and not over_a_picture.patches


def test_spectrogram_is_in_decibels_below_the_strongest():
    power = np.ones((50, 129))
    power[:, 64] = 1000.0
    ax = viz.plot_spectrogram(power, 8000, hop_ms=10)
    (image,) = ax.get_images()
    assert image.get_extent() == pytest.approx([0.0075, 0.5075, 0, 4000])
    assert (image.get_array()[64] == 0).all() and np.allclose(image.get_array()[0], -30)
    assert "(Hz)" in ax.get_ylabel()


def test_a_spectrogram_of_silence_is_no_error():
    (image,) = viz.plot_spectrogram(np.zeros((5, 9)), 8000).get_images()
    assert (image.get_array() == -120).all()


def test_mel_filters_are_drawn_over_hertz():
    filters = np.eye(9)[:, 2:8]
    ax = viz.plot_mel_filters(filters, 8000, every=2)
    assert [line.get_xdata()[line.get_ydata().argmax()] for line in ax.lines] == [1000, 2000, 3000]
