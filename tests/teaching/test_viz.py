import matplotlib
import pytest

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch

from asrlib.models.layers.conv import depthwise_conv, receptive_field
from asrlib.teaching import viz


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


def test_spectrogram_is_in_decibels_below_the_strongest():
    power = np.ones((50, 129))
    power[:, 64] = 1000.0
    ax = viz.plot_spectrogram(power, 8000, hop_ms=10)
    (image,) = ax.get_images()
    assert image.get_extent() == [0, 0.5, 0, 4000]
    assert (image.get_array()[64] == 0).all() and np.allclose(image.get_array()[0], -30)
    assert "(Hz)" in ax.get_ylabel()


def test_a_spectrogram_of_silence_is_no_error():
    (image,) = viz.plot_spectrogram(np.zeros((5, 9)), 8000).get_images()
    assert (image.get_array() == -120).all()


def test_mel_filters_are_drawn_over_hertz():
    filters = np.eye(9)[:, 2:8]
    ax = viz.plot_mel_filters(filters, 8000, every=2)
    assert [line.get_xdata()[line.get_ydata().argmax()] for line in ax.lines] == [1000, 2000, 3000]


def test_label_probabilities_leave_out_labels_that_never_speak():
    probabilities = np.array([[0.9, 0.08, 0.02], [0.2, 0.78, 0.02]])
    ax = viz.plot_label_probabilities(probabilities, ["∅", "one", "two"], frame_seconds=0.08)
    blank, one = ax.lines
    assert [blank.get_label(), one.get_label()] == ["∅", "one"]
    assert blank.get_linestyle() == "--"
    assert one.get_xydata().tolist() == [[0.0, 0.08], [0.08, 0.78]]
    assert "(s)" in ax.get_xlabel() and ax.get_xlim() == pytest.approx((-0.04, 0.12))


@pytest.mark.parametrize("upwards", [False, True])
def test_nodes_stand_at_their_frame_and_row(upwards):
    values = np.array([[0.0, 0.1, 0.2], [0.3, 0.4, 0.5]])  # two frames, three rows
    path = [(0, 0), (1, 2)]
    ax = viz.plot_nodes(values, ["a", "b", "c"], path=path, upwards=upwards, decimals=1)
    (image,) = ax.get_images()
    assert image.get_array().tolist() == values.T.tolist()
    for text in ax.texts:
        t, row = text.get_position()
        assert text.get_text() == f"{values[int(t), int(row)]:.1f}"
    assert len(ax.texts) == values.size
    assert ax.lines[0].get_xydata().tolist() == [[0, 0], [1, 2]]
    low, high = ax.get_ylim()
    assert (low < high) == upwards
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]


def test_nodes_over_seconds():
    ax = viz.plot_nodes(np.zeros((10, 2)), ["a", "b"], frame_seconds=0.08, path=[(5, 1)])
    assert "(s)" in ax.get_xlabel()
    assert ax.get_xlim() == pytest.approx((-0.04, 0.76))
    assert ax.lines[0].get_xydata().tolist() == [[0.4, 1]]


def test_moves_draw_every_arrow_and_the_path_in_orange():
    moves = [((0, 0), (1, 0), "0.5"), ((0, 0), (0, 1), "0.3"), ((0, 1), (1, 1), "0.7")]
    ax = viz.plot_moves(moves, ["u = 0", "u = 1"], path=[(0, 0), (0, 1), (1, 1)], upwards=True)
    shown = {text.get_text(): text.get_color() for text in ax.texts}
    assert shown["0.5"] == viz.GREY and shown["0.3"] == shown["0.7"] == viz.ORANGE
    assert {"0,0", "1,0", "0,1", "1,1"} <= set(shown)
    assert ax.get_ylim() == (-0.5, 1.5)


@pytest.mark.parametrize("padding", ["same", "causal"])
@pytest.mark.parametrize("layers", [[(3, 1)], [(5, 1), (3, 1)], [(3, 2), (5, 2), (3, 1)]])
def test_receptive_field_draws_the_frames_that_gradients_reach(layers, padding):
    x = torch.zeros(1, 400, 1, requires_grad=True)
    y = x
    for kernel, stride in layers:
        y = depthwise_conv(y, torch.ones(1, kernel), stride, padding)
    own = 20
    y[0, own, 0].backward()
    reached = (x.grad[0, :, 0].nonzero()[:, 0] - own * receptive_field(layers)[-1][1]).tolist()
    ax = viz.plot_receptive_field(layers, padding)
    rows = {line.get_ydata()[0]: list(line.get_xdata()) for line in ax.lines}
    assert rows[0] == reached and rows[len(layers)] == [0]
    assert [label.get_text() for label in ax.get_yticklabels()][0] == "input"


