"""Widgets: a slider over a plot. Each is a plain drawing function first, so that a figure can
stand before the widget and a test can call it over the slider's whole range.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torchaudio.functional

from asrlib.decoding.beam import BeamOptions, beam_ctc
from asrlib.errors import InputError
from asrlib.losses.ctc import collapse
from asrlib.losses.rnnt import rnnt_align, rnnt_betas, rnnt_posteriors, rnnt_scores
from asrlib.models.contextnet import DOWNSAMPLING, ContextNetEncoder, standard_blocks
from asrlib.models.layers.conv import PADDINGS, pad_amounts, receptive_field
from asrlib.signal.augment import add_noise
from asrlib.signal.features import FrontEnd, frame
from asrlib.teaching import viz
from asrlib.text.ngram import NGram

if TYPE_CHECKING:
    import ipywidgets
    from matplotlib.figure import Figure

    from asrlib.recognizer import Recognizer


def _noisy(samples: Any, snr_db: float, seed: int) -> np.ndarray:
    wave = torch.as_tensor(np.asarray(samples, dtype=np.float32))[None]
    generator = torch.Generator().manual_seed(seed)
    noisy = add_noise(
        wave, torch.tensor([wave.shape[1]]), torch.tensor([float(snr_db)]), torch.zeros(1), generator
    )
    return noisy[0].numpy()


def draw_noisy(
    recognizer: Recognizer, samples: Any, sample_rate: int, snr_db: float, seed: int = 0
) -> Figure:
    """Log-mel picture of the speech under white noise, with what the recogniser hears in it. Lesson 00."""
    from asrlib.signal.features import log_mel

    noisy = _noisy(samples, snr_db, seed)
    found = recognizer.transcribe(noisy, sample_rate)
    ax = viz.plot_log_mel(log_mel(torch.from_numpy(noisy), sample_rate))
    viz.mark_tokens(found.tokens, found.times, ax)
    ax.set_title(f"{snr_db:g} dB   heard: {found.text or '(nothing)'}", loc="left")
    return ax.figure


def noise_explorer(recognizer: Recognizer, samples: Any, sample_rate: int) -> ipywidgets.VBox:
    """A slider for the noise, the picture with what is heard, and the sound. Lesson 00."""
    import ipywidgets

    slider = ipywidgets.IntSlider(
        20, min=-25, max=40, step=5, description="SNR (dB)", continuous_update=False
    )
    picture, sound = (
        ipywidgets.Image(format="png"),
        ipywidgets.Audio(format="wav", autoplay=False, loop=False),
    )

    def draw(change: Any = None) -> None:
        picture.value = png(draw_noisy(recognizer, samples, sample_rate, slider.value))
        sound.value = wav(_noisy(samples, slider.value, seed=0), sample_rate)

    slider.observe(draw, names="value")
    draw()
    return ipywidgets.VBox([slider, picture, sound])


def draw_spectrogram(
    samples: Any, sample_rate: int, window_ms: float = 25.0, hop_ms: float = 10.0, mels: int = 80
) -> Figure:
    """Power spectra above, log-mel features below, for one choice of window, hop and filters. Lesson 01.

    Raises ``InputError`` where the window is shorter than the hop.
    """
    import matplotlib.pyplot as plt

    front_end = FrontEnd(sample_rate, window_ms, hop_ms, mels, preemphasis=0.0)
    samples = torch.as_tensor(np.asarray(samples, dtype=np.float32))
    frames = frame(samples, front_end.window, front_end.hop) * front_end.taper
    power = torch.fft.rfft(frames, n=front_end.fft_size).abs().square()
    features = front_end(samples[None], torch.tensor([len(samples)]))[0][0]
    empty = int((front_end.filters.sum(0) == 0).sum())

    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 4.6), sharex=True, layout="constrained")
    viz.plot_spectrogram(power, sample_rate, hop_ms, above)
    viz.plot_log_mel(features, hop_ms, below)
    above.set(xlabel="", title=f"{len(power)} frames of {front_end.window} samples, hop {front_end.hop}")
    width = sample_rate / front_end.fft_size
    below.set_title(f"{mels} filters over bins of {width:.0f} Hz, {empty} of them empty")
    return figure


def spectrogram_explorer(samples: Any, sample_rate: int) -> ipywidgets.VBox:
    """Sliders for window, hop and number of mel filters over ``draw_spectrogram``. Lesson 01."""
    import ipywidgets

    def slider(name: str, value: int, low: int, high: int, step: int) -> ipywidgets.IntSlider:
        room = {"description_width": "7em"}  # or "window (ms)" is cut off
        return ipywidgets.IntSlider(
            value, min=low, max=high, step=step, description=name, style=room, continuous_update=False
        )

    sliders = [
        slider("window (ms)", 25, 5, 95, 10),
        slider("hop (ms)", 10, 2, 18, 4),
        slider("mel filters", 80, 20, 140, 20),
    ]
    picture, message = ipywidgets.Image(format="png"), ipywidgets.Label()

    def draw(change: Any = None) -> None:
        try:
            picture.value = png(draw_spectrogram(samples, sample_rate, *(s.value for s in sliders)))
            message.value = ""
        except InputError as error:
            message.value = str(error)

    for control in sliders:
        control.observe(draw, names="value")
    draw()
    return ipywidgets.VBox([*sliders, message, picture])


def draw_receptive_field(kernel: int, layers: int, strided: int, padding: str) -> Figure:
    """What one output frame sees through ``layers`` of one kernel, the first ``strided`` of them
    with stride 2. Lesson 02.
    """
    stack = [(kernel, 2 if layer < strided else 1) for layer in range(layers)]
    field, step = receptive_field(stack)[-1]
    ax = viz.plot_receptive_field(stack, padding)
    steps = [1, *(step for _, step in receptive_field(stack))]
    ahead = pad_amounts(kernel, padding)[1] * sum(steps[:-1])
    ax.set_title(
        f"sees {field} frames, {ahead} of them in the future; strides multiply to {step}", loc="left"
    )
    return ax.figure


def receptive_field_explorer() -> ipywidgets.VBox:
    """Kernel, layers, strides and padding over ``draw_receptive_field``. Lesson 02."""
    import ipywidgets

    controls = [
        ipywidgets.IntSlider(5, min=1, max=9, step=2, description="kernel", continuous_update=False),
        ipywidgets.IntSlider(3, min=1, max=6, description="layers", continuous_update=False),
        ipywidgets.IntSlider(0, min=0, max=3, description="of stride 2", continuous_update=False),
        _choice("padding", PADDINGS),
    ]
    picture = ipywidgets.Image(format="png")

    def draw(change: Any = None) -> None:
        picture.value = png(draw_receptive_field(*(control.value for control in controls)))

    for control in controls:
        control.observe(draw, names="value")
    draw()
    return ipywidgets.VBox([*controls, picture])


def block_profile(encoder: ContextNetEncoder) -> dict[str, list[float]]:
    """For each block: parameters, work, receptive field and rate; see ``ContextNetEncoder.profile``.
    Lesson 04.
    """
    return encoder.profile()


def draw_contextnet(variant: str, alpha: float, kernel: int, downsampling: str) -> Figure:
    """Parameters, work and receptive field of C0 to C22, block by block. Lesson 04."""
    import matplotlib.pyplot as plt

    with torch.device("meta"):  # shapes alone
        blocks = standard_blocks(kernel, downsampling=downsampling)
        profile = block_profile(ContextNetEncoder(80, blocks, alpha, variant))
    figure, axes = plt.subplots(1, 3, figsize=(12, 2.9), layout="constrained")
    panels = (
        ("parameters", 1e6, "parameters (millions)"),
        ("work", 1e6, "multiplications (millions a second)"),
        ("field", 100, "receptive field (s)"),
    )
    for ax, (key, unit, label) in zip(axes, panels, strict=True):
        viz.plot_blocks([value / unit for value in profile[key]], profile["rate"], label, ax)
    axes[0].set_title(f"{sum(profile['parameters']) / 1e6:.1f} million")
    axes[1].set_title(f"{sum(profile['work']) / 1e6:,.0f} million a second of sound")
    axes[2].set_title(f"{profile['field'][-1] / 100:.1f} s by convolution alone")
    return figure


def contextnet_explorer() -> ipywidgets.VBox:
    """Variant, alpha, kernel and down-sampling over ``draw_contextnet``. Lesson 04."""
    import ipywidgets

    controls = [
        _choice("variant", ["paper", "tensorflowasr"]),
        ipywidgets.FloatSlider(
            0.5, min=0.25, max=2.0, step=0.25, description="alpha", continuous_update=False
        ),
        ipywidgets.IntSlider(5, min=3, max=21, step=2, description="kernel", continuous_update=False),
        _choice("reduction", list(DOWNSAMPLING)),
    ]
    picture = ipywidgets.Image(format="png")

    def draw(change: Any = None) -> None:
        picture.value = png(draw_contextnet(*(control.value for control in controls)))

    for control in controls:
        control.observe(draw, names="value")
    draw()
    return ipywidgets.VBox([*controls, picture])


@torch.no_grad()
def se_gates(recognizer: Recognizer, samples: Any, sample_rate: int) -> list[torch.Tensor]:
    """The gates of each squeeze-and-excitation module on one utterance, (channels,) each. Lesson 03.

    Where the context is not the whole utterance, the mean over its frames.
    """
    samples = torch.as_tensor(np.asarray(samples, dtype=np.float32))
    samples = torchaudio.functional.resample(samples, sample_rate, recognizer.front_end.sample_rate)
    encoder, front_end = recognizer.model.encoder, recognizer.front_end
    gates = encoder.gates(*front_end(samples[None], torch.tensor([len(samples)])))
    return [of_frames[0].mean(0) for of_frames in gates]


def draw_gates(block: int, *utterances: tuple[str, list[torch.Tensor]]) -> Figure:
    """One block's gates on some utterances, given as (name, ``se_gates``). Lesson 03."""
    ax = viz.plot_gates([(name, gates[block]) for name, gates in utterances])
    (_, first), *others = utterances
    distances = ", ".join(f"{(first[block] - other[block]).abs().mean():.3f}" for _, other in others)
    ax.set_title(f"block C{block}, mean difference {distances}", loc="left")
    return ax.figure


