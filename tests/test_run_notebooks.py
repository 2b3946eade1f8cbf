"""The tool that executes the lessons: what it does to their outputs."""

import base64
import io

import numpy as np
import run_notebooks  # noqa: E402 (after the path)
from nbformat.v4 import new_output
from PIL import Image


def test_a_figure_keeps_its_look_at_a_fraction_of_its_size():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(4, 2))
    ax.imshow(np.random.default_rng(0).random((40, 80)), cmap="magma")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    before = base64.b64encode(buffer.getvalue()).decode()
    after = run_notebooks.with_palette(before)
    old, new = pixels(before), pixels(after)
    assert new.shape == old.shape
    assert np.abs(new - old).mean() < 2 and np.abs(new - old).max() < 30
    assert len(after) < len(before) / 2


def pixels(png):
    return np.array(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")).astype(int)


def test_a_progress_bar_is_stored_as_it_ends():
    pieces = [new_output("stream", name="stderr", text=text) for text in ("\r 0%", "\r50%", "\r100%\n")]
    (whole,) = run_notebooks.joined(pieces)
    assert whole.text == "100%\n"
