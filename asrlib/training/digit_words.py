"""Digit words cut out of the recordings at hand, and synthetic ones. Lesson 09.

``real`` is a folder that contains the folders of recordings below, each with a ``manifest.tsv``. Spelled
names, numbers and sentences contain digits too. A recognizer of phones, the shipped ``commands-model``, finds
them: it aligns the phones of the text with the sound, and what lies between the neighbors' phones is cut out.
Synthetic voices say digits with the accents of twelve languages, and words that are no digits.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from asrlib.data.audio import cut_audio
from asrlib.data.corpora import load_corpus
from asrlib.data.digit_strings import Piece
from asrlib.data.espeak import synthesize
from asrlib.data.espeak_library import engine_of_its_own
from asrlib.data.grammar import DIGITS
from asrlib.data.joining import trim
from asrlib.data.voices import ACCENTS, RESPELLED
from asrlib.errors import InputError
from asrlib.files import write_atomically
from asrlib.losses.alignment import ctc_align
from asrlib.recognizer import Recognizer
from asrlib.signal.resample import resample
from asrlib.text.lexicon import cmu_lexicon, cmu_words
from asrlib.text.tokenizers import PhoneTokenizer

if TYPE_CHECKING:
    from lhotse.cut import Cut

# the sample rate of the pieces in Hz, that of ``contextnet-digits``
RATE = 8000
FSDD, COMMANDS, AN4, SPEECHOCEAN = "fsdd", "commands", "an4", "speechocean-train"
READ = ("librispeech-251", "mini-librispeech", "ljspeech-385")
# in READ, "one" is mostly a pronoun, often swallowed; there are enough recordings of it elsewhere
IN_SENTENCES = {*DIGITS} - {"one"}
# digits whose phones have a lower mean log-probability are left out: something else was said
LEAST_SCORE = -1.5
# seconds kept before the first and after the last phone of digits, if no neighbor is nearer
BEFORE, AFTER = 0.16, 0.22
# each digit is synthesized by so many voices with each foreign accent, and with each English one
FOREIGN, ENGLISH = 24, 12
# the numbers of these voices; those of the synthetic corpora are lower
VOICES = range(200_000, 300_000)


class Run(NamedTuple):
    """Digits in a row within the utterance ``id``: their words, and from where to where in seconds.

    ``score`` is the mean log-probability of their phones, in nats.
    """

    id: str
    words: tuple[str, ...]
    start: float
    end: float
    score: float


def words_of(text: str) -> list[str]:
    """Return the words of a transcript, in lower case."""
    return re.findall("[a-z']+", text.lower())


def as_digit(word: str, name: str) -> str | None:
    """Return a word of the folder ``name`` as a digit word, or None. "oh" is zero.

    So is the letter O, which only AN4 writes: it sounds like "oh".
    """
    if word == "oh" or (word == "o" and name == AN4):
        return "zero"
    return word if word in DIGITS else None


def as_digits(text: str, name: str) -> list[str] | None:
    """Return a text of nothing but digits as digit words, else None."""
    digits = [as_digit(word, name) for word in words_of(text)]
    found = [digit for digit in digits if digit]
    return found if found and len(found) == len(digits) else None


def cut_words(real: Path, name: str, runs: Iterable[Run], speakers: Collection[str]) -> list[Piece]:
    """Return the ``runs`` cut out of the recordings by these ``speakers`` in the folder ``name``."""
    cuts = {cut.id: cut for cut in load_corpus(folder(real, name))}
    pieces = []
    for run in runs:
        cut = cuts[run.id]
        speaker = speaker_of(cut)
        if speaker in speakers and run.score >= LEAST_SCORE:
            sound = _samples(cut)[round(run.start * RATE) : round(run.end * RATE)]
            if len(sound) > RATE // 10:
                pieces.append(Piece(run.words, trim(sound, RATE), name, speaker))
    return pieces


def single_words(real: Path, speakers: Collection[str]) -> list[Piece]:
    """Return the recordings of FSDD, a digit each, by these ``speakers``."""
    return [
        Piece(tuple(words_of(cut.supervisions[0].text)), trim(_samples(cut), RATE), FSDD, speaker_of(cut))
        for cut in load_corpus(folder(real, FSDD))
        if speaker_of(cut) in speakers
    ]


def synthetic_words() -> list[Piece]:
    """Return the training words of the synthetic corpus ``commands``, which has digits and other words."""
    return [
        Piece(
            (cut.supervisions[0].text,), trim(_samples(cut), RATE), "synthetic", cut.supervisions[0].speaker
        )
        for cut in load_corpus("commands", "train")
    ]


def accented_digits(seed: int = 9) -> list[Piece]:
    """Return each digit in many synthetic voices, at various speeds, with foreign and English accents."""
    draw = np.random.default_rng(seed)
    pieces = []
    with engine_of_its_own():
        for word, accent in itertools.product(DIGITS, (*RESPELLED, *ACCENTS)):
            for _ in range(FOREIGN if accent in RESPELLED else ENGLISH):
                voice = f"{accent}+r{draw.integers(VOICES.start, VOICES.stop)}"
                rate, pitch, pitch_range = draw.integers((130, 20, 20), (300, 80, 80)).tolist()
                said = synthesize(word, voice, rate, pitch, pitch_range)
                sound = resample(torch.from_numpy(said.samples).float(), said.sample_rate, RATE).numpy()
                pieces.append(Piece((word,), trim(sound, RATE), "accents", voice))
    return pieces


def stored_runs(real: Path, name: str, file: Path) -> list[Run]:
    """Return the digits within all utterances of the folder ``name``, as ``find_runs`` finds them.

    They are found once and then read from ``file``. Raises ``InputError`` for a missing folder.
    """
    if not file.is_file():
        aligner = Recognizer.load("commands-model")
        known, wanted = {*cmu_words()}, IN_SENTENCES if name in READ else {*DIGITS}
        runs = []
        for cut in load_corpus(folder(real, name)):
            words = words_of(cut.supervisions[0].text)
            if known.issuperset(words) and any(as_digit(word, name) in wanted for word in words):
                runs += [run for run in find_runs(aligner, cut, name) if wanted & {*run.words}]
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(runs, indent=0).encode())
    rows = json.loads(file.read_text(encoding="utf-8"))
    return [Run(key, tuple(words), *rest) for key, words, *rest in rows]


@torch.no_grad()
def find_runs(aligner: Recognizer, cut: Cut, name: str) -> Iterator[Run]:
    """Yield the longest runs of digits in an utterance of the folder ``name``.

    ``aligner`` is a recognizer of phones; its lexicon need not have the words. Nothing is found in an
    utterance that is too short for its text. Raises ``InputError`` for a recognizer of something else, and
    for a word that the CMU dictionary does not have.
    """
    if not isinstance(aligner.tokenizer, PhoneTokenizer):
        raise InputError("find_runs needs a recognizer of phones, such as commands-model")
    words = words_of(cut.supervisions[0].text)
    phones = [cmu_lexicon([word]).pronunciations(word)[0] for word in words]
    numbers = aligner.tokenizer.numbers(phone for word in phones for phone in word)
    log_probs, frames = aligner.ctc_log_probs([(torch.from_numpy(cut_audio(cut)), cut.sampling_rate)])
    path = ctc_align(log_probs[0, : int(frames[0])], torch.tensor(numbers))
    if not len(path.path):
        return
    last = np.cumsum([len(word) for word in phones])  # past the last phone of each word
    first = last - [len(word) for word in phones]
    starts = aligner.frame_times(path.starts.numpy()[first])
    ends = aligner.frame_times(path.ends.numpy()[last - 1] - 1)
    digits = [as_digit(word, name) for word in words]
    for begin, end in _runs(digits):
        left = (ends[begin - 1] + starts[begin]) / 2 if begin else 0.0
        right = (ends[end - 1] + starts[end]) / 2 if end < len(words) else cut.duration
        yield Run(
            cut.id,
            tuple(digit for digit in digits[begin:end] if digit),
            max(0.0, left, float(starts[begin]) - BEFORE),
            min(cut.duration, right, float(ends[end - 1]) + AFTER),
            float(path.scores[first[begin] : last[end - 1]].mean()),
        )


def _runs(digits: Sequence[str | None]) -> Iterator[tuple[int, int]]:
    """Yield (first, past the last) of the longest runs that hold no None."""
    begin = 0
    for place, digit in enumerate([*digits, None]):
        if digit is None:
            if place > begin:
                yield begin, place
            begin = place + 1


def folder(real: Path, name: str) -> Path:
    """Return a folder of recordings. Raises ``InputError`` if it is missing."""
    found = Path(real, name)
    if not found.is_dir():
        raise InputError(f"{found} is missing; this recipe needs it")
    return found


def speaker_of(cut: Cut) -> str:
    """Return the speaker of an utterance."""
    return str(cut.supervisions[0].speaker)


def _samples(cut: Cut) -> np.ndarray:
    """Return the samples of a cut at `RATE`."""
    return resample(torch.from_numpy(cut_audio(cut)), cut.sampling_rate, RATE).numpy()
