"""Error rates by hand."""

import pytest

from asrlib.errors import InputError
from asrlib.metrics import ErrorRate, char_error_rate, phone_error_rate, word_error_rate


def counts(result):
    return result.substitutions, result.deletions, result.insertions, result.length


@pytest.mark.parametrize(
    "reference, hypothesis, expected",
    [
        ("one two three", "one two three", (0, 0, 0, 3)),
        ("one two three", "one five three", (1, 0, 0, 3)),
        ("one two three", "one three", (0, 1, 0, 3)),
        ("one two three", "one two two three", (0, 0, 1, 3)),
        ("one two three", "", (0, 3, 0, 3)),
        ("one", "two one two", (0, 0, 2, 1)),
        ("the cat sat on the mat", "a cat sat the mat now", (1, 1, 1, 6)),
    ],
)
def test_word_errors_by_hand(reference, hypothesis, expected):
    result = word_error_rate([reference], [hypothesis])
    assert counts(result) == expected
    assert result.rate == pytest.approx(100 * sum(expected[:3]) / expected[3])


def test_character_errors_by_hand():
    assert counts(char_error_rate(["kitten"], ["sitting"])) == (2, 0, 1, 6)
    assert counts(char_error_rate(["a b"], ["ab"])) == (0, 1, 0, 3)  # the space counts
    assert char_error_rate(["kitten"], ["sitting"]).rate == 50.0


def test_phones_are_words():
    assert counts(phone_error_rate(["dZ uː p"], ["dZ u p p"])) == (1, 0, 1, 3)


def test_a_corpus_rate_is_not_the_mean_of_its_utterances():
    references, hypotheses = ["one two three four", "five"], ["one two three four", "six seven"]
    result = word_error_rate(references, hypotheses)
    assert counts(result) == (1, 0, 1, 5)
    assert result.rate == 40.0


def test_a_rate_is_in_per_cent_and_may_pass_100():
    assert word_error_rate(["one"], ["two three"]).rate == 200.0
    text = str(ErrorRate(3, 2, 1, 80))
    assert text == "7.50 % (3 substitutions, 2 deletions, 1 insertions in 80)"


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InputError, match="2 references and 1 hypotheses: give one hypothesis per reference"):
        word_error_rate(["one", "two"], ["one"])
    for references in ([], [""], ["", "  "]):
        for rate in (word_error_rate, char_error_rate, phone_error_rate):
            with pytest.raises(InputError, match="all reference transcripts are empty"):
                rate(references, references)
