import numpy as np
import pytest
import torch

from asrlib.models.layers.conv import depthwise_conv, receptive_field
from asrlib.teaching import viz


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
    assert (image.norm.vmin, image.norm.vmax) == (1e-4, 1)  # the color scale ends where values are cut off


def test_gates_are_drawn_in_the_order_of_the_first():
    first, second = viz.plot_gates([("a", [0.9, 0.1, 0.5]), ("b", [1.0, 2.0, 3.0])]).lines
    assert first.get_ydata().tolist() == [0.1, 0.5, 0.9]
    assert second.get_ydata().tolist() == [2.0, 3.0, 1.0]


def test_blocks_are_colored_by_their_frame_rate():
    ax = viz.plot_blocks([1.0, 2.0, 3.0, 4.0], [1, 1, 2, 8], "parameters (millions)")
    heights = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in ax.patches}
    assert heights == {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0}
    colors = [container.patches[0].get_facecolor() for container in ax.containers]
    assert [len(container) for container in ax.containers] == [2, 1, 1] and len(set(colors)) == 3
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["1", "1/2", "1/8"]
    assert ax.get_ylabel() == "parameters (millions)"
