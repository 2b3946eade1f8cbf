"""Compare the eager model with exported files: size, speed and transcripts.

Lesson 12b.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from asrlib.data.audio import cut_audio
from asrlib.export.runner import Runner, samples_at
from asrlib.metrics import ErrorRate, word_error_rate
from asrlib.recognizer import Recognizer

if TYPE_CHECKING:
    from lhotse import CutSet


@dataclass(frozen=True)
class Measured:
    """One row of the comparison.

    ``size`` is the size of the file in bytes. ``seconds`` is the mean time per utterance, one at a time, in
    one thread; ``factor`` is the real-time factor. ``same`` is how many of ``utterances`` have the same
    transcript as the eager model's. ``wer`` is None if references are not scored.
    """

    name: str
    size: int
    seconds: float
    factor: float
    same: int
    utterances: int
    wer: ErrorRate | None


def compare(
    recognizer: Recognizer, size: int, files: dict[str, bytes], format: str, cuts: CutSet, score: bool = True
) -> list[Measured]:
    """Run the eager model and exported files on the same utterances; return a row for each.

    ``size`` is the size of the eager model's weights in bytes. ``files`` maps names to the contents of
    files in ``format``. ``score`` also computes the WER against the transcripts of ``cuts``. All models run
    in one thread. Files have no closed list of words (``decoding.words``): both write phones then.
    """
    rate = recognizer.front_end.sample_rate
    signals = [samples_at(rate, cut_audio(cut), cut.sampling_rate) for cut in cuts]
    references = [recognizer.tokenizer.prepare(cut.supervisions[0].text) for cut in cuts if score]
    duration = sum(len(signal) for signal in signals) / rate
    models = {"eager": (size, recognizer)}
    for name, content in files.items():
        models[f"{format} {name}"] = (len(content), Runner.from_bytes(content, format))
    rows, eager = [], []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    decoding = recognizer.config.decoding
    recognizer.config.decoding = dataclasses.replace(decoding, words=None)
    try:
        for name, (size_, model) in models.items():
            # warm up each TFLite signature
            for signal in sorted(signals, key=len)[:: max(1, len(signals) // 8)]:
                model.transcribe(signal, rate)
            start = time.perf_counter()
            texts = [model.transcribe(signal, rate).text for signal in signals]
            took = time.perf_counter() - start
            eager = eager or texts
            same = sum(text == other for text, other in zip(texts, eager, strict=True))
            wer = word_error_rate(references, texts) if score else None
            rows.append(Measured(name, size_, took / len(texts), took / duration, same, len(texts), wer))
    finally:
        torch.set_num_threads(threads)
        recognizer.config.decoding = decoding
    return rows


def table(rows: Sequence[Measured]) -> str:
    """Return the rows as a text table."""
    lines = [
        f"{'':14} {'size kB':>8} {'ms per utterance':>16} {'real-time factor':>17} {'words as eager':>15}"
    ]
    for row in rows:
        same = f"{row.same}/{row.utterances}"
        line = (
            f"{row.name:14} {row.size / 1000:8.0f} {1000 * row.seconds:16.2f} {row.factor:17.4f} {same:>15}"
        )
        lines.append(line if row.wer is None else f"{line}   WER {row.wer.rate:.2f} %")
    return "\n".join(lines)
