"""Pieces in lists: the longest match, what is unknown, and the way back."""

import pytest

from asrlib.errors import InputError
from asrlib.text.listed_pieces import SubwordList, TokenList
from asrlib.text.tokenizer_files import load_tokenizer, read_tokenizer

TOKENS = ["<pad>", "<unk>", "'", "a", "the", "ten", "##t", "##n", "##ta", "##tive", "te"]
SUBWORDS = ["the_", "te", "ten_", "nt_", "n", "a_"]


@pytest.fixture
def tokens(tmp_path):
    (tmp_path / "x.tokens").write_text("\n".join(TOKENS) + "\n")
    return read_tokenizer("wordpieces", tmp_path / "x.tokens")


@pytest.fixture
def subwords(tmp_path):
    lines = ["### SubwordTextEncoder", "### Metadata: {}", *(f"'{piece}'" for piece in SUBWORDS)]
    (tmp_path / "x.subwords").write_text("\n".join(lines) + "\n")
    return read_tokenizer("wordpieces", tmp_path / "x.subwords")


def test_a_pieces_number_is_its_line(tokens):
    assert tokens.vocabulary == len(TOKENS) and tokens.labels == TOKENS[1:]
    assert tokens.encode("the ten") == [TOKENS.index("the"), TOKENS.index("ten")]


@pytest.mark.parametrize(
    "text, pieces",
    [
        ("tentative", ["ten", "##ta", "##tive"]),  # not te ##n ##ta, nor ten ##t
        ("tent", ["ten", "##t"]),
        ("te the", ["te", "the"]),
        ("ten xyz a", ["ten", "<unk>", "a"]),
        ("tenx", ["<unk>"]),  # the whole word, although it begins with a piece
        ("t", ["<unk>"]),  # ##t does not begin a word
        ("a" * 101, ["<unk>"]),
        ("", []),
    ],
)
def test_the_longest_piece_that_matches_is_taken(tokens, text, pieces):
    assert tokens.split(text) == pieces
    assert tokens.encode(text) == [TOKENS.index(piece) for piece in pieces]


def test_text_comes_back_without_what_is_unknown(tokens):
    assert tokens.decode(tokens.encode("Tentative tent, the xyz ten")) == "tentative tent the ten"
    numbers = [TOKENS.index(piece) for piece in ("##t", "ten", "##n", "<unk>", "##t", "a")]
    assert tokens.decode([0, *numbers, 0]) == "t tennt a"
    assert tokens.word_starts(numbers) == [0, 1, 5]


def test_a_space_that_is_a_piece_stands_between_words():
    tokenizer = TokenList(["a", " ", "the", "##n"])
    assert tokenizer.split("a the") == ["a", " ", "the"]
    numbers = tokenizer.encode("a then a")
    assert tokenizer.decode(numbers) == "a then a" and tokenizer.word_starts(numbers) == [0, 2, 5]


def test_without_an_unknown_label_an_unknown_word_is_an_error():
    with pytest.raises(InputError, match="'xa' together from its pieces, and has no <unk>"):
        TokenList(["a", "##a"]).encode("a xa")


@pytest.mark.parametrize(
    "text, pieces",
    [
        ("the tent", ["the_", "te", "n", "<0x74>"]),  # nt_ needs a word after it
        ("tent a", ["te", "nt_", "<0x61>"]),  # a_ as well
        ("ten the", ["ten_", "<0x74>", "<0x68>", "<0x65>"]),
        ("é n", ["<0xc3>", "<0xa9>", "<0x20>", "n"]),
        ("n't a", ["n", "<0x27>", "<0x74>", "<0x20>", "<0x61>"]),
    ],
)
def test_subwords_end_with_the_space_after_a_word(subwords, text, pieces):
    assert subwords.split(text) == pieces
    numbers = subwords.encode(text)
    assert subwords.decode([0, *numbers]) == text
    words = [subwords.decode(numbers[start:]).split()[0] for start in subwords.word_starts(numbers)]
    assert words == text.split()


def test_subwords_are_numbered_from_1_and_followed_by_bytes(subwords):
    assert subwords.vocabulary == 1 + len(SUBWORDS) + 256
    assert subwords.encode("ten é") == [3, 7 + 0xC3, 7 + 0xA9]
    assert subwords.decode([7 + 0xC3]) == ""  # half a character


@pytest.mark.parametrize("name", ["tokens", "subwords"])
def test_lists_come_back_from_a_model_directory(name, tmp_path, request):
    tokenizer = request.getfixturevalue(name)
    tokenizer.save(tmp_path)
    again = load_tokenizer(tmp_path)
    assert type(again) is type(tokenizer) and again.labels == tokenizer.labels
    assert again.encode("the ten") == tokenizer.encode("the ten")


@pytest.mark.parametrize(
    "name, text", [("x.tokens", "<pad>\n"), ("x.subwords", "the_\n"), ("x.subwords", "")]
)
def test_files_without_pieces_are_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=r"x\.\w+ is not a list of wordpieces: (it has no pieces|a line is)"):
        read_tokenizer("wordpieces", tmp_path / name)


def test_every_byte_is_a_label():
    assert len(set(SubwordList(["a"]).labels)) == 257
