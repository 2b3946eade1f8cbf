"""The LibriSpeech recipes: the paper's settings, the models that ship, and a start on a stand-in."""

import json
import threading
import warnings

import pytest
import tiny
from published import librispeech, publish

from asrlib.config.parse import load_config
from asrlib.data.corpora import CORPORA
from asrlib.training.schedules import learning_rate

pytestmark = pytest.mark.usefixtures("cache")

SIZES = {"s": 0.5, "m": 1.0, "l": 2.0}


@pytest.mark.parametrize("size", SIZES)
def test_a_recipe_trains_the_model_of_its_size(size):
    recipe, model = (load_config(f"{name}contextnet-{size}") for name in ("librispeech-", ""))
    for section in ("features", "augment", "tokenizer", "encoder", "prediction", "joint"):
        assert getattr(recipe, section) == getattr(model, section), section
    for key in (
        "schedule",
        "max_lr",
        "warmup_steps",
        "l2",
        "weight_noise",
        "weight_noise_start",
        "betas",
        "eps",
    ):
        assert getattr(recipe.training, key) == getattr(model.training, key), key


@pytest.mark.parametrize("size, alpha", SIZES.items())
def test_the_papers_settings(size, alpha):
    """arXiv 2005.03191, section 3.1: values written down here once more, on purpose."""
    recipe = load_config(f"librispeech-contextnet-{size}")
    masks, training = recipe.augment, recipe.training
    assert (masks.freq_masks, masks.freq_width, masks.time_masks, masks.time_fraction) == (1, 27, 10, 0.05)
    assert (recipe.features.mels, recipe.tokenizer.kind, recipe.tokenizer.vocabulary) == (
        80,
        "wordpieces",
        1000,
    )
    assert (recipe.encoder.alpha, recipe.encoder.variant, recipe.prediction.units) == (alpha, "paper", 640)
    assert training.l2 == 1e-6 and training.weight_noise > 0
    rates = [learning_rate(training, step, 1, recipe.prediction.units) for step in range(30_000)]
    assert max(rates) == 0.0025 == rates[14_999]
    # the same batch for all three, in the parts that memory allows
    assert training.batch_seconds * training.accumulate == 3200 and training.precision == "bf16"


def test_the_command_starts_on_a_tiny_librispeech(server, monkeypatch, tmp_path, capsys):  # noqa: F811
    """The public archives' own layout, one speaker each; fewer labels and smaller batches by --set."""
    from asrlib import cli

    archives = CORPORA["librispeech-960"].archives
    parts = [archive.url.split("/")[-1].removesuffix(".tar.gz") for archive in archives]
    contents = [librispeech(part, [number]) for number, part in enumerate(parts)]
    publish(server, monkeypatch, "librispeech-960", contents)
    out = tmp_path / "out"
    assert main(cli, monkeypatch, "data", "librispeech-960") == 0
    keys = (
        "tokenizer.vocabulary=14",
        "training.batch_seconds=1",
        "training.accumulate=1",
        "training.max_steps=2",
    )
    words = "train", "librispeech-contextnet-s", "--corpus", "librispeech-960", "--out", str(out)
    with tiny.one_thread():
        assert main(cli, monkeypatch, *words, *(word for key in keys for word in ("--set", key))) == 0
    assert f"model directory: {out}" in capsys.readouterr().out
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["step"] == 2 and metrics["dev_wer"] >= 0
    saved = load_config(out / "config.yml")
    assert saved.name == "librispeech-contextnet-s" and saved.training.precision == "bf16"


def main(cli, monkeypatch, *words):
    """The command in this process, which knows the stand-in's address; its exit code."""
    monkeypatch.setattr("sys.argv", ["asrlib", *words])
    for module, hook in ((warnings, "showwarning"), (threading, "excepthook")):
        monkeypatch.setattr(module, hook, getattr(module, hook))  # which it sets: put back afterwards
    with warnings.catch_warnings(), pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code or 0
