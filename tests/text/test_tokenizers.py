"""Tokenizers: round trips, errors that name what is wrong, files that come back or say why not."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrlib.errors import InputError
from asrlib.text.labels import BLANK, normalize_text
from asrlib.text.lexicon import ARPABET, Lexicon
from asrlib.text.tokenizer_files import load_tokenizer, read_tokenizer
from asrlib.text.tokenizers import (
    PhoneTokenizer,
    Tokenizer,
    WordPieceTokenizer,
    train_phones,
    train_tokenizer,
)

TEXTS = [
    "the quick brown fox jumps over the lazy dog",
    "pack my box with five dozen liquor jugs",
    "how vexingly quick daft zebras jump",
    "don't the five boxing wizards jump quickly",
    "the dog and the fox and the zebra jump over the box",
]


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def pieces(request):
    return train_tokenizer("wordpieces", TEXTS, 45, request.param)


# ---- one form of text --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, normal",
    [
        ("HELLO, World!", "hello world"),
        ("  two\t words\n", "two words"),
        ("don't", "don't"),
        ("don’t", "don't"),
        ("'tis the dogs' 'quoted' word", "tis the dogs quoted word"),
        ("rock 'n' roll", "rock n roll"),
        ("ﬁve ２ Ⅳ", "five 2 iv"),
        ("well-known…end", "well known end"),
        ("snake_case", "snake case"),
        ("Äpfel è già", "äpfel è già"),
        ("a\u0308", "ä"),
        ("हिन्दी में।", "हिन्दी में"),
        ("a \u0308b '\u0308c", "a b c"),
        ("", ""),
        ("'' - .", ""),
    ],
)
def test_normalize_text(text, normal):
    assert normalize_text(text) == normal


@settings(max_examples=200, deadline=None, database=None)
@given(st.text(st.characters(codec="latin-1")))
def test_normal_text_holds_words_alone_and_stays_as_it_is(text):
    normal = normalize_text(text)
    assert all(c.isalnum() or c in "' " for c in normal)
    assert normal == " ".join(normal.split()) == normalize_text(normal)


# ---- characters, words, phones -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["characters", "words"])
def test_round_trip(kind):
    tokenizer = train_tokenizer(kind, TEXTS)
    for text in TEXTS:
        numbers = tokenizer.encode(text.upper() + ".")
        assert tokenizer.decode(numbers) == text
        assert BLANK not in numbers and max(numbers) < tokenizer.vocabulary
    labels = {label for text in TEXTS for label in (text if kind == "characters" else text.split())}
    assert tokenizer.labels == sorted(labels)
    assert tokenizer.vocabulary == len(labels) + 1


def test_numbers_start_at_1_and_blank_is_skipped():
    tokenizer = Tokenizer("words", ["one", "two", "three"])
    assert tokenizer.encode("Three one") == [3, 1]
    assert tokenizer.decode([0, 3, 0, 0, 1]) == "three one"
    assert tokenizer.decode([]) == ""


def test_phones_are_kept_as_they_are_written():
    tokenizer = train_tokenizer("phones", ["dZ uː p", "p aɪ"])
    assert tokenizer.encode("p   dZ") == [tokenizer.labels.index("p") + 1, tokenizer.labels.index("dZ") + 1]
    assert tokenizer.decode(tokenizer.encode("dZ uː p")) == "dZ uː p"


def test_without_normalisation_text_keeps_its_case():
    tokenizer = train_tokenizer("characters", ["Ab c!"], normalize=False)
    assert tokenizer.decode(tokenizer.encode("cA  b!")) == "cA b!"
    assert tokenizer.prepare(" A  b ") == "A b"


@pytest.mark.parametrize(
    "kind, text, unknown",
    [
        ("characters", "a what", "character 'w'"),
        ("words", "one four", "word 'four'"),
        ("phones", "a b", "phone 'b'"),
    ],
)
def test_an_unknown_label_is_named(kind, text, unknown):
    labels = {"characters": list("ath "), "words": ["one", "two"], "phones": ["a"]}[kind]
    with pytest.raises(InputError, match=f"does not know the {unknown} of {text!r}"):
        Tokenizer(kind, labels).encode(text)


def test_words_start_after_spaces():
    tokenizer = train_tokenizer("characters", ["one two"])
    assert tokenizer.word_starts(tokenizer.encode("two one")) == [0, 4]
    numbers = [tokenizer.encode(" o"), tokenizer.labels.index(" ") + 1]
    assert tokenizer.word_starts([numbers[1], numbers[1], *numbers[0]]) == [2]
    assert tokenizer.word_starts([]) == []
    assert train_tokenizer("characters", ["one"]).word_starts([1, 2, 3]) == [0]
    assert Tokenizer("words", ["one", "two"]).word_starts([2, 1, 1]) == [0, 1, 2]


def test_impossible_tokenizers_are_refused():
    with pytest.raises(InputError, match="kind is 'letters'; use one of characters, words"):
        Tokenizer("letters", ["a"])
    with pytest.raises(InputError, match="not all different"):
        Tokenizer("words", ["a", "b", "a"])
    with pytest.raises(InputError, match="no text"):
        train_tokenizer("words", ["", " ... "])


# ---- word pieces -------------------------------------------------------------------------------------------


def test_word_pieces_round_trip(pieces):
    assert pieces.vocabulary == 45 == len(pieces.labels) + 1
    for text in TEXTS:
        numbers = pieces.encode(text.upper() + "!")
        assert pieces.decode(numbers) == text
        assert BLANK not in numbers and max(numbers) < 45
        assert [pieces.labels[n - 1] for n in numbers] == pieces.split(text)
        assert "".join(pieces.split(text)) == "▁" + text.replace(" ", "▁")
    assert pieces.decode([0, *numbers, 0]) == text


def test_word_pieces_are_longer_than_characters(pieces):
    assert max(len(label) for label in pieces.labels if label != "<unk>") >= 2
    assert 2 < len(pieces.encode("the fox")) < len("the fox")


def test_unigram_and_bpe_differ():
    unigram, bpe = (train_tokenizer("wordpieces", TEXTS, 45, kind) for kind in ("unigram", "bpe"))
    assert unigram.labels != bpe.labels


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_pieces_may_be_kept_short(kind):
    """A word's ▁ is one of the characters."""
    for longest in (2, 3):
        tokenizer = train_tokenizer("wordpieces", TEXTS, 45, kind, max_piece_length=longest)
        assert max(len(label) for label in tokenizer.labels if label != "<unk>") == longest
        assert all(tokenizer.decode(tokenizer.encode(text)) == text for text in TEXTS)


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_reserved_pieces_come_after_blank_and_unk(kind):
    """As TensorFlowASR's reserved tokens do: <pad> is 0, <unk> 1."""
    reserved = ["<laughs>", "<noise>"]
    tokenizer = train_tokenizer("wordpieces", TEXTS, 45, kind, normalize=False, reserved=reserved)
    assert tokenizer.labels[:3] == ["<unk>", *reserved] and tokenizer.vocabulary == 45
    text = "the fox <laughs> jump"
    numbers = tokenizer.encode(text)
    assert 2 in numbers and 3 not in numbers and tokenizer.decode(numbers) == text
    assert not {0, 1, 2, 3} & set(tokenizer.encode(TEXTS[0]))


