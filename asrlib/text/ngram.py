"""n-gram language models over a tokenizer's labels: the probability of a text, label by label.

The model counts labels, not words. A search can therefore use it at every label it emits, with any tokenizer.
``train_ngram`` smooths by interpolation after Witten and Bell (1991; Chen & Goodman 1998, section 2.5). After
the history h,

    P(w | h) = (c(h w) + N(h) · P(w | h')) / (c(h) + N(h))

where c counts occurrences, N(h) is the number of different labels seen after h, and h' is h without its first
label. Below the unigrams, all labels and the end of the text are equally probable. The probabilities after
every history sum to one, and no label has probability zero. Rare n-grams can be left out: the probability of
what is left out after h goes to P(w | h'), by a larger back-off weight.

``NGram.arpa`` writes and ``load_arpa`` reads the ARPA format. A model from another program must have been
trained on texts split into the same labels. Lesson 11.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from asrlib.errors import InputError
from asrlib.reading import read_text, shown

END = 0  # the end of a text; this is blank's number, which no text contains
START = -1
UNKNOWN = -2
SPACE = "<space>"  # stands for the label " " in ARPA files, whose fields are separated by spaces
ABSENT = -99.0  # log10 probability of a label that the model does not list
LN10 = math.log(10)
ROUNDING = 1e-5  # by which a log-probability of 0 may be rounded up

State = tuple[int, ...]


@runtime_checkable
class LanguageModel(Protocol):
    """What a search asks of a language model; a state stands for the labels so far, and can be hashed."""

    def start(self) -> Any:
        """Return the state at the start of a text."""

    def advance(self, state: Any, label: int) -> Any:
        """Return the state after one more label."""

    def scores(self, state: Any) -> Float[Tensor, "V"]:
        """Return ln P of every label after ``state``; index 0 holds that of the end of the text."""


class NGram(LanguageModel):
    """An n-gram model: natural log-probabilities and back-off weights of label sequences.

    ``table[history]`` holds the log-probabilities of the labels seen after that history. The log-probability
    of any other label is ``backoff[history]`` plus its log-probability after the history without its first
    label. Labels are the tokenizer's numbers; ``END`` is the end of the text.
    """

    def __init__(
        self, labels: Sequence[str], table: dict[State, dict[int, float]], backoff: dict[State, float]
    ):
        self.labels, self.table, self.backoff = list(labels), table, backoff
        self.order = 1 + max(map(len, table))
        # a label that the model does not list counts as unknown, also in a history
        self._unknown = self.labels.index("<unk>") + 1 if "<unk>" in self.labels else UNKNOWN
        self._absent = [n for n in range(1, len(self.labels) + 1) if n not in table[()]]
        self._scores: dict[State, Tensor] = {}

    def start(self) -> State:
        """Return the history at the start of a text."""
        return self._known((START,))

    def advance(self, state: State, label: int) -> State:
        """Return the history after one more label: its longest suffix that the model has."""
        return self._known((*state, label if label in self.table[()] else self._unknown))

    def scores(self, state: State) -> Float[Tensor, "V"]:
        """Return ln P of every label after ``state``. Index 0 holds that of the end of the text."""
        if state not in self._scores:
            if state:
                scores = self.scores(self._known(state[1:])) + self.backoff.get(state, 0.0)
            else:
                scores = torch.full((len(self.labels) + 1,), ABSENT * LN10)
            row = self.table.get(state, {})
            if self._unknown in row:
                scores[self._absent] = row[self._unknown]
            seen = {label: score for label, score in row.items() if label >= 0}
            scores[list(seen)] = torch.tensor(list(seen.values()))
            self._scores[state] = scores
        return self._scores[state]

    def log_prob(self, labels: Iterable[int]) -> float:
        """Return ln P of a whole text, including its end."""
        total, state = 0.0, self.start()
        for label in labels:
            total += float(self.scores(state)[label])
            state = self.advance(state, label)
        return total + float(self.scores(state)[END])

    def perplexity(self, texts: Iterable[Sequence[int]]) -> float:
        """Return the perplexity: exp of the mean of -ln P over all labels and ends of the texts.

        Raises ``InputError`` if there is no text.
        """
        texts = list(texts)
        if not texts:
            raise InputError("there is no text to measure perplexity on: give at least one text")
        return math.exp(-sum(map(self.log_prob, texts)) / sum(len(text) + 1 for text in texts))

    def arpa(self) -> str:
        """Return the model as the text of an ARPA file, which ``load_arpa`` reads."""
        names = {START: "<s>", END: "</s>", UNKNOWN: "<unk>"}
        names |= {number: label.replace(" ", SPACE) for number, label in enumerate(self.labels, start=1)}
        sections: list[list[str]] = [[] for _ in range(self.order)]
        grams = {
            (*history, label): score for history, row in self.table.items() for label, score in row.items()
        }
        for gram, score in {(START,): ABSENT * LN10, **grams}.items():
            weight = f"\t{self.backoff[gram] / LN10:.5f}" if gram in self.backoff else ""
            words = " ".join(names[label] for label in gram)
            sections[len(gram) - 1].append(f"{score / LN10:.5f}\t{words}{weight}")
        lines = ["\\data\\", *(f"ngram {n}={len(rows)}" for n, rows in enumerate(sections, start=1))]
        for n, rows in enumerate(sections, start=1):
            lines += ["", f"\\{n}-grams:", *rows]
        return "\n".join([*lines, "", "\\end\\", ""])

    def _known(self, history: State) -> State:
        history = history[max(0, len(history) - self.order + 1) :]
        while history and history not in self.table:
            history = history[1:]
        return history


def train_ngram(
    texts: Iterable[Sequence[int]], labels: Sequence[str], order: int = 3, min_count: int = 1
) -> NGram:
    """Train an n-gram model on texts, given as label numbers (``Tokenizer.encode``). Lesson 11.

    ``labels`` are the tokenizer's. ``order`` is n: a label depends on the ``order - 1`` labels before it.
    n-grams of two and more labels that occur less than ``min_count`` times are left out, which keeps the
    model small; the others keep their probabilities. Raises ``InputError`` if there is no text, or if
    ``order`` or ``min_count`` is below 1.
    """
    for value, name in ((order, "order"), (min_count, "lowest count")):
        if value < 1:
            raise InputError(f"the {name} of a language model is {value}; it must be at least 1")
    marked = [(START, *text, END) for text in texts]
    if not marked:
        raise InputError("there is no text to train a language model on")
    uniform = 1 / (len(labels) + 1)
    probability: dict[State, dict[int, float]] = {}
    backoff = {}
    grams: set[State] = {()}
    for length in range(order):
        stayed: set[State] = {(START,)} if not length else set()
        for history, seen in _followers(marked, length, grams).items():
            total, different = sum(seen.values()), len(seen)
            kept = (
                [n for n, times in seen.items() if times >= min_count] if history else range(len(labels) + 1)
            )
            if not kept:
                continue
            shorter = probability[history[1:]] if history else {}
            probability[history] = row = {
                label: (seen[label] + different * shorter.get(label, uniform)) / (total + different)
                for label in kept
            }
            stayed.update((*history, label) for label in row)
            if left_out := total - sum(seen[label] for label in kept):
                left_out /= 1 - sum(shorter[label] for label in kept)
            backoff[history] = math.log((different + left_out) / (total + different))
        if not stayed:
            break
        grams = stayed
    table = {h: {label: math.log(p) for label, p in row.items()} for h, row in probability.items()}
    return NGram(labels, table, {history: weight for history, weight in backoff.items() if history})


def _followers(texts: Iterable[State], length: int, grams: set[State]) -> dict[State, Counter[int]]:
    """Count what follows each history of this length; ``grams`` are the histories that matter."""
    counts: dict[State, Counter[int]] = defaultdict(Counter)
    for text in texts:
        for end in range(max(1, length), len(text)):
            history = text[end - length : end]
            if history in grams:
                counts[history][text[end]] += 1
    return counts


def load_arpa(path: str | Path, labels: Sequence[str]) -> NGram:
    """Read a language model from an ARPA file, for a tokenizer with these labels.

    The file writes a label that is a space as ``<space>``. A label without a unigram is ``<unk>``, also in
    the history of another label; its probability is 10^-99 if the file does not list ``<unk>``. Raises
    ``InputError``, naming the file and line, if the file is not ARPA, lists an n-gram twice or not as many as
    it announces, has a probability above 1 or a number that is not finite, or contains labels that the
    tokenizer does not have.
    """
    numbers = {"<unk>": UNKNOWN} | {label.replace(" ", SPACE): n for n, label in enumerate(labels, start=1)}
    numbers |= {"<s>": START, "</s>": END}
    table: dict[State, dict[int, float]] = defaultdict(dict)
    backoff: dict[State, float] = {}
    announced: dict[int, int] = {}
    read: Counter[int] = Counter()
    order, ended = 0, False
    for number, line in enumerate(_lines(path), start=1):
        where = f"{path}, line {number}"
        if line == "\\end\\":
            ended = True
            break
        if found := re.fullmatch(r"\\(\d{1,3})-grams:", line):
            if int(found[1]) != order + 1:
                raise InputError(f"{where}: found \\{int(found[1])}-grams: after those of order {order}")
            order += 1
            continue
        if not order:
            if found := re.fullmatch(r"ngram +(\d{1,3}) *= *(\d{1,12})", line):
                announced[int(found[1])] = int(found[2])
            continue
        if not line:
            continue
        words, score, weight = _entry(line, order, where)
        unknown = [word for word in words if word not in numbers]
        if unknown:
            raise InputError(
                f"{where}: the tokenizer has no label {shown(unknown[0])}: train the language model on the"
                " tokenizer's labels, as `asrlib lm` does"
            )
        gram = tuple(numbers[word] for word in words)
        if gram[-1] in table[gram[:-1]]:
            raise InputError(f"{where}: the n-gram {shown(' '.join(words))} is there twice: write it again")
        table[gram[:-1]][gram[-1]] = score
        read[order] += 1
        if weight:
            backoff[gram] = weight
            table[gram]  # creates the entry: a history with a weight is one even if nothing follows it
    if not ended or not table.get(()):
        raise InputError(f"{path} is not a complete ARPA file: \\1-grams: or \\end\\ is missing")
    for n in sorted({*announced, *read}):
        if announced.get(n) != read[n]:
            wanted = f"{announced[n]:,}" if n in announced else "none"
            raise InputError(f"{path}: it announces {wanted} {n}-grams and has {read[n]:,}: copy it again")
    return NGram(labels, dict(table), backoff)


def _entry(line: str, order: int, where: str) -> tuple[list[str], float, float]:
    """Return the words of a line of an ARPA file, its natural log-probability and its back-off weight."""
    score, *words = re.split(r"[ \t]+", line)
    weight = words.pop() if len(words) == order + 1 else "0"
    if len(words) != order:
        raise InputError(f"{where}: expected a log-probability and {order} labels, found {line[:80]!r}")
    numbers = []
    for text in (score, weight):
        try:
            numbers.append(float(text))
        except ValueError:
            numbers.append(math.nan)
    if not all(map(math.isfinite, numbers)):
        raise InputError(
            f"{where}: {line[:80]!r}: the log-probability and the back-off weight must be finite numbers"
        )
    if numbers[0] > ROUNDING:
        raise InputError(f"{where}: {line[:80]!r}: the log-probability must not be above 0")
    return words, min(numbers[0], 0.0) * LN10, numbers[1] * LN10


def _lines(path: str | Path) -> list[str]:
    text = read_text(path, "cannot be read: there is no such language model file")
    return [line.strip(" \t\r") for line in text.split("\n")]
