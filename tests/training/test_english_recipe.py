"""The recipe for read English on a stand-in for the folder of recordings: who is heard, and who is tested."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny
import yaml
from folders import noise_folder

from asrlib.data.corpora import load_corpus
from asrlib.errors import InputError
from asrlib.recognizer import Recognizer
from asrlib.text.ngram import load_arpa
from asrlib.training import english_recipe as module
from asrlib.training.english_recipe import DEV_READERS, TEST_READERS, choose_hours, train_english

HIDDEN = {*TEST_READERS, *DEV_READERS}


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")

    def write(name, utterances):
        noise_folder(folder / name, utterances, lambda text: 0.6 * len(text.split()), 8000)

    readers = [*TEST_READERS, *DEV_READERS, "ls7", "ls8"]
    write("mini-librispeech", [(name, "HE WENT AWAY AND CAME BACK") for name in readers])
    write("librispeech-251", [(name, "SHE HAD A DOG") for name in (*TEST_READERS, *DEV_READERS, "ls9")])
    write("ljspeech-385", [("lj", "In 1455."), *[("lj", f"Printing, {x} then.") for x in "abcdefgh"]])
    write("speechocean-train", [(f"s{n}", "WE CALL IT BEAR") for n in range(10)])
    write("an4", [(f"a{n}", "YES") for n in range(10)])
    write("synthetic", [(f"en+f{n}", "the tiger danced") for n in range(10)])
    return folder


@pytest.fixture
def small(monkeypatch, tmp_path, real):
    """A configuration that is trained in a moment, and synthetic sentences that need no rendering."""
    monkeypatch.setattr(
        module,
        "load_corpus",
        lambda name, split=None: load_corpus(real / "synthetic" if name == "sentences" else name, split),
    )
    monkeypatch.setattr(module, "LM_WEIGHTS", (0.0, 0.5))
    monkeypatch.setattr(module, "LABEL_BONUSES", (0.0,))
    monkeypatch.setattr(module, "BEAM", 2)
    monkeypatch.setattr(module, "SHORT_SECONDS", 2.7)
    settings = tiny.settings(max_steps=2)
    settings |= {"tokenizer": {"kind": "characters"}, "prediction": None, "joint": None}
    settings["training"] |= {"ctc_weight": 1.0, "checkpoint_every": 1, "batch_seconds": 20}
    path = tmp_path / "small.yml"
    path.write_text(yaml.safe_dump(settings))
    return str(path)


@pytest.fixture
def trainings(monkeypatch):
    """What each call of ``train`` was given."""
    calls, train = [], module.train

    def recorded(config, cuts, out, dev, **keys):
        people = {cut.supervisions[0].speaker for cut in cuts}
        lengths = [cut.duration for cut in cuts]
        calls.append({"out": out.name, "people": people, "longest": max(lengths), "dev": dev, **keys})
        return train(config, cuts, out, dev, **keys)

    monkeypatch.setattr(module, "train", recorded)
    return calls


def test_the_readers_of_dev_and_test_are_heard_in_no_stage(real, small, trainings, tmp_path):
    result = train_english(real, tmp_path, init=None, config=small, first_steps=1, show_progress=False)
    short, books = trainings
    assert not HIDDEN & (short["people"] | books["people"])
    assert {"ls7", "ls8", "ls9", "lj"} == books["people"]
    assert any(name.startswith("en+") for name in short["people"])
    assert short["longest"] <= 2.7 < books["longest"]
    assert {cut.supervisions[0].speaker for cut in books["dev"]} == {*DEV_READERS}
    assert [call["init"] for call in trainings] == [None, tmp_path / "short"]
    assert result["greedy"]["wer"]["length"] == len(TEST_READERS) * 6  # words of the four test readers
    assert json.loads((tmp_path / "tested.json").read_text()) == result
    kept = Recognizer.load(tmp_path / "model")
    assert kept.config.decoding.beam_width == 2 and kept.lm.order <= module.TRANSCRIPTS_ALONE[0]
    assert set(result) >= {"greedy", "beam", "beam, lm", "lm", "book_hours", "training_hours"}


def test_it_continues_where_it_stopped(real, small, trainings, tmp_path):
    keys = dict(init=None, config=small, first_steps=1, show_progress=False)
    first = train_english(real, tmp_path, **keys)
    again = train_english(real, tmp_path, **keys)
    assert [call["resume"] for call in trainings] == [False, False, True, True]
    assert {**first, "cpu_seconds": 0} == {**again, "cpu_seconds": 0}


def test_fewer_hours_are_a_part_of_more_and_of_all_readers(real):
    cuts = module.books_without(real, HIDDEN)
    whole = module._hours(cuts)
    half, most, everything = (choose_hours(cuts, whole * share) for share in (0.5, 0.8, 1.01))
    assert module._hours(half) <= whole / 2 and {c.id for c in half} < {c.id for c in most}
    assert {c.id for c in everything} == {c.id for c in cuts} == {c.id for c in choose_hours(cuts, None)}
    with pytest.raises(InputError, match="more than 0"):
        choose_hours(cuts, 0)


def test_figures_are_left_out_and_the_language_model_knows_the_transcripts(real, tiny_model, tmp_path):
    cuts = module.books_without(real, HIDDEN)
    assert not any("1455" in cut.supervisions[0].text for cut in cuts)
    recognizer = Recognizer.load(tiny_model)
    words = [cut for cut in load_corpus(tiny.write_corpus(tmp_path / "tones", 3, 2, 2))]
    lm = module.language_model(recognizer, words, tmp_path / "lm.arpa")
    assert lm.order <= module.TRANSCRIPTS_ALONE[0]
    assert load_arpa(tmp_path / "lm.arpa", lm.labels).table == lm.table


def test_the_language_model_reads_books_too(tiny_model, tmp_path):
    recognizer = Recognizer.load(tiny_model)
    words = list(load_corpus(tiny.write_corpus(tmp_path / "tones", 3, 2, 2)))
    said = words[0].supervisions[0].text.split()
    (tmp_path / "book.txt").write_text(50 * (" ".join(8 * said) + ". "))
    alone = module.language_model(recognizer, words, tmp_path / "alone.arpa")
    lm = module.language_model(recognizer, words, tmp_path / "lm.arpa", [tmp_path / "book.txt"])
    text = recognizer.tokenizer.encode(" ".join(8 * said))
    assert lm.log_prob(text) > alone.log_prob(text) and lm.order == module.WITH_BOOKS[0]


def test_the_weight_of_the_language_model_is_chosen_on_dev(monkeypatch, tiny_model, tiny_corpus):
    recognizer = Recognizer.load(tiny_model)
    recognizer.config.decoding.head = "ctc"
    recognizer.lm = SimpleNamespace(order=4)
    asked = []

    def scores(recognizer, cuts, decoding):
        recognizer.config.decoding = decoding
        asked.append((cuts, decoding.lm_weight, decoding.label_bonus, decoding.beam_width))
        right = (decoding.lm_weight, decoding.label_bonus) == (0.7, 1.4)
        return {"wer": {"percent": 10.0 if right else 20.0}}

    monkeypatch.setattr(module, "_scores", scores)
    found = module.score_english(recognizer, "dev", "test")
    assert found["lm"] == {"order": 4, "weight": 0.7, "bonus": 1.4, "dev_wer": 10.0}
    assert [call[0] for call in asked].count("test") == 3
    greedy, beam, fused = asked[-3:]
    assert greedy[3] == 0 and beam[1:] == (0.0, 0.0, module.BEAM)
    assert fused == ("test", 0.7, 1.4, module.BEAM)
    assert recognizer.config.decoding.lm_weight == 0.7


def test_a_folder_that_is_missing_is_one_line(real, small, tmp_path):
    shutil.copytree(real, tmp_path / "real", ignore=shutil.ignore_patterns("an4"))
    with pytest.raises(InputError, match="an4 is missing; this recipe needs it"):
        train_english(tmp_path / "real", tmp_path / "out", config=small, show_progress=False)
    with pytest.raises(InputError, match="no utterance of ls0"):
        module.readers(real, ("ls0",))


def test_the_command_starts_from_a_model_or_from_random_weights(monkeypatch, asrlib, tmp_path):
    given = []
    rates = {
        name: {"wer": {"percent": 1.0}, "cer": {"percent": 1.0}} for name in ("greedy", "beam", "beam, lm")
    }

    def trained(*arguments):
        given.append(arguments)
        return {"cpu_seconds": 1.0, "training_hours": 1.0, **rates}

    monkeypatch.setattr(module, "train_english", trained)
    recipe = ["recipe", "english", "--real", tmp_path, "--out", tmp_path / "out"]
    assert asrlib(*recipe)[0] == 0
    assert asrlib(*recipe, "--init", "none", "--config", "english-conformer", "--text", "a.txt")[0] == 0
    assert given[0][2:] == (None, "commands-model", "english", 400, [], [])
    assert given[1][2:] == (None, None, "english-conformer", 400, [], [Path("a.txt")])
