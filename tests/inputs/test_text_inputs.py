"""Bad texts, tables and models. The numbers of entries are those of the review of bad and unusual input."""

import io
import itertools
import json
import math

import numpy as np
import pytest
import soundfile
from folders import fails as refuses
from folders import make_folder

from asrlib.config.template import render
from asrlib.data.corpora import load_corpus
from asrlib.data.manifest import load_folder, save_corpus
from asrlib.data.shar import load_shar
from asrlib.errors import InputError
from asrlib.metrics import char_error_rate, phone_error_rate, word_error_rate
from asrlib.teaching.recorder import add_recording
from asrlib.text.labels import normalize_text
from asrlib.text.ngram import load_arpa, train_ngram
from asrlib.text.tokenizer_files import load_tokenizer
from asrlib.text.tokenizers import Tokenizer, train_tokenizer
from asrlib.training.checkpoint import read_progress

# where str.splitlines ends a line, and some editors and programs do
LINE_ENDS = ["\n", "\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]


def recording(hz):
    buffer = io.BytesIO()
    wave = 0.3 * np.sin(2 * np.pi * hz * np.arange(8000) / 8000)
    soundfile.write(buffer, wave, 8000, format="WAV")
    return buffer.getvalue()


# ------------------------------------------------------------------- entries 1 and 2


def test_entry_01_a_new_recording_never_replaces_another(tmp_path):
    paths = [add_recording(tmp_path, recording(200 + n), f"take {n}") for n in range(4)]
    before = {path: path.read_bytes() for path in paths}
    manifest = tmp_path / "manifest.tsv"
    rows = manifest.read_text().split("\n")
    manifest.write_text("\n".join(rows[:2] + rows[3:]))  # the row of the second take
    new = add_recording(tmp_path, recording(900), "another take")
    assert new.name == "005.wav"
    assert {path: path.read_bytes() for path in paths} == before
    (tmp_path / "audio" / "003.wav").unlink()  # its row is still there
    assert add_recording(tmp_path, recording(950), "one more").name == "006.wav"
    lines = [line.split("\t")[0] for line in manifest.read_text().strip().split("\n")[1:]]
    assert len(set(lines)) == len(lines) == 5


def test_entry_01_a_manifest_that_cannot_be_written_leaves_no_recording(tmp_path, monkeypatch):
    from asrlib.teaching import recorder

    add_recording(tmp_path, recording(200), "one")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recorder, "write_atomically", full)
    with pytest.raises(OSError):
        add_recording(tmp_path, recording(300), "two")
    assert [path.name for path in (tmp_path / "audio").iterdir()] == ["001.wav"]


@pytest.mark.parametrize("end", LINE_ENDS)
def test_entry_02_a_text_is_one_line_for_every_program(tmp_path, end):
    add_recording(tmp_path, recording(200), "one")
    before = (tmp_path / "manifest.tsv").read_bytes()
    for field in ({"text": f"one{end}two"}, {"speaker": f"m{end}e"}, {"split": f"tr{end}ain"}):
        refuses(
            "must be one line without tabs", add_recording, tmp_path, recording(1), **{"text": "a"} | field
        )
    assert (tmp_path / "manifest.tsv").read_bytes() == before and len(list(load_corpus(tmp_path))) == 1
    utterance = ("audio/a.flac", "me", "train", f"one{end}two", np.zeros(8000, np.float32), {})
    refuses("must be one line without tabs", save_corpus, tmp_path / "new", [utterance], 8000)
    assert not (tmp_path / "new").exists()


def test_entry_02_such_a_manifest_of_another_program_is_read_and_kept(tmp_path):
    add_recording(tmp_path, recording(200), "one")
    manifest = tmp_path / "manifest.tsv"
    manifest.write_text(manifest.read_text().replace("one", "one\u2028two"), encoding="utf-8")
    add_recording(tmp_path, recording(300), "three")
    assert [cut.supervisions[0].text for cut in load_corpus(tmp_path)] == ["one\u2028two", "three"]


# --------------------------------------------------------------------------- entry 5