def gate_viewer(recognizer: Recognizer, utterances: dict[str, tuple[Any, int]]) -> ipywidgets.VBox:
    """Choose two of the utterances, name to (samples, rate), and a block; see the gates. Lesson 03."""
    import ipywidgets

    gates = {name: se_gates(recognizer, *sound) for name, sound in utterances.items()}
    names = list(gates)
    first = ipywidgets.Dropdown(options=names, value=names[0], description="line")
    second = ipywidgets.Dropdown(options=names, value=names[-1], description="dots")
    block = ipywidgets.IntSlider(
        0, min=0, max=len(gates[names[0]]) - 1, description="block", continuous_update=False
    )
    picture = ipywidgets.Image(format="png")

    def draw(change: Any = None) -> None:
        chosen = [(name, gates[name]) for name in (first.value, second.value)]
        picture.value = png(draw_gates(block.value, *chosen))

    for control in (first, second, block):
        control.observe(draw, names="value")
    draw()
    return ipywidgets.VBox([first, second, block, picture])


def draw_ctc_frame(
    log_probs: Any,
    labels: Sequence[str],
    frame: int,
    frame_seconds: float,
    words: Sequence[tuple[str, float, float]] = (),
) -> Figure:
    """CTC's label probabilities over time, those of one frame, and what is written up to it. Lesson 06.

    ``log_probs`` (T, V) natural logarithms, ``labels`` V names with blank first, ``words`` their true
    (word, start, end) in seconds.
    """
    import matplotlib.pyplot as plt

    log_probs = torch.as_tensor(log_probs)
    figure, (ax, bars) = plt.subplots(1, 2, figsize=(11, 3.4), width_ratios=(5, 1), layout="constrained")
    viz.plot_label_probabilities(log_probs.exp(), labels, frame_seconds, ax)
    viz.mark_words(words, ax)
    ax.axvline(frame * frame_seconds, color="black", linewidth=1)
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
    frame_seconds: float,
    samples: Any,
    sample_rate: int,
    words: Sequence[tuple[str, float, float]] = (),
) -> ipywidgets.VBox:
    """A slider over the frames: posteriors, the collapse rule, and the sound up to there. Lesson 06."""
    import ipywidgets

    sound = ipywidgets.Audio(format="wav", autoplay=False, loop=False)

    def draw(frame: int) -> Figure:
        heard = samples[: round((frame + 1) * frame_seconds * sample_rate)]
        sound.value = wav(heard, sample_rate)
        return draw_ctc_frame(log_probs, labels, frame, frame_seconds, words)

    steps = stepper(draw, len(log_probs), "frame t")
    return ipywidgets.VBox([*steps.children, sound])


