"""The context experiment: every run tested once, continued where it stopped, and one table of all."""

import csv

import pytest

from asrlib.config.parse import load_config
from asrlib.errors import InputError
from asrlib.models.build import build_model
from asrlib.models.parameters import count_parameters
from asrlib.training import context_recipe as module
from asrlib.training.context_recipe import COLUMNS, MODELS, scores, train_contexts

FAST = ["training.max_steps=2", "training.batch_seconds=8", "training.checkpoint_every=1"]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(module, "RECORDING", 6.0)
    monkeypatch.setattr(module, "WINDOWS", (2.0, 6.0))
    monkeypatch.setattr(module, "PAST", 4.0)
    monkeypatch.setattr(module, "TAIL", 4.0)


def test_a_table_of_all_runs_that_continues_where_it_stopped(tmp_path, monkeypatch):
    keys = dict(contexts=(2.0, 6.0), seeds=(0,), recordings=(3, 2), settings=FAST, show_progress=False)
    train_contexts(tmp_path, ["conformer-whistles"], **keys)
    trained = []
    original = module.train
    monkeypatch.setattr(module, "train", lambda *a, **k: trained.append(a[2].name) or original(*a, **k))
    path = train_contexts(tmp_path, **keys)
    assert trained == ["contextnet-whistles-2-0", "contextnet-whistles-6-0"]
    with open(path, encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert tuple(rows[0]) == COLUMNS
    assert {(row["model"], row["trained_s"]) for row in rows} == {
        (m, c) for m in MODELS for c in ("2.0", "6.0")
    }
    assert len(rows) == 2 * 3 * (1 + len(module.WINDOWS) + len(module.PASTS))
    assert all(int(row["words"]) > 0 for row in rows if row["part"] != "names")
    intact = [row for row in rows if row["past"] == "intact"]
    assert {row["window_s"] for row in intact} == {"2.0", "6.0"}


@pytest.mark.parametrize("name", MODELS)
def test_both_networks_are_small(name):
    assert sum(count_parameters(build_model(load_config(name)))) < 300_000


def test_an_unknown_setting_is_one_line(tmp_path):
    with pytest.raises(InputError, match="no_such_key"):
        train_contexts(tmp_path, seeds=(0,), recordings=(1, 1), settings=["training.no_such_key=1"])


def test_insertions_belong_to_no_part():
    found = {score.part: score for score in scores([("ada ka ke", "bo ka ke ku"), ("ku", "")])}
    assert (found["all"].errors, found["all"].words) == (3, 4)
    assert (found["names"].errors, found["names"].words) == (1, 1)
    assert (found["words"].errors, found["words"].words) == (1, 3)