def test_entry_05_two_strings_are_one_utterance():
    assert word_error_rate("hello", "hallo").rate == 100
    assert char_error_rate("hello", "hallo").rate == 20
    assert str(phone_error_rate("h e l o", "h a l o")) == str(phone_error_rate(["h e l o"], ["h a l o"]))


@pytest.mark.parametrize("pair", [("one", ["one"]), (["one"], "one"), ([1], ["one"]), ([["one"]], [["one"]])])
def test_entry_05_other_arguments_are_refused(pair, unchecked_shapes):
    refuses("must be a list of texts, or both of them one text", word_error_rate, *pair)


def test_entry_05_words_where_nothing_was_said_are_insertions():
    rate = word_error_rate(["one two", "", "three"], ["one two", "four five", "three"])
    assert (rate.substitutions, rate.deletions, rate.insertions, rate.length) == (0, 0, 2, 3)
    assert char_error_rate(["ab", ""], ["ab", "c"]).insertions == 1


# --------------------------------------------------------------------------- entry 6


@pytest.mark.parametrize(
    "text, expected",
    [
        ("می\u200cخواهم", "میخواهم"),  # Persian: zero-width non-joiner
        ("क्\u200dष", "क्ष"),  # Hindi: zero-width joiner
        ("Sil\u00adben\u00adtren\u00adnung", "silbentrennung"),  # soft hyphen
        ("in\u2060side \ufeffout", "inside out"),  # word joiner, byte order mark
        ("צה״ל וגו׳ ג׳ירפה", "צה״ל וגו ג׳ירפה"),  # Hebrew: gershayim and geresh
        ("Paral·lel co\u0140lega", "paral·lel col·lega"),  # Catalan
        ("·a· ״b״ 'c' d''e", "a b c d e"),
        ("3·14 rock'n'roll 90's", "3 14 rock'n'roll 90's"),
        ("Don’t stop—now!", "don't stop now"),
    ],
)
def test_entry_06_words_stay_whole(text, expected):
    assert normalize_text(text) == expected
    assert normalize_text(expected) == expected


# -------------------------------------------------------------------------- entry 10


@pytest.mark.parametrize("twin", ["./a.wav", "x/../a.wav", ".//a.wav"])
def test_entry_10_two_ways_to_write_a_path_are_one_recording(tmp_path, twin):
    (tmp_path / "x").mkdir()
    make_folder(tmp_path, ["a.wav\ttrain\tone", f"{twin}\ttest\tone"], header="path\tsplit\ttext")
    refuses(f"manifest.tsv: line 3: {twin} is already in line 2", load_folder, tmp_path)


# -------------------------------------------------------------------------- entry 13

LABELS = ["a", "b", "c"]
ARPA = (
    "\\data\\\nngram 1=5\nngram 2=2\n\n\\1-grams:\n-1 </s>\n-99 <s>\n-1 a -0.2\n-1 b\n-2 <unk> -0.5\n\n"
    "\\2-grams:\n-0.1 <unk> a\n-0.3 a <unk>\n\n\\end\\\n"
)


def arpa(tmp_path, text=ARPA, labels=LABELS):
    (tmp_path / "lm.arpa").write_text(text)
    return load_arpa(tmp_path / "lm.arpa", labels)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("-1 a -0.2", "nan a -0.2", "line 8: 'nan a -0.2': .* must be finite numbers"),
        ("-1 a -0.2", "inf a -0.2", "line 8: 'inf a -0.2': .* must be finite numbers"),
        ("-1 a -0.2", "-inf a -0.2", "line 8: .* must be finite numbers"),
        ("-1 a -0.2", "-1 a nan", "line 8: .* must be finite numbers"),
        ("-1 a -0.2", "-1 a -inf", "line 8: .* must be finite numbers"),
        ("-1 a -0.2", "0.5 a -0.2", "line 8: '0.5 a -0.2': the log-probability must not be above 0"),
        ("-1 b", "-1 a", "line 9: the n-gram 'a' is there twice"),
        ("-0.3 a <unk>", "-0.3 <unk> a", "line 14: the n-gram '<unk> a' is there twice"),
        ("ngram 2=2", "ngram 2=3", "it announces 3 2-grams and has 2: copy it again"),
        ("ngram 1=5", "ngram 1=4", "it announces 4 1-grams and has 5"),
        ("ngram 2=2\n", "", "it announces none 2-grams and has 2"),
        ("ngram 2=2\n", "ngram 2=2\nngram 3=7\n", "it announces 7 3-grams and has 0"),
        ("\\2-grams", "\\3-grams", "line 12: found .3-grams: after those of order 1"),
        ("\\2-grams", "\\" + "9" * 5000 + "-grams", "line 12: expected a log-probability and 1 labels"),
        ("<s>", "\ufeff<s>", "the tokenizer has no label"),
    ],
)
def test_entry_13_a_wrong_language_model_names_the_line(tmp_path, old, new, message):
    assert old in ARPA
    refuses(f"lm.arpa(:|, ).*{message}", arpa, tmp_path, ARPA.replace(old, new, 1))


