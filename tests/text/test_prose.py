"""Sentences of a plain text file, as a language model reads them."""

import pytest

from asrlib.errors import InputError
from asrlib.text.prose import encode_books, read_sentences, sentences
from asrlib.text.tokenizers import train_tokenizer

BOOK = """The Project Gutenberg eBook of Nothing
Produced by volunteers.
*** START OF THE PROJECT GUTENBERG EBOOK NOTHING ***

CHAPTER I

"Call me Mr. Ishmael," he said.  It was the year 1851; the sea
was _very_ high--higher than Mrs. Pratt's house! Why?

No end
*** END OF THE PROJECT GUTENBERG EBOOK NOTHING ***
Section 1. General terms of use.
"""


def test_a_book_without_its_frame_headings_figures_and_punctuation():
    assert sentences(BOOK) == [
        "chapter i",
        "call me mister ishmael he said",
        "the sea was very high higher than missus pratt's house",
        "no end",
    ]
    assert sentences(BOOK.replace("\n", "\r\n")) == sentences(BOOK)


def test_a_text_without_a_frame_is_read_whole():
    assert sentences("One day. Two days") == ["one day", "two days"]
    assert sentences("") == [] == sentences("Hush! 1234. ...")


def test_a_long_text_comes_to_an_end():
    """A search for the frame's first line once started again at every character, which took hours here."""
    assert len(sentences("*** a line of stars *** and words\n" * 30_000)) == 1
    assert len(sentences("He went. " * 30_000)) == 30_000


def test_sentences_that_the_tokenizer_cannot_write_are_left_out(tmp_path):
    tokenizer = train_tokenizer("characters", ["he went"])
    (tmp_path / "book.txt").write_text("He went. He ran. We went then!")
    assert read_sentences(tmp_path / "book.txt") == ["he went", "he ran", "we went then"]
    assert encode_books(tokenizer, 2 * [tmp_path / "book.txt"]) == 2 * [
        tokenizer.encode("he went"),
        tokenizer.encode("we went then"),
    ]
    with pytest.raises(InputError, match="none.txt cannot be read: there is no such text file"):
        encode_books(tokenizer, [tmp_path / "none.txt"])
