"""Corpus folders of tones, and a check of error messages, for tests that read corpora."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrlib.errors import InputError


def tone(seconds=0.5, rate=16_000, channels=1):
    """Return a sine of 440 Hz. With two channels, the second is silent."""
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)
    return wave if channels == 1 else np.stack([wave, np.zeros_like(wave)], axis=1)


def make_folder(folder: Path, rows, header="path\tspeaker\ttext", encoding="utf-8"):
    """Write a corpus folder with an audio file for every row that has a path."""
    folder.mkdir(parents=True, exist_ok=True)
    for row in rows:
        name = row.split("\t")[0]
        if name:
            soundfile.write(folder / name, tone(), 16_000)
    (folder / "manifest.tsv").write_text("\n".join([header, *rows]) + "\n", encoding=encoding)
    return folder


def noise_folder(folder: Path, utterances, seconds, rate=16_000):
    """Write a corpus folder of noise for (speaker, text) pairs; ``seconds(text)`` long."""
    folder.mkdir(parents=True)
    draw, lines = np.random.default_rng(0), ["path\tspeaker\ttext"]
    for number, (speaker, text) in enumerate(utterances):
        soundfile.write(folder / f"{number}.wav", 0.1 * draw.standard_normal(int(rate * seconds(text))), rate)
        lines.append(f"{number}.wav\t{speaker}\t{text}")
    (folder / "manifest.tsv").write_text("\n".join(lines) + "\n")


def fails(message, call, *arguments, **keywords):
    """Check that the call raises InputError with a single line that matches the message."""
    with pytest.raises(InputError, match=message) as caught:
        call(*arguments, **keywords)
    assert "\n" not in str(caught.value)