def test_entry_13_a_label_the_file_lacks_is_unknown_in_a_history_too(tmp_path):
    for labels in (LABELS, ["<unk>", "a", "b", "c"]):
        model = arpa(tmp_path, labels=labels)
        a, b, c = (labels.index(label) + 1 for label in "abc")
        ln10 = math.log(10)
        after = model.advance((), c)
        assert float(model.scores(after)[a]) == pytest.approx(-0.1 * ln10)
        assert float(model.scores(after)[b]) == pytest.approx((-0.5 - 1) * ln10)
        assert float(model.scores(())[c]) == pytest.approx(-2 * ln10)
        assert float(model.scores(model.advance((), a))[c]) == pytest.approx(-0.3 * ln10)  # of a <unk>
        again = arpa(tmp_path, model.arpa(), labels)
        for text in itertools.product([a, b, c], repeat=3):
            assert again.log_prob(text) == pytest.approx(model.log_prob(text), abs=1e-4)


def test_entry_13_a_probability_rounded_above_one_is_one(tmp_path):
    model = arpa(tmp_path, ARPA.replace("-1 b", "0.000001 b"))
    assert float(model.scores(())[LABELS.index("b") + 1]) == 0.0
    assert train_ngram([[1]], LABELS).arpa().startswith("\\data\\")


# -------------------------------------------------------------------------- entry 19

DEEP = "[" * 100_000
JSON = [
    DEEP,
    '{"a":' * 100_000,
    "9" * 5000,
    "[NaN]",
    "[1e999, Infinity]",
    '{"a": 1, "a": 2}',
    "\ud800",
    "",
    "nul",
    "5",
    "[]",
]


@pytest.mark.parametrize("text", JSON)
def test_entry_19_json_gives_one_line(tmp_path, text, tiny_shards):
    import shutil

    content = text.encode("utf-8", "surrogatepass")
    (tmp_path / "tokenizer.json").write_bytes(content)
    refuses("tokenizer.json is not", load_tokenizer, tmp_path)
    folder = make_folder(tmp_path / "corpus", ["a.wav\ts\tone"])
    if text != "[]":
        (folder / "alignments.json").write_bytes(content)
        refuses("alignments.json is not", load_folder, folder)
    shards = shutil.copytree(tiny_shards, tmp_path / "shards")
    (shards / "shards.json").write_bytes(content)
    refuses("shards.json is (not|damaged)", load_shar, shards)
    (tmp_path / "progress.json").write_bytes(content)
    refuses("progress.json is not", read_progress, tmp_path / "progress.json")


