"""Pictures of searches step by step, and the explorer of the beam. Lessons 07, 08 and 11."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from asrlib.decoding.beam import BeamOptions, beam_ctc
from asrlib.extras import extra
from asrlib.signal.frame_times import FrameTimes
from asrlib.teaching import viz
from asrlib.teaching.widgets.controls import explorer, slider
from asrlib.text.ngram import NGram

if TYPE_CHECKING:
    import ipywidgets
    from matplotlib.figure import Figure


def draw_greedy_step(
    steps: Sequence[tuple[int, Sequence[int], Any]],
    step: int,
    labels: Sequence[str],
    frame_times: FrameTimes,
    words: Sequence[tuple[str, float, float]] = (),
) -> Figure:
    """Draw a transducer's greedy search up to one step: its way, and the joint's output. Lesson 07.

    Each of ``steps`` is (frame t, labels written so far, (V,) natural log probabilities), blank first.
    """
    with extra("lab"):
        import matplotlib.pyplot as plt

    figure, (ax, bars) = plt.subplots(1, 2, figsize=(11, 3.2), width_ratios=(4, 1), layout="constrained")
    way = [(frame_times(t), len(written)) for t, written, _ in steps[: step + 1]]
    ax.plot(*zip(*way, strict=True), color=viz.ORANGE, marker="o", markersize=4)
    ax.plot(*way[-1], "o", color="black", markersize=8)
    longest = max(len(written) for _, written, _ in steps)
    last = max(t for t, _, _ in steps)
    ax.set(xlim=(frame_times(-0.5), frame_times(last + 0.5)), ylim=(-0.5, longest + 0.5))
    ax.set(yticks=range(longest + 1), ylabel="labels out, u")
    viz.mark_words(words, ax)
    t, written, log_probs = steps[step]
    ax.set_xlabel(f"time (s)\nwritten: {' '.join(labels[k] for k in written) or '(nothing yet)'}")
    probabilities = torch.as_tensor(log_probs).exp()
    viz.plot_distribution(probabilities, labels, bars)
    bars.set_title(f"t = {t}, u = {len(written)}: {labels[int(probabilities.argmax())]}", fontsize=10)
    return figure


def draw_hypotheses(
    history: Sequence[Sequence[tuple[Sequence[int], float]]], frame: int, labels: Sequence[str]
) -> Figure:
    """Draw the texts in a beam after one frame, best first, as bars of probability. Lesson 07.

    ``history[t]`` holds the (labels, natural log probability) kept after frame t.
    """
    beam = [(" ".join(labels[k] for k in written), score) for written, score in history[frame]]
    ax = viz.plot_hypotheses(beam)
    ax.set_title(f"the beam after frame {frame}")
    return ax.figure


def draw_models(
    probabilities: dict[str, Any],
    labels: Sequence[str],
    frame_times: FrameTimes,
    words: Sequence[tuple[str, float, float]] = (),
) -> Figure:
    """Draw each model's (T, V) label probabilities, blank first, over the same time. Lesson 08."""
    with extra("lab"):
        import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(probabilities), 1, figsize=(11, 4.2), layout="constrained", sharex=True)
    for ax, (name, values) in zip(axes, probabilities.items(), strict=True):
        viz.plot_label_probabilities(values, labels, frame_times, ax)
        viz.mark_words(words, ax)
        ax.set_ylabel(f"{name}:\nprobability")
        ax.set_xlabel("time (s)" if ax is axes[-1] else "")
    return figure


def beam_after(log_probs: Any, frame: int, options: BeamOptions) -> list[tuple[list[int], dict[str, float]]]:
    """Return CTC's beam after a frame, best text first: (labels, {part: cost in nats}). Lesson 11.

    ``audio`` is −ln P(labels | audio up to there); ``language model`` and ``bonus`` are what these add,
    after the last frame also the language model's cost of the end of the text.
    """
    log_probs, lm = torch.as_tensor(log_probs), options.lm
    count = frame + 1
    [paths] = beam_ctc(log_probs[None, :count], torch.tensor([count]), replace(options, norm_score=False))
    beam = []
    for path in paths:
        parts = {"audio": -path.score}
        if lm is not None:
            end = float(lm.scores(_lm_state(lm, path.labels))[0]) if count < len(log_probs) else 0.0
            parts["language model"] = -options.lm_weight * (lm.log_prob(path.labels) - end)
        if options.label_bonus:
            parts["bonus"] = -options.label_bonus * len(path.labels)
        beam.append((path.labels, parts))
    return sorted(beam, key=lambda entry: sum(entry[1].values()))


def _lm_state(lm: NGram, labels: Sequence[int]) -> tuple[int, ...]:
    state = lm.start()
    for label in labels:
        state = lm.advance(state, label)
    return state


def draw_beam_step(
    log_probs: Any,
    labels: Sequence[str],
    frame: int,
    frame_times: FrameTimes,
    options: BeamOptions,
    words: Sequence[tuple[str, float, float]] = (),
) -> Figure:
    """Draw CTC's label probabilities over time, and below them the beam after one frame. Lesson 11.

    ``log_probs`` (T, V) natural logarithms, ``labels`` V names with blank first, ``words`` their
    true (word, start, end) in seconds.
    """
    with extra("lab"):
        import matplotlib.pyplot as plt

    rows = [(" ".join(labels[k] for k in t), parts) for t, parts in beam_after(log_probs, frame, options)]
    figure, (ax, below) = plt.subplots(
        2, 1, figsize=(10, 3.4 + 0.24 * options.beam_width), layout="constrained",
        height_ratios=(2.2, 0.9 + 0.24 * options.beam_width),
    )  # fmt: skip
    viz.plot_label_probabilities(torch.as_tensor(log_probs).exp(), labels, frame_times, ax)
    viz.mark_words(words, ax)
    ax.axvline(frame_times(frame), color="black", linewidth=1)
    viz.plot_costs(rows, below)
    below.set_ylim(options.beam_width - 0.5, -0.5)
    below.set_title(f"the beam after frame {frame}", loc="left", fontsize=10)
    return figure


def decoder_stepper(
    log_probs: Any,
    labels: Sequence[str],
    frame_times: FrameTimes,
    lm: NGram,
    words: Sequence[tuple[str, float, float]] = (),
) -> ipywidgets.VBox:
    """Return frame, beam width, LM weight and bonus over ``draw_beam_step``. Lesson 11.

    A width of 1 is greedy search.
    """
    last = len(log_probs) - 1

    def draw(frame: int, width: int, weight: float, bonus: float) -> Figure:
        options = BeamOptions(width, False, lm, weight, bonus)
        return draw_beam_step(log_probs, labels, frame, frame_times, options, words)

    controls = [
        slider("frame t", last, 0, last),
        slider("beam width", 4, 1, 8),
        slider("LM weight", 0.5, 0, 1.5, 0.25),
        slider("bonus", 0.0, -1, 2, 0.5),
    ]
    return explorer(controls, draw)
