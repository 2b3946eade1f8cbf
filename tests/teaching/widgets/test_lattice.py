import io
import itertools
import re

import matplotlib.pyplot
import numpy as np
import pytest
import soundfile
import torch

import asrlib
from asrlib.signal.frame_times import FrameTimes
from asrlib.teaching import widgets

CLOCK = FrameTimes(0.08, 0.0125)


@pytest.fixture(scope="module")
def ctc_log_probs():
    """Seven frames that read ∅ one one ∅ one two ∅ at their best."""
    best = [0, 1, 1, 0, 1, 2, 0]
    return (torch.eye(3)[best] * 5).log_softmax(-1)


def test_draw_ctc_frame_collapses_what_it_has_seen(ctc_log_probs):
    written = []
    for frame in range(len(ctc_log_probs)):
        figure = widgets.draw_ctc_frame(ctc_log_probs, ["∅", "one", "two"], frame, CLOCK)
        label = figure.axes[0].get_xlabel()
        written.append(label.rsplit(": ", 1)[1])
        matplotlib.pyplot.close(figure)
    assert "· one one · one two ·" in label
    assert written == ["(nothing yet)", "one", "one", "one", "one one", "one one two", "one one two"]


def test_ctc_explorer_redraws_and_plays_up_to_each_frame(ctc_log_probs):
    rate = 8000
    samples = np.linspace(-0.5, 0.5, int(CLOCK(7) * rate))
    words = [("one", 0.08, 0.24)]
    explorer = widgets.ctc_explorer(ctc_log_probs, ["∅", "one", "two"], CLOCK, samples, rate, words)
    slider, picture, sound = explorer.children
    assert (slider.min, slider.max) == (0, 6)
    seen = set()
    for frame in range(slider.max, -1, -1):
        slider.value = frame
        assert bytes(picture.value).startswith(b"\x89PNG")
        seen.add(bytes(picture.value))
        heard, _ = soundfile.read(io.BytesIO(bytes(sound.value)))
        assert len(heard) == round((0.0125 + 0.08 * (frame + 0.5)) * rate)
        assert heard == pytest.approx(samples[: len(heard)], abs=1e-4)
    assert len(seen) == 7


@pytest.fixture(scope="module")
def lattice():
    """Six frames, the target 1 2 (one two), any scores."""
    return torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(1)), torch.tensor([1, 2])


def share_and_score(figure):
    text = figure.axes[0].get_xlabel()
    score, share = re.search(r"ln P\(path\) = (-?[\d.]+), ([\d.]+)%", text).groups()
    return float(share), float(score)


def test_all_paths_of_the_lattice_explorer_share_the_whole(lattice):
    names = ["∅", "one", "two", "three"]
    shares = []
    for frames in itertools.combinations_with_replacement(range(6), 2):
        figure = widgets.draw_rnnt_path(*lattice, names, frames, CLOCK)
        shares.append(share_and_score(figure)[0])
        matplotlib.pyplot.close(figure)
    assert len(shares) == 21
    assert sum(shares) == pytest.approx(100, abs=21 * 0.05)


def test_drawn_path_has_the_score_of_the_alignment(lattice):
    logits, targets = lattice
    best = asrlib.rnnt_align(logits[None], targets[None], blank=0)[0]
    figure = widgets.draw_rnnt_path(logits, targets, ["∅", "1", "2", "3"], best.starts.tolist(), CLOCK)
    assert share_and_score(figure)[1] == pytest.approx(best.score, abs=0.006)
    way = figure.axes[0].lines[0].get_xydata() - [0.0125, 0]
    assert (way / [0.08, 1]).round().astype(int).tolist() == best.path[:-1].tolist()


def test_lattice_explorer_takes_neighbours_along(lattice):
    words = [("one", 0.1, 0.2), ("two", 0.2, 0.4)]
    explorer = widgets.lattice_explorer(*lattice, ["∅", "one", "two", "three"], CLOCK, words)
    first, second, back, picture = explorer.children
    start = first.value, second.value
    seen = {start: bytes(picture.value)}
    for frame in range(6):
        first.value = frame
        assert first.value == frame <= second.value
        seen[first.value, second.value] = bytes(picture.value)
    for frame in reversed(range(6)):
        second.value = frame
        assert first.value <= frame == second.value
        seen[first.value, second.value] = bytes(picture.value)
    assert len(set(seen.values())) == len(seen) > 5
    back.click()
    assert (first.value, second.value) == start
    assert bytes(picture.value) == seen[start]
