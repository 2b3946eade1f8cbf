"""From phones to words: the word of a closed list that the CTC head finds most probable.

    P(word | sound) = Σ over its pronunciations π of P(π | sound)

where P(π | sound) is CTC's sum over all paths of the phones π (Graves 2006, eq. 3). No word needs to have
been heard in training: its phones are enough. Lesson 14.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from asrlib.decoding.hypothesis import SearchResult
from asrlib.losses.alignment import ctc_align
from asrlib.losses.ctc import ctc_loss
from asrlib.text.lexicon import Lexicon
from asrlib.text.tokenizers import BLANK, PhoneTokenizer

# utterances times pronunciations whose lattices are in memory at once
LATTICES = 4096


class WordChoice(NamedTuple):
    """The best word of an utterance, and how the search came to it.

    ``score``: ln P(word | sound); ``share``: its part of the probability of all words of the list;
    ``phones``: the pronunciation that explains the sound best.
    """

    word: str
    score: float
    share: float
    phones: tuple[str, ...]


def pronunciation_scores(
    log_probs: Float[Tensor, "batch T V"],
    lengths: Int[Tensor, "batch"],
    tokenizer: PhoneTokenizer,
    lexicon: Lexicon,
) -> Float[Tensor, "batch ways"]:
    """Return ln P(π | sound) of every pronunciation, in the order of ``lexicon.flat()``.

    It is -inf where the utterance has fewer frames than the phones need.
    """
    targets = [torch.tensor(tokenizer.numbers(phones)) for _, phones in lexicon.flat()]
    sizes = torch.tensor([len(target) for target in targets])
    padded = torch.nn.utils.rnn.pad_sequence(targets, batch_first=True, padding_value=BLANK)
    ways, step = len(targets), max(1, LATTICES // len(targets))
    scores = []
    for start in range(0, len(log_probs), step):
        part, count = log_probs[start : start + step], lengths[start : start + step]
        losses = ctc_loss(
            part.repeat_interleave(ways, 0).transpose(0, 1),
            padded.repeat(len(part), 1).to(part.device),
            count.repeat_interleave(ways).to(part.device),
            sizes.repeat(len(part)).to(part.device),
            blank=BLANK,
            reduction="none",
        )
        scores.append(-losses.reshape(len(part), ways))
    return torch.cat(scores)


def word_scores(
    log_probs: Float[Tensor, "batch T V"],
    lengths: Int[Tensor, "batch"],
    tokenizer: PhoneTokenizer,
    lexicon: Lexicon | None = None,
) -> Float[Tensor, "batch words"]:
    """Return ln P(word | sound) of every word of ``lexicon`` (the tokenizer's own if None), in its order.

    log_probs: natural logarithms, of the CTC head, blank 0. lengths: in frames.
    """
    lexicon = tokenizer.lexicon if lexicon is None else lexicon
    scores = pronunciation_scores(log_probs, lengths, tokenizer, lexicon)
    return torch.stack([scores[:, columns].logsumexp(1) for columns in _columns(lexicon)], dim=1)


def choose_words(
    log_probs: Float[Tensor, "batch T V"],
    lengths: Int[Tensor, "batch"],
    tokenizer: PhoneTokenizer,
    lexicon: Lexicon | None = None,
) -> list[WordChoice]:
    """Return the best word of ``lexicon`` (the tokenizer's own if None) for each utterance."""
    lexicon = tokenizer.lexicon if lexicon is None else lexicon
    ways, columns = lexicon.flat(), _columns(lexicon)
    by_way = pronunciation_scores(log_probs, lengths, tokenizer, lexicon)
    by_word = torch.stack([by_way[:, column].logsumexp(1) for column in columns], dim=1)
    best = by_word.argmax(1).tolist()
    shares = by_word.softmax(1).nan_to_num()  # all are -inf where an utterance is too short for any word
    return [
        WordChoice(
            lexicon.words[word],
            float(by_word[row, word]),
            float(shares[row, word]),
            ways[columns[word][int(by_way[row, columns[word]].argmax())]][1],
        )
        for row, word in enumerate(best)
    ]


def search_words(
    log_probs: Float[Tensor, "batch T V"],
    lengths: Int[Tensor, "batch"],
    tokenizer: PhoneTokenizer,
    lexicon: Lexicon | None = None,
) -> list[SearchResult]:
    """Return each utterance's best word as a search's result: its phones, aligned, with the word as text.

    ``log_probs`` of the result are means over each phone's frames; ``score`` is ln P(word | sound).
    """
    results = []
    for row, choice in enumerate(choose_words(log_probs, lengths, tokenizer, lexicon)):
        labels = tokenizer.numbers(choice.phones)
        result = SearchResult(score=choice.score, text=choice.word)
        aligned = ctc_align(log_probs[row, : int(lengths[row])], torch.tensor(labels), blank=BLANK)
        starts, scores = aligned.starts.tolist(), aligned.scores.tolist()
        if choice.share > 0:  # else there is no path, and no time
            for label, frame, log_prob in zip(labels, starts, scores, strict=True):
                result.emit(label, frame, log_prob)
        results.append(result)
    return results


def _columns(lexicon: Lexicon) -> list[list[int]]:
    """Return the places of each word's pronunciations in ``lexicon.flat()``."""
    columns: dict[str, list[int]] = {word: [] for word in lexicon.words}
    for place, (word, _) in enumerate(lexicon.flat()):
        columns[word].append(place)
    return list(columns.values())
