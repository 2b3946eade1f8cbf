"""Explorers of CTC's posteriors and the transducer's lattice. Lessons 06 and 07."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from asrlib.extras import extra
from asrlib.losses.alignment import rnnt_align
from asrlib.losses.rnnt import rnnt_posteriors
from asrlib.losses.textbook import collapse, rnnt_betas, rnnt_scores
from asrlib.signal.frame_times import FrameTimes
from asrlib.teaching import viz
from asrlib.teaching.widgets.controls import explorer, player, redrawn_picture, slider, wav

if TYPE_CHECKING:
    import ipywidgets
    from matplotlib.figure import Figure


def draw_ctc_frame(
    log_probs: Any,
    labels: Sequence[str],
    frame: int,
    frame_times: FrameTimes,
    words: Sequence[tuple[str, float, float]] = (),
) -> Figure:
    """Draw CTC's label probabilities over time, those of one frame, and the text up to it. Lesson 06.

    ``log_probs`` (T, V) natural logarithms, ``labels`` V names with blank first, ``words`` their true
    (word, start, end) in seconds.
    """
    with extra("lab"):
        import matplotlib.pyplot as plt

    log_probs = torch.as_tensor(log_probs)
    figure, (ax, bars) = plt.subplots(1, 2, figsize=(11, 3.4), width_ratios=(5, 1), layout="constrained")
    viz.plot_label_probabilities(log_probs.exp(), labels, frame_times, ax)
    viz.mark_words(words, ax)
    ax.axvline(frame_times(frame), color="black", linewidth=1)
    best = log_probs.argmax(-1)[: frame + 1].tolist()
    ax.set_xlabel(
        f"time (s)\nframe by frame: {' '.join('·' if k == 0 else labels[k] for k in best)}"
        f"\nmerge repeats, drop blanks: {' '.join(labels[k] for k in collapse(best)) or '(nothing yet)'}",
        horizontalalignment="left",
        x=0.0,
    )
    viz.plot_distribution(log_probs[frame].exp(), labels, bars)
    bars.set_title(f"frame {frame}", fontsize=10)
    return figure


def ctc_explorer(
    log_probs: Any,
    labels: Sequence[str],
    frame_times: FrameTimes,
    samples: Any,
    sample_rate: int,
    words: Sequence[tuple[str, float, float]] = (),
) -> ipywidgets.VBox:
    """Return a slider over the frames: posteriors, the collapse rule, and the sound up to there. Lesson 06.

    The arguments are those of ``draw_ctc_frame``, and (samples,) at ``sample_rate`` Hz.
    """
    sound = player()

    def draw(frame: int) -> Figure:
        end = round(frame_times(frame + 0.5) * sample_rate)
        sound.value = wav(samples[:end], sample_rate)
        return draw_ctc_frame(log_probs, labels, frame, frame_times, words)

    return explorer([slider("frame t", 0, 0, len(log_probs) - 1)], draw, below=[sound])


def draw_rnnt_path(
    logits: Any,
    targets: Any,
    labels: Sequence[str],
    frames: Sequence[int],
    frame_times: FrameTimes,
    words: Sequence[tuple[str, float, float]] = (),
) -> Figure:
    """Draw γ(t, u) of a target, and the path that emits label u at frames[u]. Lesson 07.

    ``logits`` (T, U+1, V) of the joint, blank first; ``targets`` (U,); ``frames`` must not decrease.
    """
    logits, targets = torch.as_tensor(logits).double(), torch.as_tensor(targets)
    log_blank, log_label = rnnt_scores(logits, targets, blank=0)
    T, U = log_label.shape
    gamma = rnnt_posteriors(logits[None], targets[None], blank=0)[0]
    total = float(rnnt_betas(log_blank, log_label)[0, 0])
    path, score, u = [], 0.0, 0
    for t in range(T):
        path.append((t, u))
        while u < U and frames[u] == t:
            score, u = score + float(log_label[t, u]), u + 1
            path.append((t, u))
        score += float(log_blank[t, u])
    rows = ["0  (nothing)"] + [f"{u + 1}  {labels[k]}" for u, k in enumerate(targets.tolist())]
    ax = viz.plot_nodes(gamma, rows, frame_times, path=path, upwards=True, label="γ")
    ax.set_ylabel("labels out, u")
    viz.mark_words(words, ax)
    ax.set_xlabel(
        f"time (s)      ln P(path) = {score:.2f}, {np.exp(score - total):.1%} of all paths' sum, "
        f"ln P(text) = {total:.2f}"
    )
    return ax.figure


def lattice_explorer(
    logits: Any,
    targets: Any,
    labels: Sequence[str],
    frame_times: FrameTimes,
    words: Sequence[tuple[str, float, float]] = (),
) -> ipywidgets.VBox:
    """Return one slider per label, to move a path over γ(t, u) and see its probability. Lesson 07.

    Labels come out in order: one that is moved past its neighbors takes them along. The arguments are
    those of ``draw_rnnt_path``.
    """
    with extra("lab"):
        import ipywidgets

    logits, targets = torch.as_tensor(logits), torch.as_tensor(targets)
    best = rnnt_align(logits[None], targets[None], blank=0)[0].starts.tolist()
    sliders = [
        slider(labels[k], frame, 0, len(logits) - 1) for frame, k in zip(best, targets.tolist(), strict=True)
    ]

    def draw() -> Figure:
        frames = [control.value for control in sliders]
        return draw_rnnt_path(logits, targets, labels, frames, frame_times, words)

    picture, redraw = redrawn_picture(draw)
    set_all = _in_order(sliders, redraw)
    back = ipywidgets.Button(description="most probable path")
    back.on_click(lambda _: set_all(best))
    return ipywidgets.VBox([*sliders, back, picture])


def _in_order(
    sliders: Sequence[ipywidgets.IntSlider], redraw: Callable[[], None]
) -> Callable[[Sequence[int]], None]:
    """Keep the sliders' values from decreasing; return the function that sets all and draws once."""
    moving = False

    def set_all(frames: Sequence[int]) -> None:
        nonlocal moving
        moving = True  # the sliders that are taken along must not draw as well
        for control, value in zip(sliders, frames, strict=True):
            control.value = value
        moving = False
        redraw()

    def moved(change: Any) -> None:
        if not moving:
            here, frame = sliders.index(change["owner"]), change["new"]
            before = [min(control.value, frame) for control in sliders[:here]]
            after = [max(control.value, frame) for control in sliders[here:]]
            set_all(before + after)

    for control in sliders:
        control.observe(moved, names="value")
    return set_all
