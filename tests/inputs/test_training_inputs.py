"""Bad runs, models and corpora. The numbers of entries are those of the review of bad and unusual input."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import soundfile
import tiny
import torch
from folders import fails as refuses
from runs import run, settings, weights

from asrlib.data.corpora import corpus_splits, find_corpus, load_corpora, load_corpus
from asrlib.errors import InputError
from asrlib.recognizer import Recognizer
from asrlib.training.processes import only_run_in
from asrlib.training.setup import initialize_weights


@pytest.fixture(autouse=True)
def one_thread():
    with tiny.one_thread():
        yield


@pytest.fixture
def cuts(corpus):
    return load_corpus(corpus, "train")


def constant(**training):
    """A configuration whose learning rate does not depend on the length of the run."""
    return settings(schedule="inverse_sqrt", **training)


def short_folder(folder, seconds):
    """Write a corpus of long texts, the recording of each ``seconds`` long."""
    folder.mkdir()
    rows = ["path\ttext\tsplit"]
    for number, length in enumerate(seconds):
        soundfile.write(folder / f"{number}.wav", 0.1 * np.ones(int(length * 8000)), 8000)
        rows.append(f"{number}.wav\tlow mid low low mid high\ttrain")
    (folder / "manifest.tsv").write_text("\n".join(rows) + "\n")
    return load_corpus(folder, "train")


# ------------------------------------------------------------------------------ entry 7


def test_entry_07_recordings_too_short_for_ctc_are_named_before_training(tmp_path):
    cuts = short_folder(tmp_path / "short", [0.1, 2.0, 0.2, 2.0])
    with pytest.warns(UserWarning, match=r"2 of 4 utterances have fewer .* \(0.wav, 2.wav\)"):
        run(constant(ctc_weight=1, max_steps=1), cuts, tmp_path / "out")
    with pytest.warns(UserWarning, match=r"5 of 5 .* \(0.wav, 1.wav, 2.wav, …\)"):
        cuts = short_folder(tmp_path / "all", [0.1] * 5)
        run(constant(ctc_weight=1, max_steps=1), cuts, tmp_path / "out2")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a transducer needs no frame per label
        run(constant(ctc_weight=0, max_steps=1), cuts, tmp_path / "out3")


# ------------------------------------------------------------------------------ entry 9


@pytest.mark.parametrize("name", ["valid", "Dev"])
def test_entry_09_a_dev_split_of_another_name_is_named(corpus, name):
    manifest = corpus / "manifest.tsv"
    manifest.write_text(manifest.read_text().replace("\tdev", f"\t{name}"))
    with pytest.warns(UserWarning, match=f"{corpus} has no split dev, .*; it has train, test, {name}:"):
        assert load_corpora([str(corpus)], "dev", optional=True) is None


def test_entry_09_a_corpus_without_any_dev_split_is_no_matter(corpus):
    manifest = corpus / "manifest.tsv"
    manifest.write_text(manifest.read_text().replace("\tdev", "\ttest"))
    assert load_corpora([str(corpus)], "dev", optional=True) is None


# ----------------------------------------------------------------------------- entry 12


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_entry_12_weights_that_are_not_finite_are_refused(model, value, fails, tmp_path):
    path = model / "model.safetensors"
    content = safetensors.torch.load_file(path)
    name = next(name for name in content if name.startswith("encoder.") and content[name].is_floating_point())
    content[name].view(-1)[0] = value
    safetensors.torch.save_file(content, path)
    refuses(f"{path}: the weights of {name} are not all finite", Recognizer.load, model)
    soundfile.write(tmp_path / "a.wav", tiny.tones("low"), tiny.RATE)
    fails("transcribe", model, tmp_path / "a.wav", naming=[path, name])
    refuses("are not all finite", initialize_weights, torch.nn.Linear(1, 1), model)


# ----------------------------------------------------------------------------- entry 14


def test_entry_14_a_run_resumes_on_its_own_corpus_only(corpus, cuts, tmp_path):
    dev = load_corpus(corpus, "dev")
    run(constant(max_steps=2, checkpoint_every=1), cuts, tmp_path / "out", dev)
    before = weights(tmp_path / "out")
    other = tiny.write_corpus(tmp_path / "other", 5, 2, 2)
    message = "out was started with other utterances or transcripts than those of this --corpus"
    longer = constant(max_steps=3, checkpoint_every=1)
    refuses(message, run, longer, load_corpus(other, "train"), tmp_path / "out", dev, resume=True)
    refuses(message, run, longer, cuts, tmp_path / "out", cuts, resume=True)
    refuses(message, run, longer, cuts, tmp_path / "out", None, resume=True)
    assert weights(tmp_path / "out") == before
    moved = Path(shutil.move(corpus, tmp_path / "moved"))
    run(longer, load_corpus(moved, "train"), tmp_path / "out", load_corpus(moved, "dev"), resume=True)


def test_entry_14_the_jump_of_the_one_cycle_rate_is_named(cuts, tmp_path):
    run(settings(max_steps=2, checkpoint_every=1), cuts, tmp_path / "out")
    with pytest.warns(UserWarning, match="training.max_steps was 2 and is now 3: .* one_cycle jumps"):
        run(settings(max_steps=3, checkpoint_every=1), cuts, tmp_path / "out", resume=True)
    run(constant(max_steps=2, checkpoint_every=1), cuts, tmp_path / "other")
    run(constant(max_steps=3, checkpoint_every=1), cuts, tmp_path / "other", resume=True)


# ------------------------------------------------------------- finds, and what was unclear


def test_find_resume_without_a_run_says_that_it_starts_one(cuts, tmp_path):
    with pytest.warns(UserWarning, match="out has no checkpoint to resume from: a new run starts there"):
        run(constant(max_steps=1), cuts, tmp_path / "out", resume=True)


def test_unclear_two_runs_in_one_folder(cuts, tmp_path):
    run(constant(max_steps=1), cuts, tmp_path / "out")
    before = weights(tmp_path / "out")
    with only_run_in(tmp_path / "out", main=True):
        message = "another process is training in .*out: wait until it has ended, or choose another --out"
        refuses(message, run, constant(max_steps=2), cuts, tmp_path / "out", resume=True)
        with only_run_in(tmp_path / "out", main=False):
            pass
    assert weights(tmp_path / "out") == before
    run(constant(max_steps=2), cuts, tmp_path / "out", resume=True)


def test_unclear_out_is_a_file(fails, config, corpus, tmp_path):
    (tmp_path / "file").write_text("mine")
    fails("train", config, "--corpus", corpus, "--out", tmp_path / "file", naming=["is a file: give --out"])
    assert (tmp_path / "file").read_text() == "mine"


def test_find_the_same_corpus_twice(fails, config, corpus, tmp_path):
    for twin in (corpus, f"{corpus}/", f"{corpus}/../{corpus.name}"):
        words = ["train", config, "--corpus", corpus, "--corpus", twin, "--out", tmp_path / "out"]
        fails(*words, naming=[corpus, "are the same: give it once"])
    refuses("digits and Digits are the same", load_corpora, ["digits", "Digits"], "train")
    assert not (tmp_path / "out").exists()


def test_find_an_empty_name(monkeypatch, corpus):
    monkeypatch.chdir(corpus)
    for call in (load_corpus, corpus_splits, find_corpus):
        refuses("a corpus cannot be called '': name one, or a folder", call, "")
    refuses(r"a corpus cannot be called 'a\\x00b'", load_corpus, "a\0b")
    assert len(list(load_corpus("."))) == 8
    refuses("the name of the model directory is empty", Recognizer.load, "")


@pytest.mark.parametrize("device", ["gpu", "", "cuda:99", "mps:7"])
def test_find_a_device_that_is_none(model, device):
    refuses(f"device '{device}' cannot be used: .*; use cpu", Recognizer.load, model, device=device)


def test_entry_05_a_split_with_an_empty_transcript_is_scored(model, corpus, asrlib, fails, tmp_path):
    manifest = corpus / "manifest.tsv"
    text = manifest.read_text()
    rows = [row.split("\t") for row in text.strip().split("\n")]
    first = next(row for row in rows if row[4] == "test")
    first[3] = "..."
    manifest.write_text("\n".join(map("\t".join, rows)) + "\n")
    code, out, _ = asrlib("test", model, "--corpus", corpus, "--output", tmp_path / "r.tsv")
    assert code == 0 and "insertions in" in out
    for row in rows:
        row[3] = "..." if row[4] == "test" else row[3]
    manifest.write_text("\n".join(map("\t".join, rows)) + "\n")
    words = ["test", model, "--corpus", corpus, "--output", tmp_path / "s.tsv"]
    fails(*words, naming=["'...', have no words to score against"])
    assert not (tmp_path / "s.tsv").exists()


def test_entry_05_no_utterances_at_all(model):
    from lhotse import CutSet

    from asrlib.evaluate import evaluate

    with pytest.raises(InputError, match="there are no utterances"):
        evaluate(Recognizer.load(model), CutSet.from_cuts([]))
