"""Transcribe and score a corpus. Lessons 09 and 11."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch

from asrlib.data import shar
from asrlib.data.audio import cut_audio
from asrlib.decoding.greedy import greedy_ctc
from asrlib.decoding.words import choose_words
from asrlib.errors import InputError
from asrlib.metrics import ErrorRate, char_error_rate, phone_error_rate, word_error_rate
from asrlib.recognizer import Hypothesis, Recognizer
from asrlib.text.labels import normalize_text
from asrlib.text.lexicon import Lexicon
from asrlib.text.tokenizers import PhoneTokenizer, Tokenizer

if TYPE_CHECKING:
    from lhotse import CutSet
    from lhotse.cut import Cut


class Evaluation(NamedTuple):
    """Word and character error rates, and a row (id, reference, hypothesis) per utterance."""

    words: ErrorRate
    characters: ErrorRate
    rows: list[tuple[str, str, Hypothesis]]


def evaluate(recognizer: Recognizer, cuts: CutSet) -> Evaluation:
    """Transcribe ``cuts`` and score the hypotheses; rows are in the order of ``cuts``.

    References have the form of ``Recognizer.reference``. Raises ``InputError`` as ``check_references`` does.
    """
    check_references(recognizer.tokenizer, cuts)
    found = {name: each for part in shar.parts(cuts) for name, each in recognizer.transcribe_cuts(part)}
    rows = [
        (cut.id, recognizer.reference(cut.supervisions[0].text), found[cut.id])
        for cut in shar.without_audio(cuts)
    ]
    references, hypotheses = [row[1] for row in rows], [row[2].text for row in rows]
    return Evaluation(word_error_rate(references, hypotheses), char_error_rate(references, hypotheses), rows)


def check_references(tokenizer: Tokenizer, cuts: CutSet) -> None:
    """Raise ``InputError`` if no transcript has words, or two utterances have the same id.

    A recording whose transcript is empty is scored, too: each word recognized there is an insertion.
    """
    ids = set()
    text, words = None, False
    for cut in shar.without_audio(cuts):
        text = cut.supervisions[0].text if cut.supervisions else None
        if text is None:
            raise InputError(f"utterance {cut.id}: it has no transcript; give it one to score against")
        try:
            words = bool(tokenizer.prepare(text)) or words
        except InputError as error:
            raise InputError(f"utterance {cut.id}: {error}") from None
        if cut.id in ids:
            raise InputError(f"two utterances have the id {cut.id}: give each its own (cut.with_id)")
        ids.add(cut.id)
    if not words:
        named = f"the transcripts, such as {text!r}, have" if ids else "there are no utterances, so there are"
        raise InputError(f"{named} no words to score against")


class WordRow(NamedTuple):
    """The scores of the utterances of one word.

    ``wrong`` is the number recognized as another word. ``phones`` compares the recognized phones with the
    word's usual pronunciation; it is None for a model without phones.
    """

    word: str
    utterances: int
    wrong: int
    phones: ErrorRate | None

    @property
    def word_error(self) -> float:
        """The share of utterances recognized as another word, in percent."""
        return 100.0 * self.wrong / self.utterances


class WordTable(NamedTuple):
    """The scores of isolated words, word by word. All rates are in percent. Lesson 14.

    A macro-average is the mean of the words' rates and weights words equally. A pooled rate weights
    utterances, or phones, equally.
    """

    rows: list[WordRow]
    confusions: Counter[tuple[str, str]]

    def select(self, words: Iterable[str]) -> WordTable:
        """Return the part of the table for these words."""
        words = set(words)
        kept = Counter({pair: n for pair, n in self.confusions.items() if pair[0] in words})
        return WordTable([row for row in self.rows if row.word in words], kept)

    @property
    def macro_word_error(self) -> float:
        """The mean of the words' error rates."""
        return sum(row.word_error for row in self.rows) / len(self.rows)

    @property
    def pooled_word_error(self) -> float:
        """The error rate over all utterances."""
        return 100.0 * sum(row.wrong for row in self.rows) / sum(row.utterances for row in self.rows)

    @property
    def macro_phone_error(self) -> float | None:
        """The mean of the words' phone error rates; None for a model without phones."""
        rates = [row.phones.rate for row in self.rows if row.phones is not None]
        return sum(rates) / len(rates) if rates else None

    @property
    def pooled_phone_error(self) -> float | None:
        """The phone error rate over all phones; None for a model without phones."""
        rates = [row.phones for row in self.rows if row.phones is not None]
        errors = sum(rate.substitutions + rate.deletions + rate.insertions for rate in rates)
        return 100.0 * errors / sum(rate.length for rate in rates) if rates else None


def evaluate_words(recognizer: Recognizer, cuts: CutSet, lexicon: Lexicon | None = None) -> WordTable:
    """Score utterances of one word each: the word chosen from ``lexicon``, and the recognized phones.

    ``lexicon`` None is the recognizer's closed list, ``decoding.words``. A model without phones is scored on
    its transcripts. Raises ``InputError`` if there are no utterances.
    """
    heard: dict[str, list[str]] = {}
    phones: dict[str, list[str]] = {}
    confusions: Counter[tuple[str, str]] = Counter()
    by_phones = isinstance(recognizer.tokenizer, PhoneTokenizer)
    if by_phones and lexicon is None:
        lexicon = recognizer.word_list()
    for batch in _batches(cuts):
        utterances = [(torch.from_numpy(cut_audio(cut)), cut.sampling_rate) for cut in batch]
        texts = [normalize_text(cut.supervisions[0].text) for cut in batch]
        if by_phones:
            log_probs, lengths = recognizer.ctc_log_probs(utterances)
            chosen = [c.word for c in choose_words(log_probs, lengths, recognizer.tokenizer, lexicon)]
            greedy = [recognizer.hypothesis(result).text for result in greedy_ctc(log_probs, lengths)]
            for text, found in zip(texts, greedy, strict=True):
                phones.setdefault(text, []).append(found)
        else:
            chosen = [hypothesis.text for hypothesis in recognizer.transcribe_batch(utterances)]
        for text, word in zip(texts, chosen, strict=True):
            heard.setdefault(text, []).append(word)
            if word != text:
                confusions[text, word] += 1
    if not heard:
        raise InputError("there is no utterance to score")
    rows = []
    for text in sorted(heard):
        wrong = sum(word != text for word in heard[text])
        rate = None
        if by_phones:
            usual = recognizer.tokenizer.prepare(text)
            rate = phone_error_rate([usual] * len(phones[text]), phones[text])
        rows.append(WordRow(text, len(heard[text]), wrong, rate))
    return WordTable(rows, confusions)


def _batches(cuts: Iterable[Cut], size: int = 100) -> Iterator[list[Cut]]:
    """Yield batches of ``size`` cuts of similar length."""
    ordered = sorted(cuts, key=lambda cut: cut.duration)
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]
