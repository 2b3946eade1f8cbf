"""The recipe of command words: which speakers and words are trained on, and what is reported."""

import json

import pytest
from folders import noise_folder

from asrlib.config.parse import load_config
from asrlib.data.corpora import load_corpus
from asrlib.errors import InputError
from asrlib.models.build import build_model
from asrlib.recognizer import Recognizer
from asrlib.training import command_recipe as module
from asrlib.training.command_recipe import train_commands, training_cuts

FAST = [
    "training.max_steps=2",
    "training.evaluate_every=2",
    "training.batch_seconds=4",
    "encoder.blocks=[{filters: 16, stride: 4, layers: 1, residual: false}]",
]


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")

    def write(name, utterances):
        noise_folder(folder / name, utterances, lambda text: 0.5 + 0.25 * len(text.split()))

    people = [f"p{n}" for n in range(20)]
    write("commands", [(p, word) for p in people for word in ("yes", "no", "yes", "zero", "no", "dog")])
    write("an4", [(f"a{n}", text) for n in range(10) for text in ("GO YES", "B A D")])
    write("synthetic", [(f"v{n}", text) for n in range(10) for text in ("stop", "no")])
    write("dictionary", [(f"v{n}", text) for n in range(10) for text in ("wrote", "know nothing")])
    write(
        "read", [(f"r{n}", text) for n in range(10) for text in ("HE SAID YES", "SHE WROTE IT", "BLORPTIOUS")]
    )
    return folder


@pytest.fixture(autouse=True)
def no_espeak(monkeypatch, real):
    synthetic = {"commands": real / "synthetic", "dictionary": real / "dictionary"}

    def load(name, split=None):
        return load_corpus(synthetic.get(name, name), split)

    monkeypatch.setattr(module, "load_corpus", load)
    monkeypatch.setattr(module, "SENTENCES", ("read",))
    monkeypatch.setattr(module, "FREQUENT", 20)
    monkeypatch.setattr(module, "REPEATS", 3)


def said(cuts):
    return [cut.supervisions[0].text.lower() for cut in cuts]


def speakers(cuts):
    return {cut.supervisions[0].speaker for cut in cuts}


def test_rare_words_are_repeated_and_speakers_left_out(real):
    cuts = training_cuts(real)
    texts = said(cuts)
    # 16 of 20 people; "dog" and "zero" are rare
    assert texts.count("yes") == 32 and texts.count("dog") == 3 * 16 and texts.count("zero") == 3 * 16
    assert texts.count("go yes") == 8 and texts.count("stop") == 8 and texts.count("no") == 32 + 8
    assert len({cut.id for cut in cuts}) == len(cuts)
    hidden = {s for split in ("dev", "test") for s in speakers(load_corpus(real / "commands", split))}
    assert len(hidden) == 4 and not hidden & speakers(cuts)
    assert speakers(training_cuts(real, everyone=True)) >= {f"p{n}" for n in range(20)}


def test_words_held_out_are_nowhere(real):
    texts = said(training_cuts(real, ["yes", "stop"]))
    assert set(texts) == {"no", "zero", "dog", "b a d"}


def test_other_words_come_with_sentences_and_the_dictionary(real):
    texts = said(training_cuts(real, others=True))
    assert texts.count("wrote") == texts.count("know nothing") == 8  # training voices
    assert texts.count("he said yes") == texts.count("she wrote it") == 10  # all readers
    assert "blorptious" not in texts
    texts = said(training_cuts(real, ["no", "yes"], others=True))
    assert set(texts) == {"zero", "dog", "b a d", "stop", "wrote", "she wrote it"}  # "know" sounds like "no"


def test_a_run_without_the_frequent_words_and_one_that_starts_from_it(real, tmp_path):
    general = tmp_path / "general"
    held = {"hold_out": ["yes", "no"], "others": True, "show_progress": False}
    result = train_commands(real, general, settings=FAST, **held)
    assert "frequent" not in result and result["held_out"]["utterances"] == 8
    assert "know" not in Recognizer.load(general).tokenizer.lexicon

    held["hold_out"] = ["yes"]  # the words that come back need pronunciations, and the labels stay
    result = train_commands(real, tmp_path / "turn", init=general, settings=FAST, **held)
    assert result["frequent"]["utterances"] == result["held_out"]["utterances"] == 4
    first, second = (Recognizer.load(tmp_path / name).tokenizer for name in ("general", "turn"))
    assert {"nothing", "wrote"} <= {*second.lexicon.words} and {*first.lexicon.words} < {
        *second.lexicon.words
    }
    assert second.labels == first.labels
    assert second.lexicon.pronunciations("zero") == first.lexicon.pronunciations("zero")


def test_what_is_reported(real, tmp_path):
    result = train_commands(real, tmp_path / "run", hold_out=["Zero"], settings=FAST, show_progress=False)
    assert result == json.loads((tmp_path / "run" / "tested.json").read_text())
    assert result["frequent"]["words"] == 2 and result["frequent"]["utterances"] == 8
    assert result["rare"]["utterances"] == 2 and result["held_out"]["utterances"] == 2
    assert set(result["by_word"]) == {"yes", "no", "zero", "dog"}
    wrong = sum(row["wrong"] for row in result["by_word"].values())
    assert wrong == sum(sum(row["taken_for"].values()) for row in result["by_word"].values())
    assert result["cpu_seconds"] > 0 and result["frequent"]["macro_phone_error"] > 0


def test_a_model_of_words_is_scored_too(real, tmp_path):
    words = ["tokenizer.kind=words", "tokenizer.lexicon=null", "decoding.words=null"]
    result = train_commands(real, tmp_path / "run", settings=[*FAST, *words], show_progress=False)
    assert result["frequent"]["macro_phone_error"] is None
    assert 0 <= result["frequent"]["macro_word_error"] <= 100


def test_everyone_leaves_nobody_to_test(real, tmp_path):
    result = train_commands(real, tmp_path / "run", everyone=True, settings=FAST, show_progress=False)
    assert set(result) == {"cpu_seconds", "utterances"}
    assert (tmp_path / "run" / "model.safetensors").is_file()


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(InputError, match="commands is missing"):
        train_commands(tmp_path, tmp_path / "run")


@pytest.mark.parametrize("name", ["phones-commands", "phones-open", "csr-convnet2", "csr-3x-lstm"])
def test_the_networks_differ_in_themselves_alone(name):
    ours, config = load_config("phones-commands"), load_config(name)
    assert config.augment == ours.augment and config.tokenizer == ours.tokenizer
    assert config.decoding == ours.decoding and len(config.decoding.words) == 35


def test_an_open_network_sees_few_phones_at_once():
    assert build_model(load_config("phones-commands")).encoder.reach is None
    assert build_model(load_config("phones-open")).encoder.reach <= 36
