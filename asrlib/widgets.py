"""Widgets: a slider over a plot. Each is a plain drawing function first, so that a figure can
stand before the widget and a test can call it over the slider's whole range.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from asrlib import viz
from asrlib.augment import add_noise

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
