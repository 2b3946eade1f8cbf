"""Recorded outputs of the lessons' model on the course's clips. Assignments 06 and 11."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from safetensors.torch import load_file
from torch import Tensor

from asrlib.files import package_folder
from asrlib.signal.frame_times import FrameTimes

# What the lessons' model put out when the assignments were written. Thresholds are set on these numbers, so
# a model that is trained again must not move them. `tools/prepare_posteriors.py` wrote the file.
WINDOW_SECONDS = 0.025  # of that model's features
POSTERIORS = package_folder("asrlib.teaching.exercise_data") / "posteriors.safetensors"


class Word(NamedTuple):
    """Times in seconds."""

    text: str
    start: float
    end: float


class Clip(NamedTuple):
    """One of the course's clips of digits and a trained CTC head's log probabilities, (T, V)."""

    log_probs: Tensor
    labels: Tensor
    words: list[Word]
    frame_times: FrameTimes


@lru_cache
def clip_posteriors() -> list[Clip]:
    """Return the clips of digits without noise, their log probabilities in float64."""
    from asrlib.data.corpora import clips

    stored, found = load_file(POSTERIORS), []
    for cut in clips():
        if f"{cut.id} clean" in stored:
            words = [Word(w.symbol, w.start, w.end) for w in cut.supervisions[0].alignment["word"]]
            y = stored[f"{cut.id} clean"].double().log_softmax(-1)
            frame_times = FrameTimes(float(stored["frame seconds"]), WINDOW_SECONDS / 2)
            found.append(Clip(y, stored[f"{cut.id} labels"], words, frame_times))
    return found


@lru_cache
def noisy_views() -> list[tuple[Tensor, list[int]]]:
    """Return each clip of digits in six white noises 4 dB louder than the speech, and its labels.

    A clip's five views, (5, T, V) log probabilities of the CTC head, are its spectrum warped to five lengths
    of the vocal tract, in another order each time.
    """
    stored, found = load_file(POSTERIORS), []
    for name in sorted(stored):
        if name.endswith(" noisy"):
            labels = stored[name.replace("noisy", "labels")].tolist()
            for views in stored[name].double().log_softmax(-1):
                found.append((views.roll(len(found), 0), labels))
    return found
