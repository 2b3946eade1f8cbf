import numpy as np
import pytest

from asrlib.signal.frame_times import FrameTimes
from asrlib.teaching import viz

CLOCK = FrameTimes(0.08, 0.0125)


def test_label_probabilities_leave_out_labels_that_never_speak():
    probabilities = np.array([[0.9, 0.08, 0.02], [0.2, 0.78, 0.02]])
    ax = viz.plot_label_probabilities(probabilities, ["∅", "one", "two"], frame_times=CLOCK)
    blank, one = ax.lines
    assert [blank.get_label(), one.get_label()] == ["∅", "one"]
    assert blank.get_linestyle() == "--"
    assert one.get_xydata().tolist() == [[0.0125, 0.08], [0.0925, 0.78]]
    assert {line.get_drawstyle() for line in ax.lines} == {"steps-mid"}  # nothing is claimed between frames
    assert [text.get_text() for text in ax.texts] == ["one"] and ax.texts[0].xy == (0.0925, 0.78)
    assert "(s)" in ax.get_xlabel() and ax.get_xlim() == pytest.approx((-0.0275, 0.1325))


def test_distribution_has_blank_on_top():
    ax = viz.plot_distribution(np.array([0.7, 0.2, 0.1]), ["∅", "one", "two"])
    assert [bar.get_width() for bar in ax.patches] == [0.7, 0.2, 0.1]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["∅", "one", "two"]
    assert ax.yaxis_inverted() and ax.get_xlim() == (0, 1)


def test_ten_labels_look_different():
    names = ["∅", *map(str, range(10))]
    ax = viz.plot_label_probabilities(np.full((3, 11), 0.5), names)
    looks = {(line.get_color(), line.get_linestyle()) for line in ax.lines}
    assert len(looks) == len(ax.lines) == 11


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
    ax = viz.plot_nodes(np.zeros((10, 2)), ["a", "b"], frame_times=CLOCK, path=[(5, 1)])
    assert "(s)" in ax.get_xlabel()
    assert ax.get_xlim() == pytest.approx((-0.0275, 0.7725))
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[0.4125, 1]])


def test_moves_draw_every_arrow_and_the_path_in_orange():
    moves = [((0, 0), (1, 0), "0.5"), ((0, 0), (0, 1), "0.3"), ((0, 1), (1, 1), "0.7")]
    ax = viz.plot_moves(moves, ["u = 0", "u = 1"], path=[(0, 0), (0, 1), (1, 1)], upwards=True)
    shown = {text.get_text(): text.get_color() for text in ax.texts}
    assert shown["0.5"] == viz.GREY and shown["0.3"] == shown["0.7"] == viz.ORANGE
    assert {"0,0", "1,0", "0,1", "1,1"} <= set(shown)
    assert ax.get_ylim() == (-0.5, 1.5)
