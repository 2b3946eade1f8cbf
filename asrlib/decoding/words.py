"""Choose the most probable word of a closed list from the CTC head's probabilities of phones.

    P(word | audio) = Σ over its pronunciations π of P(π | audio)

P(π | audio) is CTC's sum over all alignments of the phones π (Graves et al. 2006, eq. 3). A word need not
occur in the training data, since its phones are enough. Lesson 14.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from asrlib.decoding.hypothesis import SearchResult
from asrlib.losses.alignment import ctc_align
from asrlib.losses.ctc import ctc_loss
from asrlib.text.labels import BLANK
from asrlib.text.lexicon import Lexicon
from asrlib.text.tokenizers import PhoneTokenizer

# maximum number of lattices (utterances times pronunciations) in memory
LATTICES = 4096


class WordChoice(NamedTuple):
    """The best word of an utterance.

    ``score`` is ln P(word | audio). ``share`` is its fraction of the total probability of all words in the
    list. ``phones`` is the word's most probable pronunciation.
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
    """Return ln P(π | audio) of every pronunciation, in the order of ``lexicon.flat()``.

    ``log_probs`` are natural logs with blank 0; ``lengths`` are in frames. The result is -inf where the
    utterance has fewer frames than the phones need.
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
    """Return ln P(word | audio) of every word of ``lexicon`` (None: the tokenizer's own), in its order.

    ``log_probs`` are natural logs of the CTC head with blank 0; ``lengths`` are in frames.
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
    """Return the best word of ``lexicon`` (None: the tokenizer's own) for each utterance.

    ``log_probs`` are natural logs of the CTC head with blank 0; ``lengths`` are in frames.
    """
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
    """Return the best word of each utterance as a search result: its aligned phones, and the word as text.

    The ``log_probs`` of a result are means over the frames of each phone; ``score`` is ln P(word | audio).
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
    """Return, for each word, the positions of its pronunciations in ``lexicon.flat()``."""
    columns: dict[str, list[int]] = {word: [] for word in lexicon.words}
    for place, (word, _) in enumerate(lexicon.flat()):
        columns[word].append(place)
    return list(columns.values())
