"""The recipe of sentences-model on a corpus of tones: seeds, both heads, and a run that continues."""

import csv
import json

import pytest
import tiny
import torch
import yaml

from asrlib.config.parse import load_config
from asrlib.data.corpora import load_corpus
from asrlib.errors import InputError
from asrlib.models.build import build_model
from asrlib.models.parameters import count_parameters
from asrlib.recognizer import Recognizer
from asrlib.training import sentence_recipe as module
from asrlib.training.sentence_recipe import COLUMNS, CONFIG, score_heads, train_sentence_seeds


@pytest.fixture
def tones(monkeypatch, tiny_corpus, tmp_path):
    """A configuration for the corpus of tones, which stands in for the synthetic sentences."""
    monkeypatch.setattr(module, "load_corpus", lambda name, split: load_corpus(tiny_corpus, split))
    monkeypatch.setattr(module, "sentence_text", lambda draw: " ".join(draw.choices([*tiny.TONES], k=5)))
    monkeypatch.setattr(module, "TEXTS", 20)
    path = tmp_path / "tones.yml"
    path.write_text(yaml.safe_dump(tiny.settings(max_steps=2)))
    return str(path)


def test_the_seed_that_is_best_on_dev_is_saved(tones, tmp_path, monkeypatch):
    wers = iter([50.0, 60.0, 70.0, 80.0, 55.0, 40.0, 20.0, 10.0])  # per seed: dev, dev, test, test
    counts = {"substitutions": 1, "deletions": 0, "insertions": 0, "words": 2}

    def scored(recognizer, cuts):
        return [{"head": head, **counts, "wer_percent": next(wers)} for head in module.HEADS]

    monkeypatch.setattr(module, "score_heads", scored)
    rows = train_sentence_seeds(tmp_path / "out", (3, 8), tones, None, 0, 0, show_progress=False)
    assert [row["seed"] for row in rows] == [3] * 4 + [8] * 4
    metrics = json.loads((tmp_path / "out" / "model" / "metrics.json").read_text())
    assert metrics["seed"] == 8 and [row["wer_percent"] for row in metrics["scores"]] == [55, 40, 20, 10]
    saved, best = (Recognizer.load(tmp_path / "out" / name) for name in ("model", "seed-8"))
    assert saved.config.training.seed == 8
    for a, b in zip(saved.model.parameters(), best.model.parameters(), strict=True):
        assert (a - b).abs().max() < 2e-3  # 16 bits
    with open(tmp_path / "out" / "seeds.tsv", encoding="utf-8") as file:
        table = list(csv.DictReader(file, delimiter="\t"))
    assert tuple(table[0]) == COLUMNS and [row["wer_percent"] for row in table[:2]] == ["50.0", "60.0"]


def test_a_tested_seed_is_kept_and_an_interrupted_one_continues(tones, tmp_path, monkeypatch):
    out = tmp_path / "out"
    arguments = out, (0,), tones, None, 1, 2, ["training.checkpoint_every=1"], False
    first = train_sentence_seeds(*arguments)
    assert {(row["split"], row["head"]) for row in first} == {
        (split, head) for split in ("dev", "test") for head in module.HEADS
    }
    trained = []
    original = module.train
    monkeypatch.setattr(module, "train", lambda *a: trained.append((a[2].name, a[4])) or original(*a))
    assert (train_sentence_seeds(*arguments), trained) == (first, [])
    (out / "seed-0" / "tested.json").unlink()
    assert train_sentence_seeds(*arguments) == first
    assert trained == [("ctc", True), ("seed-0", True)]


def test_each_stage_starts_from_the_one_before(tones, tiny_model, tmp_path, monkeypatch):
    learned = []
    original = module.train_prediction
    monkeypatch.setattr(
        module, "train_prediction", lambda model, *a, **k: learned.append(model) or original(model, *a, **k)
    )
    started = []
    train = module.train
    monkeypatch.setattr(module, "train", lambda *a: started.append(a[5]) or train(*a))
    train_sentence_seeds(tmp_path / "out", (0,), tones, tiny_model, 1, 2, show_progress=False)
    seed = tmp_path / "out" / "seed-0"
    assert started == [tiny_model, seed / "language"]
    ctc, between = (Recognizer.load(seed / name).model for name in ("ctc", "language"))
    assert torch.equal(ctc.ctc_head.weight, between.ctc_head.weight)
    assert not torch.equal(ctc.prediction.embedding.weight, between.prediction.embedding.weight)
    assert torch.equal(learned[0].joint.output.weight, between.joint.output.weight)


def test_the_texts_are_different_and_none_is_spoken_in_dev_or_test(tones, tiny_corpus):
    splits = {name: load_corpus(tiny_corpus, name) for name in ("dev", "test")}
    texts = module.grammar_texts(splits)
    assert len(set(texts)) == len(texts) == 20 and texts == module.grammar_texts(splits)
    spoken = load_corpus(tiny_corpus, "dev").subset(first=1)[0]
    spoken.supervisions[0].text = texts[3]
    assert texts[3] not in module.grammar_texts({"dev": [spoken], "test": []})


def test_both_heads_are_scored_and_the_search_stays_as_it_was(tiny_model, tiny_corpus):
    recognizer = Recognizer.load(tiny_model)
    recognizer.config.decoding.beam_width = 4
    before = recognizer.config.decoding
    rows = score_heads(recognizer, load_corpus(tiny_corpus, "test"))
    assert [row["head"] for row in rows] == ["transducer", "ctc"] and recognizer.config.decoding == before
    for row in rows:
        errors = row["substitutions"] + row["deletions"] + row["insertions"]
        assert row["wer_percent"] == pytest.approx(100 * errors / row["words"]) and row["words"] > 0


def test_the_network_fits_into_three_megabytes():
    trainable, others = count_parameters(build_model(load_config(CONFIG)))
    assert 2 * (trainable + others) < 3e6  # 16 bits


def test_no_seed_is_one_line(tmp_path):
    with pytest.raises(InputError, match="no seed"):
        train_sentence_seeds(tmp_path, ())
