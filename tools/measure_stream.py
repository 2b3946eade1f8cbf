"""Measure whether a recognizer drifts on a long stream: errors in each part of it. Lesson 12.

    python tools/measure_stream.py digits-streaming-model --minutes 60 [--real FOLDER] [--forget never]

The stream is made of utterances of digits in random order, by synthetic test voices and, with ``--real``, by
speakers of AN4 and Speech Commands whom the shipped models have not heard, with pauses of 0.5 to 10 s in
faint noise. It is fed to one stream in chunks of 2 s. ``--forget never`` gives the running means of the model
a memory without end, which is what they had before they could forget.
"""

import argparse
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from asrlib.data.audio import cut_audio
from asrlib.data.corpora import load_corpus
from asrlib.metrics import ErrorRate, word_error_rate
from asrlib.models.layers.se import SqueezeExcite
from asrlib.recognizer import Recognizer
from asrlib.signal.resample import resample

RATE = 8000
CHUNK = 2 * RATE


@dataclass
class Said:
    """An utterance of the stream: when it begins, in seconds, and its words."""

    start: float
    text: str


def long_stream(utterances: list[tuple[np.ndarray, str]], minutes: float, seed: int = 0):
    """Return ``minutes`` of samples at `RATE`, and what is said in them."""
    draw, noise = random.Random(seed), np.random.default_rng(seed)
    parts, said, length = [], [], 0
    while length < minutes * 60 * RATE:
        pause = np.zeros(round(draw.uniform(0.5, 10) * RATE), np.float32)
        samples, text = draw.choice(utterances)
        said.append(Said((length + len(pause)) / RATE, text))
        parts += [pause, samples]
        length += len(pause) + len(samples)
    joined = np.concatenate([*parts, np.zeros(RATE, np.float32)])
    return joined + noise.standard_normal(len(joined), dtype=np.float32) * 10 ** (-65 / 20), said


def utterances_of(real: Path | None) -> list[tuple[np.ndarray, str]]:
    """Return the samples at `RATE` and the texts of the utterances to choose from, at one level."""
    cuts = list(load_corpus("digits", "test"))
    if real is not None:
        from asrlib.training.digit_sets import EVERYONE, held_out

        people = [cut for corpus in held_out(real, EVERYONE).values() for cut in corpus]
        cuts += people * max(1, len(cuts) // len(people))
    found = []
    for cut in cuts:
        samples = resample(torch.from_numpy(cut_audio(cut)), cut.sampling_rate, RATE).numpy()
        found.append((samples * (0.3 / max(1e-3, np.abs(samples).max())), cut.supervisions[0].text))
    return found


def errors_by_part(recognizer: Recognizer, samples, said: list[Said], parts: int) -> list[ErrorRate]:
    """Stream ``samples``, and return the word errors of each of ``parts`` equal parts of the stream.

    A word belongs to the last utterance that began before it.
    """
    stream = recognizer.stream(RATE)
    for chunk in torch.from_numpy(samples).split(CHUNK):
        stream.feed(chunk)
    found = stream.finish()
    heard: list[list[str]] = [[] for _ in said]
    starts = np.array([each.start for each in said])
    for word, time in zip(found.text.split(), found.times, strict=True):
        heard[max(0, int(np.searchsorted(starts, time, side="right")) - 1)].append(word)
    edges = np.linspace(0, len(samples) / RATE, parts + 1)
    rates = []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        inside = [n for n, each in enumerate(said) if low <= each.start < high]
        references = [said[n].text for n in inside]
        rates.append(word_error_rate(references, [" ".join(heard[n]) for n in inside]))
    return rates


def never_forget(recognizer: Recognizer) -> None:
    """Give the running means of a recognizer a memory without end."""
    recognizer.front_end.running_memory = None
    for module in recognizer.model.modules():
        if isinstance(module, SqueezeExcite):
            module.memory = None


def main() -> None:
    """Print the errors in each part of the stream."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a model directory, or the name of a shipped model")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--parts", type=int, default=6)
    parser.add_argument("--real", type=Path, help="folder that contains an4 and commands")
    parser.add_argument("--forget", choices=("trained", "never"), default="trained")
    arguments = parser.parse_args()
    recognizer = Recognizer.load(arguments.model)
    if arguments.forget == "never":
        never_forget(recognizer)
    samples, said = long_stream(utterances_of(arguments.real), arguments.minutes)
    rates = errors_by_part(recognizer, samples, said, arguments.parts)
    for part, rate in enumerate(rates, start=1):
        print(f"part {part} of {arguments.parts}: {rate}")


if __name__ == "__main__":
    main()
