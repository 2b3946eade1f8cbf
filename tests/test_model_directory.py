"""A model directory, read and written: whole or not at all, alone or as an ensemble."""

import json
import os
import shutil

import pytest
import tiny
import torch

from asrlib.errors import InputError
from asrlib.model_directory import DEFAULT, shipped_model, shipped_models
from asrlib.recognizer import Recognizer
from asrlib.text.ngram import train_ngram

TEXT = "low high mid low"


@pytest.fixture(autouse=True)
def one_thread():
    with tiny.one_thread():
        yield


@pytest.fixture(scope="module")
def recognizer(tiny_model):
    return Recognizer.load(tiny_model)


@pytest.fixture
def copied(tiny_model, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "model")
    return tmp_path / "model"


def test_save_and_load(recognizer, tmp_path):
    recognizer.save(tmp_path / "deep" / "copy", {"dev_wer": 1.5})
    folder = tmp_path / "deep" / "copy"
    names = {path.name for path in folder.iterdir()}
    assert names == {"config.yml", "model.safetensors", "tokenizer.json", "metrics.json"}
    assert json.loads((folder / "metrics.json").read_text()) == {"dev_wer": 1.5}
    again = Recognizer.load(folder)
    for name, weight in recognizer.model.state_dict().items():
        assert torch.equal(weight, again.model.state_dict()[name]), name
    assert again.config == recognizer.config
    samples = tiny.tones(TEXT)
    assert again.transcribe(samples, tiny.RATE) == recognizer.transcribe(samples, tiny.RATE)


def test_half_the_bits_are_enough(recognizer, tmp_path):
    recognizer.save(tmp_path / "whole", {})
    recognizer.save(tmp_path / "half", {}, half=True)
    whole, half = ((tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "half"))
    assert half < 0.65 * whole
    again = Recognizer.load(tmp_path / "half")
    assert all(p.dtype == torch.float32 for p in again.model.parameters())
    assert again.transcribe(tiny.tones(TEXT), tiny.RATE).text == TEXT
    assert next(recognizer.model.parameters()).dtype == torch.float32


def test_a_failed_save_leaves_the_model_that_was_there(copied, recognizer, monkeypatch):
    before = {path.name: path.read_bytes() for path in copied.iterdir() if path.is_file()}
    with pytest.raises(TypeError):  # in the last of the four files
        recognizer.save(copied, {"dev_wer": object()}, half=True)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError) as caught:
        recognizer.save(copied, {}, half=True)
    assert caught.value.filename == str(copied)
    assert {path.name: path.read_bytes() for path in copied.iterdir() if path.is_file()} == before
    assert not list(copied.glob("*.partial"))


def break_shape(folder):
    text = (folder / "config.yml").read_text()
    (folder / "config.yml").write_text(text.replace("units: 16", "units: 17"))


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda f: (f / "model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda f: (f / "config.yml").unlink(), "config.yml is missing"),
        (lambda f: (f / "tokenizer.json").unlink(), "tokenizer.json is missing"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "tokenizer.json is not valid JSON"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), "model.safetensors is damaged"),
        (lambda f: (f / "model.safetensors").write_bytes(b"x" * 500), "model.safetensors is damaged"),
        (
            lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-100]),
            "model.safetensors is damaged",
        ),
        (break_shape, "model.safetensors does not fit .*config.yml"),
        (
            lambda f: (f / "config.yml").write_text(
                (f / "config.yml").read_text().replace("vocabulary: 4", "vocabulary: 5")
            ),
            "config.yml: key tokenizer.vocabulary is 5, but the tokenizer has 4 labels including blank",
        ),
        (shutil.rmtree, "there is no model directory"),
    ],
)
def test_a_model_directory_that_is_not_whole(copied, damage, message):
    damage(copied)
    with pytest.raises(InputError, match=message) as caught:
        Recognizer.load(copied)
    assert str(copied) in str(caught.value) and len(str(caught.value)) < 700


def test_without_a_directory_the_model_that_ships_is_used(copied, tmp_path, monkeypatch):
    monkeypatch.setenv("ASRLIB_DATA", str(tmp_path))
    with pytest.raises(InputError, match="there is no model directory .*digits-model"):
        Recognizer.load()
    copied.rename(tmp_path / "digits-model")
    assert Recognizer.load().transcribe(tiny.tones("mid"), tiny.RATE).text == "mid"