@pytest.mark.parametrize(
    "content",
    [
        {"kind": "words", "labels": [1, 2], "normalize": True},
        {"kind": "words", "labels": "ab", "normalize": True},
        {"kind": "words", "labels": {"a": 1}, "normalize": True},
        {"kind": "words", "labels": ["a"], "normalize": 1},
        {"kind": ["words"], "labels": ["a"], "normalize": True},
        {"kind": "words", "labels": ["a"]},
    ],
)
def test_entry_19_wrong_types_in_a_tokenizer_file(tmp_path, content):
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    refuses("tokenizer.json", load_tokenizer, tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"step": "4"},
        {"step": 1.5},
        {"step": True},
        {"step": -1},
        {"epoch": None},
        {"best_wer": "x"},
        {"best_wer": math.nan},
        {"seconds": []},
        {"history": {}},
        {"history": [1]},
        {"data": 3},
        {"other": 1},
    ],
)
def test_entry_19_wrong_types_in_progress(tmp_path, change):
    good = {"step": 4, "epoch": 1, "batch": 2, "best_wer": math.inf, "seconds": 1.5, "history": []}
    path = tmp_path / "progress.json"
    path.write_text(json.dumps(good))
    assert read_progress(path).best_wer == math.inf
    path.write_text(json.dumps(good | change))
    refuses("progress.json is not the progress of a run", read_progress, path)


def test_entry_19_nul_in_a_path(tmp_path):
    make_folder(tmp_path, ["a.wav\ts\tone"])
    (tmp_path / "manifest.tsv").write_text("path\ttext\na\0.wav\tone\n")
    refuses(r"line 2: 'a\\x00.wav' cannot be the path of a file", load_folder, tmp_path)
    for call in (load_arpa,):
        refuses("cannot be the name of a file", call, "a\0b", LABELS)


# -------------------------------------------------------------------------- entry 20


@pytest.mark.parametrize(
    "text",
    [
        "{% for i in range(100000) %}{% set s = ('a' * 1000000)|upper %}{% endfor %}",
        "{% for i in range(100000) %}{% set s = 'a' * 1000000 == 'a' * 1000000 %}{% endfor %}",
        "{% set a = 'a' * 999999 %}{% for i in range(100000) %}{% if a in a %}{% endif %}{% endfor %}",
        "{% set a = ['a'] %}" + "{% set a = [a, a, a, a] %}" * 99 + "{{ a }}",
        "{% set a = ['a'] %}" + "{% set a = [a, a, a, a] %}" * 99 + "{{ a|string|upper }}",
        "{% set a, b = [1], [1] %}" + "{% set a, b = [a, a], [b, b] %}" * 99 + "{{ a == b }}",
    ],
)
def test_entry_20_a_template_that_takes_too_long_is_stopped(text):
    refuses("^f.j2.*(too much work|is too large|uses the test|produces more than)", render, text, "f.j2")


def test_entry_20_a_huge_template_is_refused():
    refuses("produces more than 1000000 characters", render, "{{ 1 }}" + "x" * 1_000_000, "f.j2")


# ------------------------------------------------------------------------- unclear


def test_unclear_a_column_twice(tmp_path):
    make_folder(tmp_path, ["a.wav\tone\ttwo"], header="path\ttext\ttext")
    refuses("manifest.tsv: line 1 has the column 'text' twice", load_folder, tmp_path)


def test_unclear_vocabularies_count_as_they_are_asked_for():
    texts = ["one two three", "two three one"]
    with pytest.raises(InputError, match="cannot make 40 .* they have only") as error:
        train_tokenizer("wordpieces", texts, 40)
    most = int(str(error.value).split("they have only ")[1].split(";")[0])
    assert train_tokenizer("wordpieces", texts, most).vocabulary == most
    with pytest.raises(InputError, match=f"cannot make {most + 1} "):
        train_tokenizer("wordpieces", texts, most + 1)
    with pytest.raises(InputError, match="cannot make 4 .* their characters alone are") as error:
        train_tokenizer("wordpieces", texts, 4)
    least = int(str(error.value).split("alone are ")[1].split(";")[0])
    assert train_tokenizer("wordpieces", texts, least).vocabulary == least


def test_unclear_pieces_in_upper_case_name_the_key():
    pieces = train_tokenizer("wordpieces", ["ONE TWO", "TWO ONE"], 10, normalize=False)
    pieces.normalize = True
    refuses("its pieces are upper case, so set tokenizer.normalize: false", pieces.encode, "one")
    refuses("correct the transcript", pieces.encode, "xyz!")
    assert Tokenizer("words", ["a"]).encode("A") == [1]
