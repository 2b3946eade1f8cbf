"""The word of a closed list: scores are sums over paths and pronunciations, and they choose the word."""

import itertools

import pytest
import spoken
import torch

from asrlib.decoding import words as module
from asrlib.decoding.words import choose_words, pronunciation_scores, search_words, word_scores
from asrlib.errors import InputError
from asrlib.text.lexicon import Lexicon
from asrlib.text.tokenizers import PhoneTokenizer, Tokenizer

TOKENIZER = PhoneTokenizer(
    ["a", "b", "c"], Lexicon({"ab": [["a", "b"]], "c": [["c"], ["c", "b"]], "aa": [["a", "a"]]})
)


def random_log_probs(batch=3, frames=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(batch, frames, 4, generator=generator)).log_softmax(-1)


def collapsed(path):
    return tuple(label for label, _ in itertools.groupby(path) if label)


def test_scores_are_sums_over_all_paths():
    log_probs, lengths = random_log_probs(), torch.tensor([4, 3, 2])
    scores = pronunciation_scores(log_probs, lengths, TOKENIZER, TOKENIZER.lexicon)
    for row, length in enumerate(lengths.tolist()):
        for column, (_, phones) in enumerate(TOKENIZER.lexicon.flat()):
            paths = itertools.product(range(4), repeat=length)
            wanted = tuple(TOKENIZER.numbers(phones))
            total = sum(
                float(log_probs[row, range(length), path].sum().exp())
                for path in map(list, paths)
                if collapsed(path) == wanted
            )
            assert float(scores[row, column].exp()) == pytest.approx(total, rel=1e-5, abs=1e-9)


def test_a_words_score_is_the_sum_of_its_pronunciations():
    log_probs, lengths = random_log_probs(), torch.tensor([4, 4, 4])
    ways = pronunciation_scores(log_probs, lengths, TOKENIZER, TOKENIZER.lexicon).exp()
    expected = torch.stack([ways[:, 0], ways[:, 1] + ways[:, 2], ways[:, 3]], dim=1)
    assert torch.allclose(word_scores(log_probs, lengths, TOKENIZER).exp(), expected)
    shorter = word_scores(log_probs, lengths, TOKENIZER, TOKENIZER.lexicon.select(["aa", "c"]))
    assert torch.allclose(shorter.exp(), expected[:, [2, 1]])


def test_memory_does_not_decide(monkeypatch):
    log_probs, lengths = random_log_probs(7), torch.full((7,), 4)
    whole = word_scores(log_probs, lengths, TOKENIZER)
    monkeypatch.setattr(module, "LATTICES", 8)
    assert torch.allclose(word_scores(log_probs, lengths, TOKENIZER), whole)


def test_the_choice():
    log_probs, lengths = random_log_probs(20, seed=1), torch.full((20,), 4)
    scores = word_scores(log_probs, lengths, TOKENIZER)
    for row, choice in enumerate(choose_words(log_probs, lengths, TOKENIZER)):
        assert choice.word == TOKENIZER.lexicon.words[int(scores[row].argmax())]
        assert choice.score == pytest.approx(float(scores[row].max()))
        assert choice.share == pytest.approx(float(scores[row].softmax(0).max()))
        assert choice.phones in TOKENIZER.lexicon.pronunciations(choice.word)
    # of two ways to say "c", the one that was heard
    heard = torch.tensor([[3, 3, 0, 2]])
    sure = (8.0 * torch.nn.functional.one_hot(heard, 4)).log_softmax(-1)
    assert choose_words(sure, torch.tensor([4]), TOKENIZER)[0].phones == ("c", "b")


def test_the_phones_of_the_word_have_times():
    heard = torch.tensor([[0, 1, 1, 0, 2, 2]])
    sure = (8.0 * torch.nn.functional.one_hot(heard, 4)).log_softmax(-1)
    (result,) = search_words(sure, torch.tensor([6]), TOKENIZER)
    assert result.text == "ab" and result.labels == [1, 2] and result.frames == [1, 4]
    assert all(-0.01 < score < 0 for score in result.log_probs)


def test_too_short_for_any_word():
    tokenizer = PhoneTokenizer(["a", "b", "c"], Lexicon({"abc": [["a", "b", "c"]]}))
    (result,) = search_words(random_log_probs(1), torch.tensor([2]), tokenizer)
    assert result.text == "abc" and result.labels == [] and result.score == -float("inf")


# ---- through a recognizer ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "phones, word",
    [
        ("- G G - OW -", "go"),
        ("- N OW OW", "no"),
        ("AA - N - -", "on"),
        ("- OW N - -", "on"),
        ("- S OW -", "oh"),
    ],
)
def test_a_recognizer_writes_words(phones, word):
    recognizer = spoken.recognizer()
    hypothesis = recognizer.transcribe(spoken.samples(phones).numpy(), 4000)
    assert hypothesis.text == word
    assert " ".join(hypothesis.tokens) in {" ".join(p) for p in spoken.LEXICON.pronunciations(word)}
    assert hypothesis.words == [(word, hypothesis.times[0])]
    assert recognizer.reference("On, GO!") == "on go"
    recognizer.config.decoding.words = None
    hypothesis = recognizer.transcribe(spoken.samples(phones).numpy(), 4000)
    assert hypothesis.text.split() == [p for p, _ in itertools.groupby(phones.split()) if p != "-"]
    assert recognizer.reference("On, GO!") == "AA N G OW"


def test_silence_is_a_word_of_the_list_and_no_phones():
    recognizer = spoken.recognizer()
    assert recognizer.transcribe(spoken.samples("- - - -").numpy(), 4000).text in spoken.LEXICON
    recognizer.config.decoding.words = None
    hypothesis = recognizer.transcribe(spoken.samples("- - - -").numpy(), 4000)
    assert hypothesis.text == "" and hypothesis.tokens == hypothesis.words == []


def test_the_list_can_be_changed():
    recognizer = spoken.recognizer()
    recognizer.config.decoding.words = ["oh", "on"]
    assert recognizer.transcribe(spoken.samples("- G OW -").numpy(), 4000).text == "oh"
    recognizer.config.decoding.words = ["oh", "stop"]
    with pytest.raises(InputError, match="'stop'"):
        recognizer.transcribe(spoken.samples("- G OW -").numpy(), 4000)
    recognizer.config.decoding.words = None
    with pytest.raises(InputError, match="list the words"):
        recognizer.word_list()
    recognizer.config.decoding.words = ["oh"]
    recognizer.tokenizer = Tokenizer("phones", spoken.PHONES)
    with pytest.raises(InputError, match="decoding.words needs a tokenizer of phones with a lexicon"):
        recognizer.transcribe(spoken.samples("- G OW -").numpy(), 4000)


def test_log_probabilities_and_streams():
    recognizer = spoken.recognizer()
    log_probs, lengths = recognizer.ctc_log_probs(
        [(spoken.samples("- G OW"), 4000), (spoken.samples("OW"), 4000)]
    )
    assert log_probs.shape == (2, 3, 8) and lengths.tolist() == [3, 1]
    assert log_probs.argmax(-1)[0].tolist() == [0, 3, 5]
    assert any("decoding.words" in why for why in recognizer.streaming_obstacles())