def test_word_pieces_know_one_form_of_a_letter():
    """NFKC: a letter and its accent are the letter with the accent, a ligature is its letters."""
    tokenizer = train_tokenizer("wordpieces", ["fin café", "fine cafés"], 13)
    assert tokenizer.encode("ﬁn cafe\u0301") == tokenizer.encode("fin café")
    assert tokenizer.decode(tokenizer.encode("ＦＩＮ")) == "fin"


def test_word_pieces_say_where_words_start(pieces):
    numbers = pieces.encode("the lazy zebras jump")
    starts = pieces.word_starts(numbers)
    words = [pieces.decode(numbers[a:b]) for a, b in zip(starts, [*starts[1:], None], strict=True)]
    assert words == ["the", "lazy", "zebras", "jump"]


def test_a_character_no_word_piece_has_is_named(pieces):
    with pytest.raises(InputError, match="does not know the character 'é' of 'the Café'"):
        pieces.encode("the Café")


def test_the_letters_of_unk_are_not_known_by_that():
    tokenizer = train_tokenizer("wordpieces", ["a bad cab", "a cab", "bad"], 8)
    with pytest.raises(InputError, match="does not know the character 'k' of 'back'"):
        tokenizer.encode("back")


@pytest.mark.parametrize("vocabulary, size", [(5, "characters alone are 3"), (9999, "they have only ")])
def test_a_vocabulary_that_does_not_fit_the_texts_is_refused(vocabulary, size):
    message = f"make {vocabulary} word pieces of these texts: .*{size}.*tokenizer.vocabulary to at"
    with pytest.raises(InputError, match=message):
        train_tokenizer("wordpieces", TEXTS, vocabulary)


