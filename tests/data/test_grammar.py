"""asrlib.data.grammar: texts of the synthetic corpora."""

import random

from asrlib.data.grammar import COMMANDS, DIGITS, command_text, digit_text, sentence_text


def test_the_grammar_has_some_hundred_words_and_every_slot_exists():
    draw = random.Random(0)
    words = {word for _ in range(3000) for word in sentence_text(draw).split()}
    assert 400 < len(words) < 600 and all(word.isalpha() and word.islower() for word in words)
    assert len(COMMANDS) == 35


def test_a_digit_text_has_one_to_seven_digits_and_repeats_some():
    draw = random.Random(0)
    texts = [digit_text(draw).replace(",", "").split() for _ in range(2000)]
    assert {len(words) for words in texts} == set(range(1, 8))
    assert {word for words in texts for word in words} == set(DIGITS)
    pairs = [a == b for words in texts for a, b in zip(words, words[1:], strict=False)]
    assert 0.16 < sum(pairs) / len(pairs) < 0.24  # 0.1 by chance


def test_every_command_word_is_drawn():
    draw = random.Random(0)
    assert {command_text(draw) for _ in range(1000)} == set(COMMANDS)
