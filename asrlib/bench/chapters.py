"""Compare decoding whole chapters with decoding their utterances one by one. Lesson 11.

``asrlib bench chapters`` calls `bench_chapters`. A corpus such as LibriSpeech cuts chapters into utterances
and names each of them speaker-chapter-number. Joined again, they are recordings of minutes, with the same
words to score against.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from asrlib.bench.measure import describe_machine
from asrlib.data.audio import cut_audio
from asrlib.errors import InputError
from asrlib.evaluate import check_references
from asrlib.metrics import ErrorRate, word_error_rate
from asrlib.recognizer import Recognizer
from asrlib.signal.resample import resample

if TYPE_CHECKING:
    from lhotse import CutSet
    from lhotse.cut import Cut

# how windows are joined, and the share of a window that the next one repeats
JOINS = (("average", 0.875), ("middle", 0.5))
_ID = re.compile(r"(?P<chapter>.*?\d+-\d+)-(?P<number>\d+)")
_Way = Callable[[list[Tensor]], str]


class Row(NamedTuple):
    """One row of the table: the word errors of all chapters, and the CPU time in seconds."""

    name: str
    words: ErrorRate
    seconds: float


def bench_chapters(recognizer: Recognizer, cuts: CutSet, window: float = 20.0) -> list[Row]:
    """Print a table of ways to decode chapters and return its rows.

    The first row decodes the utterances one by one. The others decode each chapter, the samples of its
    utterances one after another: in pieces of at most ``window`` seconds cut at pauses, in overlapping
    windows of ``window`` seconds, and in one pass. A transducer has no row for averaged windows. The
    hypotheses of the first row are joined too, so that every row is scored against the same text. Seconds
    are the CPU time of features, network and search.

    Raises ``InputError`` as `find_chapters` and `evaluate.check_references` do, and for a model with a closed
    list of words.
    """
    if recognizer.config.decoding.words is not None:
        raise InputError("decoding.words is set: a model that finds one word per utterance reads no chapters")
    check_references(recognizer.tokenizer, cuts)
    chapters = find_chapters(cuts)
    ways = _ways(recognizer, window)
    texts: dict[str, list[str]] = {name: [] for name in ways}
    seconds, durations = dict.fromkeys(ways, 0.0), []
    for chapter in chapters.values():
        utterances = [_samples(cut, recognizer) for cut in chapter]
        durations.append(sum(map(len, utterances)) / recognizer.config.features.sample_rate)
        for name, way in ways.items():
            start = time.process_time()
            texts[name].append(way(utterances))
            seconds[name] += time.process_time() - start
    references = [" ".join(_reference(cut, recognizer) for cut in chapter) for chapter in chapters.values()]
    rows = [Row(name, word_error_rate(references, texts[name]), seconds[name]) for name in ways]
    print(describe_machine(str(recognizer.device)))
    print(
        f"{len(chapters)} chapters of {min(durations):.0f} to {max(durations):.0f} s,"
        f" {sum(map(len, chapters.values()))} utterances, {rows[0].words.length} words"
    )
    print(f"{'':52}{'WER, %':>8}{'subst.':>8}{'del.':>6}{'ins.':>6}{'CPU s':>8}")
    for name, words, taken in rows:
        edits = f"{words.substitutions:8}{words.deletions:6}{words.insertions:6}"
        print(f"{name:52}{words.rate:8.2f}{edits}{taken:8.1f}")
    return rows


def find_chapters(cuts: Iterable[Cut]) -> dict[str, list[Cut]]:
    """Return the utterances of each chapter in the order of their numbers.

    An id ends in speaker-chapter-number, three numbers, with or without the ending of a file. Raises
    ``InputError`` for another id, and if no chapter has more than one utterance.
    """
    numbered: dict[str, list[tuple[int, Cut]]] = {}
    for cut in cuts:
        found = _ID.match(cut.id)
        if found is None:
            raise InputError(
                f"utterance {cut.id}: its id names no chapter; expected speaker-chapter-number, such as"
                " 1088-134315-0003"
            )
        numbered.setdefault(found["chapter"], []).append((int(found["number"]), cut))
    if all(len(chapter) == 1 for chapter in numbered.values()):
        raise InputError("no chapter has more than one utterance: there is nothing to join")
    return {
        name: [cut for _, cut in sorted(chapter, key=lambda pair: pair[0])]
        for name, chapter in numbered.items()
    }


def _ways(recognizer: Recognizer, window: float) -> dict[str, _Way]:
    """Return the ways to decode a chapter by name, as functions from its utterances to its text."""
    rate = recognizer.config.features.sample_rate

    def one_by_one(utterances: Sequence[Tensor]) -> str:
        texts = [recognizer.transcribe(samples, rate).text for samples in utterances]
        return " ".join(text for text in texts if text)

    def pauses(utterances: Sequence[Tensor]) -> str:
        return recognizer.transcribe_long(torch.cat(list(utterances)), rate, window, cut="pauses").text

    def windows(overlap: float, join: str, utterances: Sequence[Tensor]) -> str:
        whole = torch.cat(list(utterances))
        return recognizer.transcribe_long(whole, rate, window, overlap, join, cut="windows").text

    def one_pass(utterances: Sequence[Tensor]) -> str:
        return recognizer.transcribe(torch.cat(list(utterances)), rate).text

    ways: dict[str, _Way] = {
        "utterances, one by one": one_by_one,
        f"chapters, cut at pauses, at most {window:g} s": pauses,
    }
    for join, overlap in JOINS:
        if recognizer.uses_ctc or join != "average":
            name = f"chapters, window {window:g} s, overlap {overlap:g}, {join}"
            ways[name] = partial(windows, overlap, join)
    return ways | {"chapters in one pass": one_pass}


def _samples(cut: Cut, recognizer: Recognizer) -> Tensor:
    """Return the samples of an utterance at the model's rate."""
    samples = torch.from_numpy(cut_audio(cut))
    return resample(samples, cut.sampling_rate, recognizer.config.features.sample_rate)


def _reference(cut: Cut, recognizer: Recognizer) -> str:
    return recognizer.reference(cut.supervisions[0].text)
