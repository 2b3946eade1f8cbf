import numpy as np
import pytest

from asrlib.teaching import viz


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


def test_confusions_color_only_what_went_wrong():
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


def test_seeds_are_dots_and_this_run_a_circle_over_them():
    table = {"WER (%)": {"a": [1.0, 2.0, 3.0], "b": [5.0, 4.0, 6.0], "c": [9.0]}, "loss": {"a": [7.0]}}
    ax = viz.plot_seeds(table, {"WER (%)": {"b": 5.5, "a": 0.5}, "loss": {}}, "WER (%)")
    dots, run, *_ = ax.lines
    assert dots.get_xydata().tolist() == [[5.0, 0], [4.0, 0], [6.0, 0]]
    assert run.get_xydata().tolist() == [[5.5, 0]] and run.get_fillstyle() == "none"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "a"]
    assert ax.get_xlabel() == "WER (%)"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["3 seeds", "this run"]


def test_a_run_without_seeds_is_drawn_alone():
    ax = viz.plot_seeds({}, {"WER (%)": {"a": 5.0}}, "WER (%)")
    assert [len(line.get_xdata()) for line in ax.lines] == [0, 1]


def test_contexts_are_lines_of_means_with_a_dot_per_repeat():
    ax = viz.plot_contexts({"a": {10.24: [3.0, 5.0], 3600.0: [2.0]}, "b": {20.48: [9.0]}})
    line, dots, *_ = ax.lines
    assert line.get_xydata().tolist() == [[10.24, 4.0], [3600.0, 2.0]]
    assert dots.get_xydata().tolist() == [[10.24, 3.0], [10.24, 5.0], [3600.0, 2.0]]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["10 s", "20 s", "1 h"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_xscale()) == ("context", "WER (%)", "log")


def test_contexts_that_are_close_share_a_label():
    ax = viz.plot_contexts({"a": {1310.72: [3.0], 2621.44: [2.0], 3600.0: [2.0]}})
    assert [text.get_text() for text in ax.get_xticklabels()] == ["22 min", "1 h"]