@pytest.mark.parametrize("texts, vocabulary", [([], 45), (["..."], 45), (TEXTS, None)])
def test_word_pieces_need_texts_and_a_vocabulary(texts, vocabulary):
    with pytest.raises(InputError, match="word pieces need texts, and tokenizer.vocabulary"):
        train_tokenizer("wordpieces", texts, vocabulary)


# ---- files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["characters", "words", "phones"])
@pytest.mark.parametrize("normalize", [True, False])
def test_a_saved_tokenizer_comes_back(tmp_path, kind, normalize):
    tokenizer = train_tokenizer(kind, ["Äh one", "two ◊"], normalize=normalize)
    tokenizer.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert (loaded.kind, loaded.normalize, loaded.labels) == (kind, normalize, tokenizer.labels)
    assert loaded.encode("one two Äh") == tokenizer.encode("one two Äh")


def test_saved_word_pieces_come_back(tmp_path, pieces):
    pieces.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert isinstance(loaded, WordPieceTokenizer)
    assert loaded.labels == pieces.labels and loaded.normalize
    assert loaded.encode(TEXTS[0]) == pieces.encode(TEXTS[0])


def test_a_list_of_labels_is_read(tmp_path):
    (tmp_path / "letters").write_text("# English\na\nb\n \n'\n", encoding="utf-8")
    tokenizer = read_tokenizer("characters", tmp_path / "letters")
    assert (tokenizer.labels, tokenizer.vocabulary) == (["a", "b", " ", "'"], 5)
    assert tokenizer.encode("B ab") == [2, 3, 1, 2]
    (tmp_path / "words").write_text("one\ntwo")
    assert read_tokenizer("words", tmp_path / "words").encode("two One") == [2, 1]


def test_a_sentencepiece_model_is_read(tmp_path, pieces):
    pieces.save(tmp_path)
    tokenizer = read_tokenizer("wordpieces", tmp_path / "tokenizer.model")
    assert tokenizer.labels == pieces.labels and tokenizer.encode(TEXTS[1]) == pieces.encode(TEXTS[1])


@pytest.mark.parametrize(
    "kind, content, message",
    [
        ("wordpieces", b"the\n##re\n", "is not a sentencepiece model"),
        ("characters", b"a\nbc\n", "is not a list of characters: a line has more than one character"),
        ("words", b"one\none\n", "is not a list of words: the tokenizer's labels are not all different"),
        ("words", b"\xff\xfe", "is not a list of words: .*UTF-8"),
        ("words", None, "is not a list of words: .*labels.txt does not exist"),
    ],
)
def test_a_file_of_another_form_is_named(tmp_path, kind, content, message):
    path = tmp_path / "labels.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"^tokenizer file {path} {message}") as error:
        read_tokenizer(kind, path)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path, pieces):
    with pytest.raises(InputError, match=r"tokenizer\.json is missing: this is not a complete model"):
        load_tokenizer(tmp_path)
    pieces.save(tmp_path)
    (tmp_path / "tokenizer.model").unlink()
    with pytest.raises(InputError, match=r"tokenizer\.model is missing"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"kind": "words"}', '{"kind": "words", "labels": 5, "normalize": true}', "\udc80"],
)
def test_a_damaged_tokenizer_file_is_named(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=f"{path} is not (a tokenizer file|valid JSON|a UTF-8 text file)"):
        load_tokenizer(tmp_path)


