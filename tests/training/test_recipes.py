"""The recipes on a stand-in for the folder of recordings: who is trained on, who is tested."""

import json
from collections import Counter

import pytest
from folders import noise_folder

from asrlib.data.corpora import load_corpus
from asrlib.data.grammar import DIGITS
from asrlib.errors import InputError
from asrlib.evaluate import Evaluation
from asrlib.metrics import ErrorRate
from asrlib.recognizer import Recognizer
from asrlib.training import recipes

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")

    def write(name, utterances):
        noise_folder(folder / name, utterances, lambda text: 0.1 * len(text.split()), 8000)

    write("fsdd", [(speaker, digit) for speaker in ("ann", "bob", "cid") for digit in DIGITS])
    strings = [(f"s{n}", "ONE TWO NINE") for n in range(7)]
    write("speechocean-train", [*strings, ("s1", "ONE MORE TIME"), ("t1", "GOOD MORNING")])
    write("librispeech-251", [(f"l{n}", "HE WENT AWAY") for n in range(10)])
    write("synthetic", [(f"en+f{n}", "THE TIGER DANCED") for n in range(10)])
    write("ljspeech-385", [("lj", "In 1455."), *[("lj", f"Printing, {letter} then.") for letter in LETTERS]])
    return folder


def test_every_speaker_of_digits_is_left_out_once(real):
    folds = recipes.folds(real)
    assert list(folds) == ["ann", "bob", "cid"]
    assert sorted(sum(folds.values(), [])) == [f"s{n}" for n in range(7)]


def test_digit_strings_are_nothing_but_digits(real):
    assert {cut.supervisions[0].text for cut in recipes.digit_strings(real)} == {"ONE TWO NINE"}
    assert len(recipes.digit_strings(real)) == 7


@pytest.fixture
def trained(monkeypatch, real):
    """What ``recipes.train`` is called with; nothing is trained, and nothing synthesised."""
    calls = {}

    def train(config, cuts, out, dev_cuts=(), init=None, show_progress=True):
        calls.update({"dev speakers": [cut.supervisions[0].speaker for cut in dev_cuts]})
        calls.update(
            config=config,
            speakers=[cut.supervisions[0].speaker for cut in cuts],
            texts=[cut.supervisions[0].text for cut in cuts],
        )
        recognizer = object.__new__(Recognizer)
        recognizer.config = config
        return recognizer

    def load(name, split=None):
        return load_corpus(real / "synthetic" if name in ("digits", "sentences") else name, split)

    monkeypatch.setattr(recipes, "train", train)
    monkeypatch.setattr(recipes, "load_corpus", load)
    monkeypatch.setattr(
        recipes,
        "score_heads",
        lambda _, heard: {k: {c.supervisions[0].speaker for c in v} for k, v in heard.items()},
    )
    return calls


def test_the_fold_left_out_is_tested_and_never_trained_on(real, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(recipes.json, "dumps", lambda result, indent: "{}")
    result = recipes.train_digits(
        real, tmp_path, "bob", strings=20, repeats=3, settings=["training.max_steps=7"]
    )
    hidden = {"bob", *recipes.folds(real)["bob"]}
    assert result["strung"] == {"bob"} and result["spoken"] == hidden - {"bob"}
    assert not hidden & set(trained["speakers"])
    assert trained["speakers"].count("s0") == 3
    assert trained["config"].training.max_steps == 7


def test_the_last_training_leaves_nobody_out(real, trained, tmp_path):
    assert set(recipes.train_digits(real, tmp_path, strings=20)) == {"seconds"}
    assert {"ann", "bob", "cid", *(f"s{n}" for n in range(7))} <= set(trained["speakers"])


def test_sentences_are_tested_on_speakers_not_trained_on(real, trained, tmp_path, monkeypatch):
    tested = {}

    def evaluate(recognizer, cuts):
        speakers = {cut.supervisions[0].speaker for cut in cuts}
        assert speakers, "nobody to test on"
        tested.setdefault(recognizer.config.decoding.head, []).append(speakers)
        return Evaluation(ErrorRate(1, 2, 3, 60), ErrorRate(1, 1, 1, 300), [])

    monkeypatch.setattr(recipes, "evaluate", evaluate)
    rates = recipes.train_sentences(real, tmp_path, settings=["training.max_steps=7"])
    assert list(tested) == ["transducer", "ctc"] and tested["ctc"] == tested["transducer"]
    assert set.union(*tested["ctc"]) & set(trained["speakers"]) == {"lj"}
    assert set.union(*tested["ctc"]) & set(trained["dev speakers"]) == {"lj"}
    assert not set(trained["dev speakers"]) & set(trained["speakers"]) - {"lj"}
    assert {"Printing, a then.", "HE WENT AWAY", "ZERO"} & set(trained["texts"])
    assert not any("1455" in text for text in trained["texts"])
    assert trained["config"].training.max_steps == 7
    assert rates["librispeech-251, ctc, WER"] == 10 and rates["sentences, transducer, CER"] == 1
    once = Counter(trained["texts"])
    recipes.train_sentences(real, tmp_path, repeats=3)
    thrice = Counter(trained["texts"])
    assert thrice["HE WENT AWAY"] == 3 * once["HE WENT AWAY"] > 0  # a recording
    assert thrice["THE TIGER DANCED"] == once["THE TIGER DANCED"] > 0  # synthetic
    rows = json.loads((tmp_path / "tested.json").read_text())
    assert len(rows) == 10 and rows[0]["wer"]["deletions"] == 2


def test_unknown_speaker_and_missing_folder_are_named(real, tmp_path):
    with pytest.raises(InputError, match="no FSDD speaker 'eve'; choose from ann, bob, cid"):
        recipes.train_digits(real, tmp_path / "out", "eve")
    with pytest.raises(InputError, match="speechocean-train is missing"):
        recipes.train_digits(tmp_path, tmp_path / "out")