def draw_rnnt_path(
    logits: Any,
    targets: Any,
    labels: Sequence[str],
    frames: Sequence[int],
    frame_seconds: float,
    words: Sequence[tuple[str, float, float]] = (),
) -> Figure:
    """γ(t, u) of a target, and the path that emits label u at frames[u] with its probability. Lesson 07.

    ``logits`` (T, U+1, V) of the joint, blank first; ``targets`` (U,); ``frames`` must not go back.
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
    ax = viz.plot_nodes(gamma, rows, frame_seconds, path=path, upwards=True, label="γ")
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
    frame_seconds: float,
    words: Sequence[tuple[str, float, float]] = (),
) -> ipywidgets.VBox:
    """A slider a label: drag a path over γ(t, u), and see its probability. Lesson 07.

    Labels come out in order: one that is moved past its neighbours takes them along.
    """
    import ipywidgets

    logits, targets = torch.as_tensor(logits), torch.as_tensor(targets)
    best = rnnt_align(logits[None], targets[None], blank=0)[0].starts.tolist()
    sliders = [
        ipywidgets.IntSlider(
            frame, min=0, max=len(logits) - 1, description=labels[k], continuous_update=False
        )
        for frame, k in zip(best, targets.tolist(), strict=True)
    ]
    back = ipywidgets.Button(description="most probable path")
    picture = ipywidgets.Image(format="png")
    moving = False

    def draw() -> None:
        frames = [slider.value for slider in sliders]
        picture.value = png(draw_rnnt_path(logits, targets, labels, frames, frame_seconds, words))

    def set_all(frames: Sequence[int]) -> None:
        nonlocal moving
        moving = True  # the sliders that are taken along shall not draw, too
        for slider, value in zip(sliders, frames, strict=True):
            slider.value = value
        moving = False
        draw()

    def moved(change: Any) -> None:
        if not moving:
            here, frame = sliders.index(change["owner"]), change["new"]
            before = [min(slider.value, frame) for slider in sliders[:here]]
            after = [max(slider.value, frame) for slider in sliders[here:]]
            set_all(before + after)

    for slider in sliders:
        slider.observe(moved, names="value")
    back.on_click(lambda _: set_all(best))
    draw()
    return ipywidgets.VBox([*sliders, back, picture])


def draw_greedy_step(
    steps: Sequence[tuple[int, Sequence[int], Any]],
    step: int,
    labels: Sequence[str],
    frame_seconds: float,
    words: Sequence[tuple[str, float, float]] = (),
) -> Figure:
    """Greedy decoding of a transducer, up to one of its steps: its way, and what the joint says. Lesson 07.

    Each of ``steps`` is (frame t, labels written so far, (V,) natural log probabilities), blank first.
    """
    import matplotlib.pyplot as plt

    figure, (ax, bars) = plt.subplots(1, 2, figsize=(11, 3.2), width_ratios=(4, 1), layout="constrained")
    way = [(t * frame_seconds, len(written)) for t, written, _ in steps[: step + 1]]
    ax.plot(*zip(*way, strict=True), color=viz.ORANGE, marker="o", markersize=4)
    ax.plot(*way[-1], "o", color="black", markersize=8)
    longest = max(len(written) for _, written, _ in steps)
    last = max(t for t, _, _ in steps)
    ax.set(xlim=(-frame_seconds / 2, (last + 0.5) * frame_seconds), ylim=(-0.5, longest + 0.5))
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
    """The texts in a beam after one frame, best first, as bars of probability. Lesson 07.

    ``history[t]`` holds the (labels, natural log probability) that are left after frame t.
    """
    beam = [(" ".join(labels[k] for k in written), score) for written, score in history[frame]]
    ax = viz.plot_hypotheses(beam)
    ax.set_title(f"the beam after frame {frame}")
    return ax.figure


def draw_models(
    probabilities: dict[str, Any],
    labels: Sequence[str],
    frame_seconds: float,
    words: Sequence[tuple[str, float, float]] = (),
) -> Figure:
    """Each model's (T, V) label probabilities, blank first, over the same time. Lesson 08."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(probabilities), 1, figsize=(11, 4.2), layout="constrained", sharex=True)
    for ax, (name, values) in zip(axes, probabilities.items(), strict=True):
        viz.plot_label_probabilities(values, labels, frame_seconds, ax)
        viz.mark_words(words, ax)
        ax.set_ylabel(f"{name}:\nprobability")
        ax.set_xlabel("time (s)" if ax is axes[-1] else "")
    return figure