def test_dependency_is_white_where_there_is_none_and_shown_where_it_is_faint():
    dependency = np.array([[2.0, 0.0], [1e-9, 1.0]])
    (image,) = viz.plot_dependency(dependency).get_images()
    assert image.get_array().mask.tolist() == [[False, True], [False, False]]
    assert image.get_array().tolist() == [[1.0, None], [1e-4, 0.5]]


def test_gates_are_drawn_in_the_order_of_the_first():
    first, second = viz.plot_gates([("a", [0.9, 0.1, 0.5]), ("b", [1.0, 2.0, 3.0])]).lines
    assert first.get_ydata().tolist() == [0.1, 0.5, 0.9]
    assert second.get_ydata().tolist() == [2.0, 3.0, 1.0]


def test_distribution_has_blank_on_top():
    ax = viz.plot_distribution(np.array([0.7, 0.2, 0.1]), ["∅", "one", "two"])
    assert [bar.get_width() for bar in ax.patches] == [0.7, 0.2, 0.1]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["∅", "one", "two"]
    assert ax.yaxis_inverted() and ax.get_xlim() == (0, 1)


def test_hypotheses_are_as_long_as_their_probability():
    ax = viz.plot_hypotheses([("one two", np.log(0.75)), ("", np.log(0.25))])
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([0.75, 0.25])
    assert [text.get_text().split("  ")[0] for text in ax.texts] == ["one two", "(nothing yet)"]


def test_blocks_are_coloured_by_their_frame_rate():
    ax = viz.plot_blocks([1.0, 2.0, 3.0, 4.0], [1, 1, 2, 8], "parameters (millions)")
    heights = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in ax.patches}
    assert heights == {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0}
    colors = [container.patches[0].get_facecolor() for container in ax.containers]
    assert [len(container) for container in ax.containers] == [2, 1, 1] and len(set(colors)) == 3
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["1", "1/2", "1/8"]
    assert ax.get_ylabel() == "parameters (millions)"


def test_costs_are_laid_end_to_end_and_a_bonus_leads_back():
    ax = viz.plot_costs([("one", {"audio": 2.0, "lm": 1.0, "bonus": -0.5}), ("", {"audio": 3.0, "lm": 0.25})])
    assert [(bar.get_x(), bar.get_width()) for bar in ax.patches] == [
        (0, 2.0), (2.0, 1.0), (3.0, -0.5), (0, 3.0), (3.0, 0.25),
    ]  # fmt: skip
    assert [line.get_xdata()[0] for line in ax.lines] == [2.5, 3.25]
    assert [text.get_text() for text in ax.texts] == ["one   2.50", "(nothing yet)   3.25"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["audio", "lm", "bonus"]


def test_confusions_colour_only_what_went_wrong():
    ax = viz.plot_confusions([[9, 2], [0, 4]], ["five", "nine"])
    assert ax.images[0].get_array().tolist() == [[0, 2], [0, 0]]
    found = {text.get_position(): text.get_text() for text in ax.texts}
    assert found == {(0, 0): "9", (1, 0): "2", (1, 1): "4"}  # (column, row): five was heard as nine
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("heard", "said")


def test_calibration_bins_hold_equally_many():
    confidence = np.array([0.9, 0.1, 0.2, 0.8, 0.3, 0.7])
    ax = viz.plot_calibration(confidence, confidence > 0.5, bins=3)
    line = ax.lines[1]
    assert line.get_xdata() == pytest.approx([0.15, 0.5, 0.85])
    assert line.get_ydata() == pytest.approx([0, 0.5, 1])
    few = viz.plot_calibration([0.4], [True], bins=5)
    assert few.lines[1].get_xdata().tolist() == [0.4]


def test_emissions_stand_at_their_seconds_one_row_a_recogniser():
    words = [("one", 0.1, 0.4), ("two", 0.4, 0.8)]
    rows = [("CTC", ["one", "two"], [0.2, 0.5]), ("transducer", ["one"], [0.3]), ("silent", [], [])]
    ax = viz.plot_emissions(rows, words)
    marks = [line.get_xydata().tolist() for line in ax.lines if line.get_marker() == "|"]
    assert marks == [[[0.2, 0], [0.5, 0]], [[0.3, 1]], []]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["CTC", "transducer", "silent"]
    assert [text.get_text() for text in ax.texts] == ["one", "two", "one", "one", "two"]
    bottom, top = ax.get_ylim()
    assert bottom > top and "(s)" in ax.get_xlabel()
