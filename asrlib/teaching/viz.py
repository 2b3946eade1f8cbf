"""Plots: axes in (``ax=None`` makes one), axes out; labelled, with units.

The lessons' widgets draw with the same functions, so what a slider shows is what a
figure shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# blue and orange that stay apart in grey and for colour-blind readers
BLUE, ORANGE, GREY = "#0b5394", "#d95f02", "#777777"


def _axes(ax: Axes | None, width: float = 9.0, height: float = 2.6) -> Axes:
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    return ax


def plot_waveform(samples: Any, sample_rate: int, ax: Axes | None = None) -> Axes:
    """Amplitude over seconds. Lesson 00."""
    samples = np.asarray(samples)
    ax = _axes(ax, height=1.8)
    ax.plot(np.arange(len(samples)) / sample_rate, samples, color=BLUE, linewidth=0.5)
    ax.set(xlabel="time (s)", ylabel="amplitude", xlim=(0, len(samples) / sample_rate))
    return ax


def plot_log_mel(features: Any, hop_ms: float = 10.0, ax: Axes | None = None) -> Axes:
    """(frames, mels) features as a picture: time to the right, mel bins upwards. Lesson 00."""
    features = np.asarray(features)
    ax = _axes(ax)
    seconds = features.shape[0] * hop_ms / 1000
    image = ax.imshow(
        features.T,
        origin="lower",
        aspect="auto",
        extent=(0, seconds, 0, features.shape[1]),
        cmap="magma",
        interpolation="nearest",
    )
    ax.figure.colorbar(image, ax=ax, label="log energy", pad=0.01)
    ax.set(xlabel="time (s)", ylabel="mel bin")
    return ax


def plot_spectrogram(power: Any, sample_rate: int, hop_ms: float = 10.0, ax: Axes | None = None) -> Axes:
    """(frames, bins) power spectra in decibels below the strongest: time to the right, Hz upwards. Lesson 01.

    60 dB are shown; what is fainter is black.
    """
    power = np.asarray(power)
    ax = _axes(ax)
    decibels = 10 * np.log10(np.maximum(power / max(power.max(), 1e-30), 1e-12))
    image = ax.imshow(
        decibels.T,
        origin="lower",
        aspect="auto",
        extent=(0, power.shape[0] * hop_ms / 1000, 0, sample_rate / 2),
        cmap="magma",
        interpolation="nearest",
        vmin=-60,
        vmax=0,
    )
    ax.figure.colorbar(image, ax=ax, label="power (dB)", pad=0.01)
    ax.set(xlabel="time (s)", ylabel="frequency (Hz)")
    return ax


def plot_mel_filters(filters: Any, sample_rate: int, every: int = 1, ax: Axes | None = None) -> Axes:
    """(bins, mels) triangular filters over frequency, each ``every``-th of them. Lesson 01."""
    filters = np.asarray(filters)
    ax = _axes(ax, height=2.2)
    hz = np.linspace(0, sample_rate / 2, filters.shape[0])
    for m in range(0, filters.shape[1], every):
        ax.plot(hz, filters[:, m], color=(BLUE, ORANGE)[m // every % 2], linewidth=0.9)
    ax.set(xlabel="frequency (Hz)", ylabel="weight", xlim=(0, sample_rate / 2), ylim=(0, 1.05))
    return ax


def plot_receptive_field(
    layers: Sequence[tuple[int, int]], padding: str = "same", ax: Axes | None = None
) -> Axes:
    """What one output frame sees through layers of (kernel, stride), layer by layer. Lesson 02.

    The input is the lowest row; x counts input frames from the output frame's own.
    """
    from matplotlib.collections import LineCollection

    from asrlib.models.layers.conv import pad_amounts, receptive_field

    ax = _axes(ax, height=0.5 * len(layers) + 1.3)
    steps = [1, *(step for _, step in receptive_field(layers))]
    frames, lines = {0}, []
    rows = [frames]  # of each layer, from the top, the frames that the output depends on
    for depth in range(len(layers), 0, -1):
        kernel, stride = layers[depth - 1]
        first = pad_amounts(kernel, padding)[0]
        reads = [(t, t * stride - first + i) for t in frames for i in range(kernel)]
        lines += [[(t * steps[depth], depth), (n * steps[depth - 1], depth - 1)] for t, n in reads]
        frames = {n for _, n in reads}
        rows.append(frames)
    ax.add_collection(LineCollection(lines, colors=GREY, linewidths=0.4))
    for depth, seen in zip(range(len(layers), -1, -1), rows, strict=True):
        x = [t * steps[depth] for t in sorted(seen)]
        ax.plot(x, [depth] * len(x), ".", color=ORANGE if depth == len(layers) else BLUE, markersize=5)
    names = ["input", *(f"layer {n + 1}: k={k}, s={s}" for n, (k, s) in enumerate(layers))]
    ax.set(yticks=range(len(names)), yticklabels=names, ylim=(-0.5, len(names) - 0.5))
    ax.set(xlabel="input frame, counted from the output's")
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    return ax


def plot_dependency(dependency: Any, ax: Axes | None = None) -> Axes:
    """(frames out, frames in): how strongly each output frame depends on each input frame. Lesson 03.

    Relative to the strongest, on a logarithmic scale down to 1e-4; white is no dependence at all.
    """
    from matplotlib.colors import LogNorm

    dependency = np.asarray(dependency, dtype=float)
    ax = _axes(ax, width=3.2, height=2.8)
    relative = dependency / max(dependency.max(), 1e-30)
    visible = np.ma.masked_equal(np.where(relative > 0, np.maximum(relative, 1e-4), 0), 0)
    ax.imshow(visible, cmap="YlGnBu", norm=LogNorm(1e-5, 1), aspect="auto", interpolation="nearest")
    ax.set(xlabel="input frame", ylabel="output frame")
    return ax


def plot_gates(gates: Sequence[tuple[str, Any]], ax: Axes | None = None) -> Axes:
    """Squeeze-and-excitation gates: (name, one a channel), channels in the order of the first. Lesson 03."""
    ax = _axes(ax)
    order = np.argsort(np.asarray(gates[0][1]))
    for n, (name, values) in enumerate(gates):
        style = {"linestyle": "-", "marker": ""} if n == 0 else {"linestyle": "", "marker": "."}
        ax.plot(
            np.asarray(values)[order], label=name, color=(BLUE, ORANGE, GREY)[n % 3], markersize=5, **style
        )
    ax.set(xlabel=f"channel, in the order of {gates[0][0]}", ylabel="gate")
    ax.legend(fontsize=8, loc="upper left")
    ax.grid(alpha=0.3)
    return ax


def plot_blocks(values: Sequence[float], rates: Sequence[int], label: str, ax: Axes | None = None) -> Axes:
    """A number for each of an encoder's blocks, coloured by frame rate: ``rates`` is how many input
    frames one frame of the block's output spans. Lesson 04.
    """
    import matplotlib.pyplot as plt

    ax = _axes(ax, height=2.4)
    different = sorted(set(rates))
    colors = plt.get_cmap("YlGnBu")(np.linspace(0.35, 0.95, len(different)))
    for rate, color in zip(different, colors, strict=True):
        mine = [n for n, of_block in enumerate(rates) if of_block == rate]
        ax.bar(mine, [values[n] for n in mine], color=color, label=f"1/{rate}" if rate > 1 else "1")
    ax.set(xlabel="block C", ylabel=label, xlim=(-0.7, len(values) - 0.3))
    ax.set_xticks(range(0, len(values), 2 if len(values) > 12 else 1))
    ax.legend(title="frame rate", fontsize=8, title_fontsize=8, frameon=False)
    return ax


def mark_words(words: Iterable[tuple[str, float, float]], ax: Axes, y: float = 1.02) -> Axes:
    """Spans of (word, start, end) in seconds, named above a plot whose x axis is time."""
    for word, start, end in words:
        ax.axvspan(start, end, color=GREY, alpha=0.12)
        ax.axvline(start, color=GREY, linewidth=0.8)
        ax.axvline(end, color=GREY, linewidth=0.8, linestyle=":")
        ax.text(
            (start + end) / 2,
            y,
            word,
            transform=ax.get_xaxis_transform(),
            ha="center",
            va="bottom",
            fontsize=9,
        )
    return ax


def mark_tokens(tokens: Sequence[str], times: Sequence[float], ax: Axes, y: float = 0.86) -> Axes:
    """Where a recogniser emitted each token: a line at its second, with its name."""
    for token, time in zip(tokens, times, strict=True):
        ax.axvline(time, color="white", linewidth=3)
        ax.axvline(time, color=ORANGE, linewidth=1.5)
        ax.text(
            time,
            y,
            token,
            transform=ax.get_xaxis_transform(),
            ha="center",
            color=ORANGE,
            fontsize=9,
            fontweight="bold",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )
    return ax


def plot_history(history: Sequence[dict[str, float]], axes: Sequence[Axes] | None = None) -> Sequence[Axes]:
    """A run's loss, learning rate and dev WER over steps (``metrics.json``'s ``history``). Lesson 09."""
    if axes is None:
        import matplotlib.pyplot as plt

        _, axes = plt.subplots(1, 3, figsize=(11, 2.8), layout="constrained")
    panels = (
        ("loss", "training loss (nats an utterance)", BLUE),
        ("lr", "learning rate", GREY),
        ("dev_wer", "dev WER (%)", ORANGE),
    )
    for ax, (key, label, color) in zip(axes, panels, strict=True):
        points = [(entry["step"], entry[key]) for entry in history if key in entry]
        ax.plot(*zip(*points, strict=True), color=color, marker="o", markersize=3) if points else None
        ax.set(xlabel="step", ylabel=label)
        ax.grid(alpha=0.3)
    axes[0].set_yscale("log")
    return axes


def plot_label_probabilities(
    probabilities: Any,
    labels: Sequence[str],
    frame_seconds: float = 1.0,
    ax: Axes | None = None,
    at_least: float = 0.05,
) -> Axes:
    """(T, V) label probabilities over time, blank (label 0) dashed. Lesson 06.

    ``labels`` are the V names. One that never reaches ``at_least`` is not drawn. A frame stands at
    t · frame_seconds; with 1 the axis counts frames.
    """
    import matplotlib.pyplot as plt

    probabilities = np.asarray(probabilities)
    ax = _axes(ax, height=2.2)
    colors = plt.get_cmap("tab10").colors
    times = np.arange(len(probabilities)) * frame_seconds
    for k, name in enumerate(labels):
        if probabilities[:, k].max(initial=0) < at_least:
            continue
        style = {"color": colors[(k - 1) % 10], "marker": "o", "markersize": 3}
        if k == 0:
            style = {"color": GREY, "linestyle": "--", "linewidth": 1}
        ax.plot(times, probabilities[:, k], label=name, **style)
    half = frame_seconds / 2
    unit = "frame t" if frame_seconds == 1 else "time (s)"
    ax.set(xlabel=unit, ylabel="probability", ylim=(-0.03, 1.06), xlim=(-half, times[-1] + half))
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False)
    return ax


def plot_nodes(
    values: Any,
    rows: Sequence[str],
    frame_seconds: float = 1.0,
    ax: Axes | None = None,
    path: Sequence[tuple[float, float]] = (),
    upwards: bool = False,
    decimals: int | None = None,
    label: str = "probability",
) -> Axes:
    """Values of the nodes (t, row) of a trellis or lattice, (T, rows), as a heat map. Lessons 06, 07.

    ``path`` is drawn over it as (t, row) points, in frames; ``upwards`` puts row 0 at the bottom;
    ``decimals`` writes each value into its node.
    """
    values = np.asarray(values)
    T, count = values.shape
    ax = _axes(ax, height=max(2.0, 0.28 * count + 0.9))
    half = frame_seconds / 2
    image = ax.imshow(
        values.T,
        origin="lower" if upwards else "upper",
        aspect="auto",
        extent=(-half, T * frame_seconds - half, *((-0.5, count - 0.5) if upwards else (count - 0.5, -0.5))),
        cmap="Blues",
        vmin=0,
        vmax=max(float(values.max(initial=0)), 1e-12),
        interpolation="nearest",
    )
    ax.figure.colorbar(image, ax=ax, label=label, pad=0.01)
    ax.set(xlabel="frame t" if frame_seconds == 1 else "time (s)")
    ax.set(yticks=range(count), yticklabels=list(rows))
    if frame_seconds == 1 and T <= 30:
        ax.set_xticks(range(T))
    if len(path):
        t, row = zip(*path, strict=True)
        ax.plot(np.multiply(t, frame_seconds), row, color=ORANGE, marker="o", markersize=4, linewidth=2)
    if decimals is not None:
        dark = 0.6 * image.get_clim()[1]
        for (t, row), value in np.ndenumerate(values):
            color = "white" if value > dark else "black"
            position = t * frame_seconds, row
            ax.text(*position, f"{value:.{decimals}f}", ha="center", va="center", fontsize=8, color=color)
    return ax


def plot_moves(
    moves: Iterable[tuple[tuple[int, int], tuple[int, int], str]],
    rows: Sequence[str],
    ax: Axes | None = None,
    path: Sequence[tuple[int, int]] = (),
    upwards: bool = False,
) -> Axes:
    """The graph under a loss: nodes (t, row) and moves (from, to, text on the arrow). Lessons 06, 07.

    ``path``, a sequence of nodes, is drawn in orange.
    """
    moves = list(moves)
    nodes = sorted({node for start, end, _ in moves for node in (start, end)} | set(path))
    T = max(t for t, _ in nodes) + 1
    ax = _axes(ax, width=max(4.0, 1.5 * T), height=0.62 * len(rows) + 0.8)
    on_path = set(zip(path[:-1], path[1:], strict=True))
    for start, end, text in moves:
        color = ORANGE if (start, end) in on_path else GREY
        arrow = {"arrowstyle": "->", "color": color, "shrinkA": 10, "shrinkB": 10}
        arrow["linewidth"] = 2.2 if (start, end) in on_path else 1.0
        ax.annotate("", end, start, arrowprops=arrow)
        middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
        ax.text(*middle, text, color=color, ha="center", va="center", fontsize=8, bbox=box if text else None)
    for node in nodes:
        ax.plot(*node, "o", markersize=15, color=ORANGE if node in path else BLUE)
        ax.text(*node, f"{node[0]},{node[1]}", color="white", ha="center", va="center", fontsize=6)
    ax.set(xticks=range(T), yticks=range(len(rows)), yticklabels=list(rows), xlabel="frame t")
    edges = (-0.5, len(rows) - 0.5)
    ax.set(xlim=(-0.4, T - 0.6), ylim=edges if upwards else edges[::-1])
    for side in ax.spines.values():
        side.set_visible(False)
    return ax


def plot_distribution(probabilities: Any, labels: Sequence[str], ax: Axes | None = None) -> Axes:
    """(V,) probabilities as bars, blank (label 0) in grey on top. Lessons 06, 07."""
    probabilities = np.asarray(probabilities)
    ax = _axes(ax, width=3.0, height=0.2 * len(labels) + 0.8)
    ax.barh(range(len(labels)), probabilities, color=[GREY] + [BLUE] * (len(labels) - 1))
    ax.set(yticks=range(len(labels)), yticklabels=list(labels), xlim=(0, 1), xlabel="probability")
    ax.tick_params(labelsize=8)
    ax.invert_yaxis()
    return ax


def plot_emissions(
    rows: Sequence[tuple[str, Sequence[str], Sequence[float]]],
    words: Iterable[tuple[str, float, float]] = (),
    ax: Axes | None = None,
) -> Axes:
    """When recognisers put out their labels: rows of (name, labels, seconds), the first on top, over
    spans of the (word, start, end) that were spoken. Lesson 08.
    """
    ax = _axes(ax, height=0.5 * len(rows) + 0.9)
    for y, (_, labels, times) in enumerate(rows):
        color = (BLUE, ORANGE, GREY)[y % 3]
        ax.plot(times, [y] * len(times), "|", markersize=14, markeredgewidth=2, color=color)
        beside = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
        for label, time in zip(labels, times, strict=True):
            ax.annotate(label, (time, y), fontsize=8, color=color, **beside)
    ax.set(yticks=range(len(rows)), yticklabels=[name for name, _, _ in rows], ylim=(len(rows) - 0.5, -0.5))
    ax.set(xlabel="time (s)")
    return mark_words(words, ax)


def plot_hypotheses(hypotheses: Sequence[tuple[str, float]], ax: Axes | None = None) -> Axes:
    """Texts of a beam with natural log probabilities, as bars of probability, best on top. Lesson 07."""
    ax = _axes(ax, height=0.3 * len(hypotheses) + 0.7)
    ax.barh(range(len(hypotheses)), [np.exp(score) for _, score in hypotheses], color=BLUE, alpha=0.35)
    for row, (text, score) in enumerate(hypotheses):
        ax.text(
            0.01,
            row,
            f"{text or '(nothing yet)'}   ln P = {round(score, 2) + 0.0:.2f}",
            va="center",
            fontsize=9,
        )
    ax.set(xlim=(0, 1), xlabel="probability", yticks=range(len(hypotheses)))
    ax.set(yticklabels=[f"{rank + 1}." for rank in range(len(hypotheses))])
    ax.invert_yaxis()
    return ax


def plot_costs(hypotheses: Sequence[tuple[str, dict[str, float]]], ax: Axes | None = None) -> Axes:
    """Texts with the parts of their cost in nats, one bar behind the other; the shortest wins. Lesson 11.

    A part below zero, a bonus, leads back. The black line is the sum.
    """
    ax = _axes(ax, height=0.3 * len(hypotheses) + 0.9)
    for row, (text, parts) in enumerate(hypotheses):
        start = 0.0
        for n, (part, cost) in enumerate(parts.items()):
            color = (BLUE, ORANGE, GREY)[n % 3]
            ax.barh(row, cost, left=start, color=color, alpha=0.4, label=part if row == 0 else None)
            start += cost
        ax.plot([start, start], [row - 0.4, row + 0.4], color="black", linewidth=2)
        ax.text(0.01, row, f"{text or '(nothing yet)'}   {start:.2f}", va="center", fontsize=9,
                transform=ax.get_yaxis_transform())  # fmt: skip
    ax.set(xlabel="cost, −ln (nats)", yticks=range(len(hypotheses)))
    ax.set(yticklabels=[f"{rank + 1}." for rank in range(len(hypotheses))])
    ax.invert_yaxis()
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False)
    return ax


def plot_confusions(counts: Any, labels: Sequence[str], ax: Axes | None = None) -> Axes:
    """How often label i was said (rows) and label j heard (columns), each number in its field. Lesson 11.

    The diagonal, what was heard right, is numbered but not coloured: it would outshine the rest.
    """
    counts = np.asarray(counts)
    ax = _axes(ax, width=5.4, height=4.4)
    errors = counts * (1 - np.eye(len(counts)))
    image = ax.imshow(errors, cmap="Oranges", vmin=0, vmax=max(errors.max(), 1))
    ax.figure.colorbar(image, ax=ax, label="errors", pad=0.01)
    dark = 0.6 * image.get_clim()[1]
    for (i, j), count in np.ndenumerate(counts):
        if count:
            color = GREY if i == j else "white" if count > dark else "black"
            ax.text(j, i, f"{count:g}", ha="center", va="center", fontsize=8, color=color)
    ax.set(xlabel="heard", ylabel="said", xticks=range(len(labels)), yticks=range(len(labels)))
    ax.set_xticklabels(labels, rotation=45, ha="right", fontsize=8)
    ax.set_yticklabels(labels, fontsize=8)
    return ax


def plot_calibration(confidence: Any, correct: Any, bins: int = 8, ax: Axes | None = None) -> Axes:
    """Share of words that are right, over how sure the recogniser was of them. Lesson 11.

    ``bins`` of equally many words each; the bars are two standard errors. On the dashed line
    a confidence is what it says.
    """
    confidence, correct = np.asarray(confidence, dtype=float), np.asarray(correct, dtype=float)
    ax = _axes(ax, width=4.0, height=3.2)
    ax.plot([0, 1], [0, 1], linestyle="--", color=GREY)
    parts = [part for part in np.array_split(np.argsort(confidence, kind="stable"), bins) if len(part)]
    x, y = ([float(values[part].mean()) for part in parts] for values in (confidence, correct))
    spread = [2 * (p * (1 - p) / len(part)) ** 0.5 for p, part in zip(y, parts, strict=True)]
    ax.errorbar(x, y, yerr=spread, color=BLUE, marker="o", markersize=4, capsize=2)
    ax.set(xlabel="confidence", ylabel="share that is right", xlim=(0, 1.02), ylim=(0, 1.05))
    ax.grid(alpha=0.3)
    return ax