def beam_after(log_probs: Any, frame: int, options: BeamOptions) -> list[tuple[list[int], dict[str, float]]]:
    """CTC's beam after a frame, best text first: labels and their cost by parts, in nats. Lesson 11.

    The first parts are −ln P(labels | audio up to there), the others what language model and
    bonus add; after the last frame also what the language model asks for the end of the text.
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
    frame_seconds: float,
    options: BeamOptions,
    words: Sequence[tuple[str, float, float]] = (),
) -> Figure:
    """CTC's label probabilities over time, and below them the beam after one frame. Lesson 11.

    ``log_probs`` (T, V) natural logarithms, ``labels`` V names with blank first, ``words`` their
    true (word, start, end) in seconds.
    """
    import matplotlib.pyplot as plt

    rows = [(" ".join(labels[k] for k in t), parts) for t, parts in beam_after(log_probs, frame, options)]
    figure, (ax, below) = plt.subplots(
        2, 1, figsize=(10, 3.4 + 0.24 * options.beam_width), layout="constrained",
        height_ratios=(2.2, 0.9 + 0.24 * options.beam_width),
    )  # fmt: skip
    viz.plot_label_probabilities(torch.as_tensor(log_probs).exp(), labels, frame_seconds, ax)
    viz.mark_words(words, ax)
    ax.axvline(frame * frame_seconds, color="black", linewidth=1)
    viz.plot_costs(rows, below)
    below.set_ylim(options.beam_width - 0.5, -0.5)
    below.set_title(f"the beam after frame {frame}", loc="left", fontsize=10)
    return figure


def decoder_stepper(
    log_probs: Any,
    labels: Sequence[str],
    frame_seconds: float,
    lm: NGram,
    words: Sequence[tuple[str, float, float]] = (),
) -> ipywidgets.VBox:
    """Frame, width of the beam, weight of the language model and bonus over ``draw_beam_step``. Lesson 11.

    A width of 1 is greedy search.
    """
    import ipywidgets

    last = len(log_probs) - 1
    controls = [
        ipywidgets.IntSlider(last, min=0, max=last, description="frame t", continuous_update=False),
        ipywidgets.IntSlider(4, min=1, max=8, description="beam width", continuous_update=False),
        ipywidgets.FloatSlider(
            0.5, min=0, max=1.5, step=0.25, description="LM weight", continuous_update=False
        ),
        ipywidgets.FloatSlider(0.0, min=-1, max=2, step=0.5, description="bonus", continuous_update=False),
    ]
    picture = ipywidgets.Image(format="png")

    def draw(change: Any = None) -> None:
        frame, width, weight, bonus = (control.value for control in controls)
        options = BeamOptions(width, False, lm, weight, bonus)
        picture.value = png(draw_beam_step(log_probs, labels, frame, frame_seconds, options, words))

    for control in controls:
        control.observe(draw, names="value")
    draw()
    return ipywidgets.VBox([*controls, picture])


def stepper(draw: Callable[[int], Figure], count: int, name: str = "step") -> ipywidgets.VBox:
    """A slider over the pictures ``draw(0)`` to ``draw(count - 1)``. Lessons 06, 07, 08."""
    import ipywidgets

    slider = ipywidgets.IntSlider(0, min=0, max=count - 1, description=name, continuous_update=False)
    picture = ipywidgets.Image(format="png")

    def show(change: Any = None) -> None:
        picture.value = png(draw(slider.value))

    slider.observe(show, names="value")
    show()
    return ipywidgets.VBox([slider, picture])


def _choice(name: str, options: Sequence[str]) -> ipywidgets.ToggleButtons:
    """One of a few, the first at the beginning; name and buttons in one line."""
    import ipywidgets

    return ipywidgets.ToggleButtons(
        options=options,
        description=name,
        style={"description_width": "90px"},
        layout={"display": "flex", "width": "max-content"},
    )


def png(figure: Figure) -> bytes:
    """A figure as PNG, and closed: inside a widget nothing else would close it."""
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    plt.close(figure)
    return buffer.getvalue()


def wav(samples: Any, sample_rate: int) -> bytes:
    """Samples in [-1, 1] as a 16-bit WAV file, scaled down where they exceed that."""
    import soundfile

    samples = np.asarray(samples)
    buffer = io.BytesIO()
    soundfile.write(
        buffer, samples / max(1.0, np.abs(samples).max()), sample_rate, format="WAV", subtype="PCM_16"
    )
    return buffer.getvalue()
