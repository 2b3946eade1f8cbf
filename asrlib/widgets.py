"""Widgets: a slider over a plot. Each is a plain drawing function first, so that a figure can
stand before the widget and a test can call it over the slider's whole range.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from asrlib import viz
from asrlib.augment import add_noise
from asrlib.ctc import collapse
from asrlib.errors import InputError
from asrlib.features import FrontEnd, frame

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
    from asrlib.features import log_mel

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
        20, min=-10, max=40, step=5, description="SNR (dB)", continuous_update=False
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
        return ipywidgets.IntSlider(
            value, min=low, max=high, step=step, description=name, continuous_update=False
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
    here = log_probs[frame].exp().numpy()
    bars.barh(range(len(labels)), here, color=[viz.GREY] + [viz.BLUE] * (len(labels) - 1))
    bars.set(yticks=range(len(labels)), yticklabels=list(labels), xlim=(0, 1), xlabel="probability")
    bars.set_title(f"frame {frame}", fontsize=10)
    bars.tick_params(labelsize=8)
    bars.invert_yaxis()
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


def stepper(draw: Callable[[int], Figure], count: int, name: str = "step") -> ipywidgets.VBox:
    """A slider over the pictures ``draw(0)`` to ``draw(count - 1)``. Lessons 06, 07."""
    import ipywidgets

    slider = ipywidgets.IntSlider(0, min=0, max=count - 1, description=name, continuous_update=False)
    picture = ipywidgets.Image(format="png")

    def show(change: Any = None) -> None:
        picture.value = png(draw(slider.value))

    slider.observe(show, names="value")
    show()
    return ipywidgets.VBox([slider, picture])


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
