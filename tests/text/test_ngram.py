"""n-gram models: probabilities by hand, sums over all labels, and the ARPA format there and back."""

import itertools
import math
from collections import Counter

import pytest

from asrlib.errors import InputError
from asrlib.text.ngram import END, START, load_arpa, train_ngram
from asrlib.text.tokenizers import Tokenizer, train_tokenizer

A, B, C = 1, 2, 3
LABELS = ["a", "b", "c"]
TEXTS = [[A, B], [A, C, B], [A], [B, B, A, C]]


def histories(model):
    """Every state that a text of at most four labels can lead to."""
    states = {model.start()}
    for text in itertools.product([A, B, C], repeat=4):
        state = model.start()
        for label in text:
            state = model.advance(state, label)
            states.add(state)
    return states


def probability(model, label, *history):
    return math.exp(float(model.scores(history)[label]))


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_after_every_history_the_probabilities_sum_to_one(order):
    model = train_ngram(TEXTS, LABELS, order)
    states = histories(model)
    assert model.order == order and max(map(len, states)) == order - 1
    for state in states:
        scores = model.scores(state)
        assert scores.shape == (4,)
        assert float(scores.exp().sum()) == pytest.approx(1, abs=1e-5)
        assert float(scores.exp().min()) > 0


def test_a_bigram_by_hand():
    """Two texts, "a b" and "a". Labels and ends seen: a 2, b 1, end 2; after the start a 2; after a
    b 1, end 1; after b end 1. All of the four outcomes are equally probable below the unigrams."""
    model = train_ngram([[A, B], [A]], LABELS, order=2)
    a, b, c, end = (2 + 3 / 4) / 8, (1 + 3 / 4) / 8, (0 + 3 / 4) / 8, (2 + 3 / 4) / 8
    assert [probability(model, w) for w in (A, B, C, END)] == pytest.approx([a, b, c, end])
    assert probability(model, A, *model.start()) == pytest.approx((2 + 1 * a) / 3)
    assert probability(model, B, *model.start()) == pytest.approx((0 + 1 * b) / 3)
    assert probability(model, B, A) == pytest.approx((1 + 2 * b) / 4)
    assert probability(model, END, A) == pytest.approx((1 + 2 * end) / 4)
    assert probability(model, C, A) == pytest.approx((0 + 2 * c) / 4)
    assert probability(model, END, B) == pytest.approx((1 + 1 * end) / 2)
    assert model.advance(model.start(), C) == ()  # never seen: nothing is known about what follows
    text = math.log((2 + a) / 3) + math.log((1 + 2 * b) / 4) + math.log((1 + end) / 2)
    assert model.log_prob([A, B]) == pytest.approx(text)
    assert model.perplexity([[A, B]]) == pytest.approx(math.exp(-text / 3))


def test_a_longer_history_makes_regular_texts_predictable():
    texts = 20 * [[A, B, C, A, B, C], [B, C, A, B, C, A]]
    perplexities = [train_ngram(texts, LABELS, order).perplexity(texts) for order in (1, 2, 3)]
    assert perplexities[0] > 3.5 and perplexities[1] < 1.6 and perplexities[2] < 1.5
    assert train_ngram([[A]], LABELS, 1).perplexity([[B]]) > train_ngram([[A]], LABELS, 1).perplexity([[A]])


@pytest.mark.parametrize("min_count", [2, 3, 100])
def test_without_rare_ngrams_the_others_keep_their_probabilities(min_count, tmp_path):
    texts = 3 * TEXTS + [[A, C, C, B], [C, A, A, B, B]]
    whole, model = train_ngram(texts, LABELS, 4), train_ngram(texts, LABELS, 4, min_count)
    marked = [(START, *text, END) for text in texts]
    counts = Counter(t[i:j] for t in marked for i in range(len(t)) for j in range(i + 1, len(t) + 1))
    stayed = {(*history, label) for history, row in model.table.items() for label in row}
    often = {gram for gram, n in counts.items() if 2 <= len(gram) <= 4 and n >= min_count}
    assert {gram for gram in stayed if len(gram) > 1} == often
    for gram in stayed:
        assert model.table[gram[:-1]][gram[-1]] == pytest.approx(whole.table[gram[:-1]][gram[-1]])
    for history in {state[:n] for state in histories(whole) for n in range(4)}:
        assert float(model.scores(model._known(history)).exp().sum()) == pytest.approx(1, abs=1e-5)
    (tmp_path / "lm.arpa").write_text(model.arpa())
    assert load_arpa(tmp_path / "lm.arpa", LABELS).log_prob([A, B, C]) == pytest.approx(
        model.log_prob([A, B, C]), abs=1e-4
    )


