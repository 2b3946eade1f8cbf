"""Draw docs/front.png, the picture on the first page: a clip, its spectrogram, and the words that come out.

    python tools/make_picture.py

The words are those of `lessons-model`, whose weights never change. The file's metadata has the words and
their times in seconds, which a test compares with what the model finds.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.patches import ConnectionPatch

import asrlib
from asrlib.signal.resample import resample
from asrlib.teaching.viz import GREY

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "front.png"
MODEL, CLIP = "lessons-model", "audio/digits-4.flac"
# Okabe and Ito's palette, whose colors stay apart for color-blind readers
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")


def listened() -> tuple[np.ndarray, int, np.ndarray, np.ndarray, asrlib.Recognizer]:
    """Return the clip's samples, their rate, its log-mel features, its label probabilities, and the model."""
    (clip,) = (cut for cut in asrlib.clips() if cut.id == CLIP)
    samples, rate = asrlib.cut_audio(clip), clip.sampling_rate
    recognizer = asrlib.Recognizer.load(MODEL)
    sound = resample(torch.from_numpy(samples), rate, recognizer.front_end.sample_rate)
    with torch.no_grad():
        features, lengths = recognizer.front_end(sound[None], torch.tensor([len(sound)]))
        frames, _ = recognizer.model.encoder(features, lengths)
        probabilities = recognizer.model.ctc_head(frames)[0].softmax(-1).numpy()
    return samples, rate, features[0].numpy(), probabilities, recognizer


def words_found(probabilities: np.ndarray, recognizer: asrlib.Recognizer) -> list[tuple[str, float]]:
    """Return the words of the best path with their times: the most probable frame of each, in seconds."""
    best = probabilities.argmax(-1)
    changes = np.flatnonzero(np.diff(best, prepend=-1))
    found = []
    for start, end in zip(changes, [*changes[1:], len(best)], strict=True):
        if best[start]:  # 0 is blank
            peak = start + int(probabilities[start:end, best[start]].argmax())
            found.append((recognizer.tokenizer.labels[best[start] - 1], float(recognizer.frame_times(peak))))
    return found


def draw(path: Path = PICTURE) -> list[tuple[str, float]]:
    """Draw the picture into ``path``; return the words in it, each with its time in seconds."""
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    samples, rate, features, probabilities, recognizer = listened()
    found = words_found(probabilities, recognizer)
    seconds = len(samples) / rate
    figure, (words, spectrogram, wave) = plt.subplots(
        3, 1, figsize=(9.6, 5.2), height_ratios=(1.15, 1.5, 0.55), sharex=True
    )
    figure.subplots_adjust(left=0.085, right=0.985, top=0.93, bottom=0.1, hspace=0.06)

    wave.plot(np.arange(len(samples)) / rate, samples, color="#0072b2", linewidth=0.5)
    wave.set(xlabel="time (s)", xlim=(0, seconds), yticks=[], ylabel="sound")
    half = recognizer.config.features.hop_ms / 2000
    first = recognizer.config.features.window_ms / 2000
    last = first + (len(features) - 1) * 2 * half
    spectrogram.imshow(
        features.T,
        origin="lower",
        aspect="auto",
        extent=(first - half, last + half, 0, features.shape[1]),
        cmap="magma",
    )
    spectrogram.set(ylabel=f"{features.shape[1]} mel bands", yticks=[], facecolor="black")

    # probabilities as hills: a fine curve through the frames' values
    times = recognizer.frame_times(np.arange(len(probabilities)))
    fine = np.linspace(0, seconds, 1200)
    width = recognizer.frame_seconds * 0.42
    colors = dict(zip(dict(found), itertools.cycle(COLORS)))
    for k, label in enumerate(recognizer.tokenizer.labels, start=1):
        hills = probabilities[:, k, None] * np.exp(-(((fine - times[:, None]) / width) ** 2))
        words.fill_between(fine, hills.max(0), color=colors.get(label, GREY), alpha=0.85, linewidth=0)
    for word, time in found:
        words.text(time, 1.12, word, ha="center", fontsize=17, fontweight="bold", color=colors[word])
        ends = dict(coordsA=words.transData, coordsB=wave.transData)
        dots = dict(color="white", linewidth=1.1, linestyle=(0, (1, 2)), alpha=0.9)
        figure.add_artist(ConnectionPatch((time, 0), (time, 0), **ends, **dots))
    words.set(ylim=(0, 1.08), yticks=[0, 1], ylabel="probability")
    for axes in (words, wave):
        axes.spines[["top", "right"]].set_visible(False)
    words.tick_params(bottom=False)
    about = {"model": MODEL, "clip": CLIP, "words": [[word, round(time, 3)] for word, time in found]}
    figure.savefig(path, dpi=150, metadata={"Description": json.dumps(about), "Software": None})
    plt.close(figure)
    return found


if __name__ == "__main__":
    print(*draw(), sep="\n")