def test_an_unknown_kind_in_a_file_is_named(tmp_path):
    content = {"kind": "runes", "labels": ["a"], "normalize": True}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="kind is 'runes'"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("model", [b"", b"not a model", None])
def test_a_damaged_word_piece_model_is_named(tmp_path, pieces, model):
    pieces.save(tmp_path)
    path = tmp_path / "tokenizer.model"
    path.write_bytes(path.read_bytes()[:-20] if model is None else model)
    with pytest.raises(InputError, match=f"{path} is not a sentencepiece model"):
        load_tokenizer(tmp_path)


# ---- phones of words ---------------------------------------------------------------------------------------


def test_words_are_encoded_by_their_phones():
    tokenizer = train_phones(["Go, zero!", "go"], "cmudict", stress=False)
    assert tokenizer.labels == ARPABET and tokenizer.vocabulary == 40
    assert tokenizer.lexicon.words == ["go", "zero"]
    assert tokenizer.prepare("ZERO go.") == "Z IH R OW G OW" and tokenizer.words("ZERO go.") == "zero go"
    numbers = tokenizer.encode("ZERO go.")
    assert numbers == tokenizer.numbers("Z IH R OW G OW".split())
    assert tokenizer.decode([0, *numbers, 0]) == "Z IH R OW G OW"
    with pytest.raises(InputError, match="'stop'"):
        tokenizer.encode("stop")
    with pytest.raises(InputError, match="'XX'"):
        tokenizer.numbers(["XX"])


def test_stress_doubles_no_consonant():
    tokenizer = train_phones(["go"], "cmudict", stress=True)
    assert tokenizer.decode(tokenizer.encode("go")) == "G OW1" and tokenizer.vocabulary == 70


def test_the_lexicon_goes_with_the_labels(tmp_path):
    tokenizer = train_phones(["zero go"], "cmudict", stress=False)
    tokenizer.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert isinstance(loaded, PhoneTokenizer)
    assert loaded.lexicon == tokenizer.lexicon and loaded.labels == tokenizer.labels
    (tmp_path / "lexicon.tsv").write_text("go\tG O\n")
    with pytest.raises(InputError, match="phone 'O' of the lexicon's word 'go'"):
        load_tokenizer(tmp_path)
    (tmp_path / "lexicon.tsv").unlink()  # phones as texts, as before there were lexicons
    assert load_tokenizer(tmp_path).encode("G OW") == tokenizer.encode("go")


def test_a_lexicon_of_ones_own(tmp_path):
    Lexicon({"ja": [["j", "aː"]], "nein": [["n", "aɪ", "n"]]}).save(tmp_path / "de.tsv")
    tokenizer = train_phones(["Ja!"], str(tmp_path / "de.tsv"), stress=False)
    assert tokenizer.labels == ["aɪ", "aː", "j", "n"] and tokenizer.decode(tokenizer.encode("ja")) == "j aː"


def test_a_sentencepiece_model_whose_first_piece_is_padding_has_it_as_blank(tmp_path):
    """TensorFlowASR trains its models so: its labels are sentencepiece's numbers."""
    import sentencepiece

    numbers = dict(pad_id=0, unk_id=1, bos_id=2, eos_id=3)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS),
        model_prefix=str(tmp_path / "m"),
        vocab_size=45,
        num_threads=1,
        minloglevel=2,
        **numbers,
    )
    tokenizer = read_tokenizer("wordpieces", tmp_path / "m.model")
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "m.model"))
    assert tokenizer.vocabulary == 45 and tokenizer.labels[0] == "<unk>"
    assert tokenizer.encode("the lazy dog") == theirs.encode("the lazy dog")
    assert tokenizer.decode([0, *theirs.encode("the lazy dog"), 0]) == "the lazy dog"
    with pytest.raises(InputError, match="does not know the character 'é'"):
        tokenizer.encode("the café")


def test_the_name_of_blank_in_a_list_of_characters_is_no_label(tmp_path):
    (tmp_path / "c.txt").write_text("<blank>\n \na\nb\n")
    assert read_tokenizer("characters", tmp_path / "c.txt").labels == [" ", "a", "b"]
