"""Isolated words scored one by one: macro-averages, pooled rates, and who was taken for whom."""

import numpy as np
import pytest
import soundfile
import spoken

from asrlib.data.corpora import load_corpus
from asrlib.errors import InputError
from asrlib.evaluate import evaluate, evaluate_words

# what is said, and what is to be heard of it
SAID = [
    ("go", "G OW"),
    ("go", "N OW"),
    ("go", "G OW"),
    ("go", "- G OW"),
    ("No", "S OW -"),
    ("on", "OW - N T"),
]


@pytest.fixture
def cuts(tmp_path):
    lines = ["path\ttext"]
    for n, (text, phones) in enumerate(SAID):
        soundfile.write(
            tmp_path / f"{n}.wav", spoken.samples(phones).numpy().astype(np.float32), 4000, "FLOAT"
        )
        lines.append(f"{n}.wav\t{text}")
    (tmp_path / "manifest.tsv").write_text("\n".join(lines) + "\n")
    return load_corpus(tmp_path)


def test_a_table_of_words(cuts):
    table = evaluate_words(spoken.recognizer(), cuts)
    rows = {row.word: row for row in table.rows}
    assert {word: (row.utterances, row.wrong) for word, row in rows.items()} == {
        "go": (4, 1),
        "no": (1, 1),
        "on": (1, 0),
    }
    assert table.confusions == {("go", "no"): 1, ("no", "oh"): 1}
    # of go's eight phones one is wrong, of no's two one; "on" was said as its second pronunciation, and a T
    assert [rows[w].phones.rate for w in ("go", "no", "on")] == [12.5, 50.0, 100.0]
    assert table.macro_word_error == pytest.approx((25 + 100 + 0) / 3)
    assert table.pooled_word_error == pytest.approx(100 * 2 / 6)
    assert table.macro_phone_error == pytest.approx((12.5 + 50 + 100) / 3)
    assert table.pooled_phone_error == pytest.approx(100 * 4 / 12)
    part = table.select(["go"])
    assert part.pooled_word_error == part.macro_word_error == 25.0 and part.confusions == {("go", "no"): 1}


def test_another_list_and_no_utterances(cuts):
    table = evaluate_words(spoken.recognizer(), cuts, spoken.LEXICON.select(["oh", "on"]))
    assert {row.word: row.wrong for row in table.rows} == {"go": 4, "no": 1, "on": 0}
    with pytest.raises(InputError, match="no utterance"):
        evaluate_words(spoken.recognizer(), [])


def test_words_or_phones_are_the_references(cuts):
    recognizer = spoken.recognizer()
    words = evaluate(recognizer, cuts)
    assert words.words.rate == pytest.approx(100 * 2 / 6) and words.rows[4][1] == "no"
    recognizer.config.decoding.words = None
    phones = evaluate(recognizer, cuts)
    assert phones.words.rate == pytest.approx(100 * 4 / 12) and phones.rows[4][1] == "N OW"


def test_a_word_that_cannot_be_pronounced_is_named_with_its_utterance(cuts):
    cuts = [cut for cut in cuts]
    cuts[2].supervisions[0].text = "stop"
    with pytest.raises(InputError, match="2.wav.*'stop'"):
        evaluate(spoken.recognizer(), cuts)
