"""Explorers of sound and features: noise, window, hop and mel filters. Lessons 00 and 01."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from asrlib.errors import InputError
from asrlib.extras import extra
from asrlib.signal.augment import add_noise
from asrlib.signal.features import FrontEnd, log_mel
from asrlib.signal.framing import frame, preemphasize
from asrlib.teaching import viz
from asrlib.teaching.resynthesis import sound_from_log_mel
from asrlib.teaching.widgets.controls import explorer, player, slider, wav

if TYPE_CHECKING:
    import ipywidgets
    from matplotlib.figure import Figure

    from asrlib.recognizer import Recognizer


def with_white_noise(samples: Any, snr_db: float, seed: int = 0) -> np.ndarray:
    """Return (samples,) of speech with white noise at ``snr_db`` decibels added. Lesson 00."""
    wave = torch.as_tensor(np.asarray(samples, dtype=np.float32))[None]
    generator = torch.Generator().manual_seed(seed)
    noisy = add_noise(
        wave, torch.tensor([wave.shape[1]]), torch.tensor([float(snr_db)]), torch.zeros(1), generator
    )
    return noisy[0].numpy()


def draw_noisy(
    recognizer: Recognizer, samples: Any, sample_rate: int, snr_db: float, seed: int = 0
) -> Figure:
    """Draw the log-mel features of speech in white noise, with what is recognized in it. Lesson 00."""
    return draw_heard(recognizer, with_white_noise(samples, snr_db, seed), sample_rate, f"{snr_db:g} dB   ")


def draw_heard(recognizer: Recognizer, samples: Any, sample_rate: int, title: str = "") -> Figure:
    """Draw the log-mel features of (samples,) with the words that are recognized, and when. Lesson 00."""
    samples = np.asarray(samples, dtype=np.float32)
    found = recognizer.transcribe(samples, sample_rate)
    ax = viz.plot_log_mel(log_mel(torch.from_numpy(samples), sample_rate))
    viz.mark_tokens(found.tokens, found.times, ax)
    ax.set_title(f"{title}heard: {found.text or '(nothing)'}", loc="left")
    return ax.figure


def noise_explorer(recognizer: Recognizer, samples: Any, sample_rate: int) -> ipywidgets.VBox:
    """Return a slider for the noise, the picture of ``draw_noisy``, and the sound. Lesson 00."""
    sound = player()

    def draw(snr_db: int) -> Figure:
        sound.value = wav(with_white_noise(samples, snr_db), sample_rate)
        return draw_noisy(recognizer, samples, sample_rate, snr_db)

    return explorer([slider("SNR (dB)", 20, -25, 40, 5)], draw, below=[sound])


def draw_spectrogram(
    samples: Any, sample_rate: int, window_ms: float = 25.0, hop_ms: float = 10.0, mels: int = 80
) -> Figure:
    """Draw power spectra and log-mel features for one choice of window, hop and filters. Lesson 01.

    ``window_ms`` and ``hop_ms`` are milliseconds; pre-emphasis is the usual 0.97. Raises ``InputError`` where
    the window is shorter than the hop.
    """
    with extra("lab"):
        import matplotlib.pyplot as plt

    front_end = FrontEnd(sample_rate, window_ms, hop_ms, mels)
    samples = torch.as_tensor(np.asarray(samples, dtype=np.float32))
    emphasized = preemphasize(samples, front_end.preemphasis)
    frames = frame(emphasized, front_end.window, front_end.hop) * front_end.taper
    power = torch.fft.rfft(frames, n=front_end.fft_size).abs().square()
    features = front_end(samples[None], torch.tensor([len(samples)]))[0][0]
    empty = int((front_end.filters.sum(0) == 0).sum())

    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 4.6), sharex=True, layout="constrained")
    viz.plot_spectrogram(power, sample_rate, hop_ms, above, window_ms)
    viz.plot_log_mel(features, hop_ms, below, window_ms)
    above.set(xlabel="", title=f"{len(power)} frames of {front_end.window} samples, hop {front_end.hop}")
    width = sample_rate / front_end.fft_size
    below.set_title(f"{mels} filters over bins of {width:.0f} Hz, {empty} of them empty")
    return figure


def spectrogram_explorer(samples: Any, sample_rate: int) -> ipywidgets.VBox:
    """Return sliders for window, hop and number of mel filters over ``draw_spectrogram``. Lesson 01.

    Below plays what these features sound like (``sound_from_log_mel``).
    """
    with extra("lab"):
        import ipywidgets

    message, sound = ipywidgets.Label(), player()
    wave = torch.as_tensor(np.asarray(samples, dtype=np.float32))

    def draw(window_ms: int, hop_ms: int, mels: int) -> Figure | None:
        try:
            figure = draw_spectrogram(samples, sample_rate, window_ms, hop_ms, mels)
        except InputError as error:
            message.value = str(error)
            return None
        message.value = ""
        options = {"window_ms": window_ms, "hop_ms": hop_ms, "mels": mels}
        heard = sound_from_log_mel(log_mel(wave, sample_rate, **options), sample_rate, 20, **options)
        sound.value = wav(0.9 * heard.numpy(), sample_rate)
        return figure

    controls = [
        slider("window (ms)", 25, 5, 95, 10, name_width="7em"),
        slider("hop (ms)", 10, 2, 18, 4, name_width="7em"),
        slider("mel filters", 80, 20, 140, 20, name_width="7em"),
    ]
    return explorer(controls, draw, above=[message], below=[sound])
