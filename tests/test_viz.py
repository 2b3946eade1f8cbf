import matplotlib
import pytest

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from asrlib import viz


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def test_waveform_spans_its_duration():
    ax = viz.plot_waveform(np.zeros(8000), 16000)
    assert ax.get_xlim() == (0, 0.5)
    assert "(s)" in ax.get_xlabel()


def test_log_mel_picture_has_time_across_and_mel_upwards():
    features = np.zeros((150, 40))
    features[:, 39] = 1.0
    ax = viz.plot_log_mel(features, hop_ms=10)
    (image,) = ax.get_images()
    assert image.get_extent() == [0, 1.5, 0, 40]
    assert image.get_array().shape == (40, 150)
    assert image.get_array()[39].min() == 1.0 and image.origin == "lower"


def test_plots_draw_into_the_axes_they_are_given():
    _, ax = plt.subplots()
    assert viz.plot_waveform(np.zeros(10), 10, ax) is ax
    assert viz.mark_words([("one", 0.1, 0.4)], ax) is ax
    assert viz.mark_tokens(["one"], [0.2], ax) is ax
    assert [text.get_text() for text in ax.texts] == ["one", "one"]
    assert ax.texts[0].get_position()[0] == pytest.approx(0.25)


def test_history_separates_loss_rate_and_wer():
    history = [
        {"step": 1, "loss": 2.0, "lr": 0.1},
        {"step": 2, "loss": 1.0, "lr": 0.2},
        {"step": 2, "dev_wer": 50.0},
    ]
    loss, rate, wer = viz.plot_history(history)
    assert loss.lines[0].get_xydata().tolist() == [[1, 2.0], [2, 1.0]]
    assert rate.lines[0].get_xydata().tolist() == [[1, 0.1], [2, 0.2]]
    assert wer.lines[0].get_xydata().tolist() == [[2, 50.0]]


def test_an_empty_history_is_no_error():
    assert len(viz.plot_history([])) == 3