@pytest.mark.parametrize("name", shipped_models())
def test_every_model_of_the_kit_by_its_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Recognizer.load(name).transcribe(tiny.tones("mid"), tiny.RATE)
    (tmp_path / name).mkdir()  # a folder of that name comes first
    with pytest.raises(InputError, match="not a complete model directory"):
        Recognizer.load(name)


def test_every_model_of_the_kit_has_a_card_and_all_are_small():
    names = shipped_models()
    assert DEFAULT in names
    for name in names:
        card = (shipped_model(name) / "README.md").read_text(encoding="utf-8")
        assert "## What it was trained on" in card and "## What it cannot do" in card, name
        assert json.loads((shipped_model(name) / "metrics.json").read_text(encoding="utf-8")), name
    files = [file for name in names for file in shipped_model(name).rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 20_000_000


def test_an_unknown_name_is_told_the_names_there_are():
    assert {"digits-model", "lessons-model"} <= set(shipped_models())
    with pytest.raises(
        InputError, match="there is no model directory digit-model; .* digits-model, digits-streaming-model"
    ):
        Recognizer.load("digit-model")


def test_the_lessons_weights_by_name(copied, tmp_path, monkeypatch):
    monkeypatch.setenv("ASRLIB_DATA", str(tmp_path))
    copied.rename(tmp_path / "lessons-model")
    assert Recognizer.load("lessons-model").transcribe(tiny.tones("mid"), tiny.RATE).text == "mid"


# ---------------------------------------------------------------------------- ensembles


@pytest.fixture
def together(copied):
    """A recognizer with a member of other weights."""
    recognizer = Recognizer.load(copied)
    recognizer.config.decoding.head = "ctc"
    member = Recognizer.load(copied)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in member.model.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=generator)
    recognizer.members["other"] = member
    return recognizer


def test_members_are_saved_and_loaded(together, tmp_path):
    together.save(tmp_path / "m", {})
    again = Recognizer.load(tmp_path / "m")
    assert list(again.members) == ["other"]
    samples = tiny.tones(TEXT)
    assert again.transcribe(samples, tiny.RATE) == together.transcribe(samples, tiny.RATE)
    together.members.clear()
    together.save(tmp_path / "m", {})
    assert not Recognizer.load(tmp_path / "m").members


@pytest.mark.parametrize("had_members", [True, False])
def test_a_failed_save_leaves_all_networks_that_were_there(together, tmp_path, monkeypatch, had_members):
    folder, other = tmp_path / "m", together.members["other"]
    if not had_members:
        together.members.clear()
    together.save(folder, {})
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    full = OSError(28, "No space left on device")
    monkeypatch.setattr(type(together.config), "save", lambda config, path: (_ for _ in ()).throw(full))
    for members in ({}, {"other": other, "third": other}):
        together.members = members
        with pytest.raises(OSError, match="No space"):
            together.save(folder, {"later": 1})
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
        assert list(Recognizer.load(folder).members) == ["other"] * had_members


def test_members_that_do_not_fit(together, tmp_path):
    together.save(tmp_path / "m", {})
    member = tmp_path / "m" / "members" / "other"
    config = (member / "config.yml").read_text()
    (member / "config.yml").write_text(config.replace("hop_ms: 10.0", "hop_ms: 12.5"))
    with pytest.raises(InputError, match="other: its seconds per frame .* differ from its parent model's"):
        Recognizer.load(tmp_path / "m")
    (member / "config.yml").write_text(config.replace("tail_ms: 0.0", "tail_ms: 100"))
    with pytest.raises(InputError, match=r"other: its samples of silence after an utterance \(800\) differ"):
        Recognizer.load(tmp_path / "m")
    (member / "model.safetensors").unlink()
    with pytest.raises(InputError, match="other.model.safetensors is missing"):
        Recognizer.load(tmp_path / "m")


def test_a_language_model_is_kept_beside_the_weights(tiny_model, tmp_path):
    recognizer = Recognizer.load(tiny_model)
    recognizer.lm = train_ngram([[1, 2], [1, 1]], recognizer.tokenizer.labels, 2)
    recognizer.save(tmp_path / "model", {})
    assert Recognizer.load(tmp_path / "model").lm.log_prob([1, 2]) == pytest.approx(
        recognizer.lm.log_prob([1, 2]), abs=1e-4
    )
    (tmp_path / "model" / "lm.arpa").write_text("no language model")
    with pytest.raises(InputError, match="lm.arpa"):
        Recognizer.load(tmp_path / "model")
    recognizer.lm = None
    recognizer.save(tmp_path / "model", {})
    assert Recognizer.load(tmp_path / "model").lm is None