@pytest.mark.parametrize("order", [1, 2, 4])
def test_arpa_there_and_back(order, tmp_path):
    model = train_ngram(TEXTS, LABELS, order)
    (tmp_path / "lm.arpa").write_text(model.arpa())
    again = load_arpa(tmp_path / "lm.arpa", LABELS)
    assert again.order == order
    for text in itertools.product([A, B, C], repeat=5):
        assert again.log_prob(text) == pytest.approx(model.log_prob(text), abs=1e-4)


@pytest.mark.parametrize("kind, vocabulary", [("characters", None), ("words", None), ("wordpieces", 15)])
def test_the_labels_of_every_tokenizer_can_be_written(kind, vocabulary, tmp_path):
    texts = ["one two three", "three two two", "it's one"]
    tokenizer = train_tokenizer(kind, texts, vocabulary)
    numbers = [tokenizer.encode(text) for text in texts]
    (tmp_path / "lm.arpa").write_text(train_ngram(numbers, tokenizer.labels).arpa(), encoding="utf-8")
    model = load_arpa(tmp_path / "lm.arpa", tokenizer.labels)
    assert model.perplexity(numbers) < len(tokenizer.labels) / 2


# written by hand, as other programs lay it out: backed-off weights left out where they are zero
ARPA = """A comment before the data.

\\data\\
ngram 1=5
ngram 2=3

\\1-grams:
-99\t<s>\t-0.30103
-0.60206 </s>
-1\ta\t-0.5
-0.5\tb
-2.0\t<unk>

\\2-grams:
-0.1\t<s> a
-0.2 a b
-0.7\tb </s>

\\end\\
"""


def test_an_arpa_file_by_hand(tmp_path):
    (tmp_path / "lm.arpa").write_text(ARPA)
    model = load_arpa(tmp_path / "lm.arpa", LABELS)
    # <s> a, a b, b </s>
    assert model.log_prob([A, B]) / math.log(10) == pytest.approx(-0.1 - 0.2 - 0.7)
    # <s> backs off to b; b to a, without a weight; a to </s>
    assert model.log_prob([B, A]) / math.log(10) == pytest.approx(
        -0.30103 - 0.5 - 1.0 - 0.5 - 0.60206, abs=1e-5
    )
    # c is unknown: its probability is that of <unk>, and nothing is known after it
    assert model.log_prob([A, C, B]) / math.log(10) == pytest.approx(-0.1 - 0.5 - 2.0 - 0.5 - 0.7)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda text: text.replace("a b", "a d"), "line 16: the tokenizer has no label 'd'.*asrlib lm"),
        (lambda text: text.replace("-0.2 a b", "-0.2 a"), "line 16: expected a log-probability and 2 labels"),
        (lambda text: text.replace("-0.2", "x"), "line 16: 'x a b': the log-probability .* must be finite"),
        (lambda text: text.replace("\\end\\", ""), "not a complete ARPA file"),
        (lambda text: "", "not a complete ARPA file"),
        (lambda text: text.replace("1-grams", "grams"), "line 14: found .2-grams: after those of order 0"),
    ],
)
def test_a_file_that_is_no_language_model(change, message, tmp_path):
    (tmp_path / "lm.arpa").write_text(change(ARPA))
    with pytest.raises(InputError, match=message) as caught:
        load_arpa(tmp_path / "lm.arpa", LABELS)
    assert str(tmp_path / "lm.arpa") in str(caught.value)


def test_other_files_and_no_text_at_all(tmp_path):
    with pytest.raises(InputError, match="there is no such language model file"):
        load_arpa(tmp_path / "lm.arpa", LABELS)
    (tmp_path / "lm.arpa").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a UTF-8"):
        load_arpa(tmp_path / "lm.arpa", LABELS)
    with pytest.raises(InputError, match="no text"):
        train_ngram([], LABELS)
    with pytest.raises(InputError, match="order .* is 0"):
        train_ngram(TEXTS, LABELS, 0)
    with pytest.raises(InputError, match="lowest count .* is 0"):
        train_ngram(TEXTS, LABELS, 2, 0)
    with pytest.raises(InputError, match="at least one text"):
        train_ngram(TEXTS, LABELS).perplexity([])


def test_tokenizer_with_a_piece_for_the_unknown(tmp_path):
    """sentencepiece has a label <unk>; it is that label, and what labels without a unigram get."""
    (tmp_path / "lm.arpa").write_text(ARPA)
    tokenizer = Tokenizer("words", ["<unk>", "a", "b", "z"])
    scores = load_arpa(tmp_path / "lm.arpa", tokenizer.labels).scores(())
    assert float(scores[1]) == float(scores[4]) == pytest.approx(-2 * math.log(10))
