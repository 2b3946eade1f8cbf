"""The recipes on a stand-in for the folder of recordings: who is trained on, who is tested."""

import shutil

import numpy as np
import pytest
import soundfile
import torch

from asrlib import recipes
from asrlib.config import load_config, override
from asrlib.corpus import load_corpus
from asrlib.errors import InputError
from asrlib.recognizer import Recognizer
from asrlib.synth import DIGITS


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    draw = np.random.default_rng(0)

    def write(name, utterances):
        (folder / name).mkdir()
        lines = ["path\tspeaker\ttext"]
        for number, (speaker, text) in enumerate(utterances):
            samples = draw.standard_normal(800 * len(text.split())) * 0.1
            soundfile.write(folder / name / f"{number}.wav", samples, 8000)
            lines.append(f"{number}.wav\t{speaker}\t{text}")
        (folder / name / "manifest.tsv").write_text("\n".join(lines) + "\n")

    write("fsdd", [(speaker, digit) for speaker in ("ann", "bob", "cid") for digit in DIGITS])
    strings = [(f"s{n}", "ONE TWO NINE") for n in range(7)]
    write("speechocean-train", [*strings, ("s1", "ONE MORE TIME"), ("t1", "GOOD MORNING")])
    write("librispeech-251", [("l1", "HE WENT AWAY")])
    write("ljspeech-385", [("lj", "1455."), ("lj", "Printing, then.")])
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

    def train(config, cuts, out, init=None, show_progress=True):
        calls.update(
            config=config,
            speakers=[cut.supervisions[0].speaker for cut in cuts],
            texts=[cut.supervisions[0].text for cut in cuts],
        )
        return object.__new__(Recognizer)

    def load(name, split=None):
        return (
            load_corpus(real / "librispeech-251")
            if name in ("digits", "sentences")
            else load_corpus(name, split)
        )

    monkeypatch.setattr(recipes, "train", train)
    monkeypatch.setattr(recipes, "load_corpus", load)
    monkeypatch.setattr(
        recipes,
        "test_heads",
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


def test_the_shipped_model_is_two_networks(real, tiny_model, tmp_path, monkeypatch):
    asked = {}

    def train_digits(real, out, leave_out, strings=4000, repeats=10, settings=(), show_progress=True):
        shutil.copytree(tiny_model, out)
        asked[out.name] = (leave_out, strings, repeats, *settings)

    monkeypatch.setattr(recipes, "train_digits", train_digits)
    monkeypatch.setattr(recipes, "test_heads", lambda recognizer, heard: {"strung": len(heard["strung"])})
    result = recipes.train_shipped(real, tmp_path, "bob")
    assert result["strung"] == recipes.TEST_STRINGS
    assert asked["clean"] == ("bob", 4000, 10, "training.max_steps=2500")
    assert asked["noisy"][:3] == ("bob", 12000, 20)
    for setting in recipes.CLEAN["settings"] + recipes.NOISY["settings"]:
        override(load_config("contextnet-digits"), [setting])
    before, model = Recognizer.load(tiny_model), Recognizer.load(tmp_path / "model")
    assert list(model.members) == ["noisy"] and model.uses_ctc and model.warps == recipes.WARPS
    for listener in model.listeners:
        change = listener.model.ctc_head.bias - before.model.ctc_head.bias
        torch.testing.assert_close(change[0], torch.tensor(-recipes.BLANK_PENALTY), atol=2e-3, rtol=0)
        assert change[1:].abs().max() < 2e-3  # 16 bits


def test_sentences_leave_out_whoever_speaks_digits(real, trained, tmp_path):
    recipes.train_sentences(real, tmp_path)
    assert set(trained["speakers"]) == {"t1", "l1", "lj"}
    assert "1455." not in trained["texts"]


def test_unknown_speaker_and_missing_folder_are_named(real, tmp_path):
    with pytest.raises(InputError, match="no FSDD speaker 'eve'; choose from ann, bob, cid"):
        recipes.train_digits(real, tmp_path / "out", "eve")
    with pytest.raises(InputError, match="speechocean-train is missing"):
        recipes.train_digits(tmp_path, tmp_path / "out")
