"""The training loop: learning, keeping the best, ending, and going on."""

import json
import math
import random
import shutil
import threading

import pytest
import safetensors.torch
import tiny
import torch
import yaml
from runs import ONE_EACH, PLAIN, last_checkpoint, run, settings, train_command, weights

from asrlib.config.parse import parse_config
from asrlib.data.corpora import load_corpus
from asrlib.errors import InputError
from asrlib.evaluate import Evaluation, evaluate
from asrlib.metrics import ErrorRate
from asrlib.recognizer import Recognizer
from asrlib.training import loop
from asrlib.training.loop import MAX_BAD_STEPS


def test_a_few_utterances_are_learnt_by_heart(cuts, tmp_path):
    config = settings(
        PLAIN, max_steps=120, warmup_steps=10, max_lr=0.02, batch_seconds=10, log_every=10, evaluate_every=120
    )
    recognizer = run(config, cuts, tmp_path / "out")
    history = json.loads((tmp_path / "out" / "metrics.json").read_text())["history"]
    losses = [point["loss"] for point in history]
    assert [point["step"] for point in history] == list(range(10, 121, 10))
    assert losses[-1] < 0.1 * losses[0]
    assert evaluate(recognizer, cuts).words.rate == 0


def test_a_pure_ctc_model_trains_too(cuts, tmp_path):
    content = tiny.settings(ctc_weight=1.0, max_steps=120, max_lr=0.02, batch_seconds=10)
    content |= {"augment": PLAIN, "prediction": None, "joint": None}
    recognizer = run(parse_config(yaml.safe_dump(content), "ctc.yml"), cuts, tmp_path)
    words, _, rows = evaluate(recognizer, cuts)
    assert words.rate < 20 and recognizer.model.joint is None
    assert all(found.score <= 0 and found.times == sorted(found.times) for *_, found in rows)


def test_a_corpus_of_one_utterance(cuts, tmp_path):
    run(settings(max_steps=2), cuts.subset(first=1), tmp_path)
    assert Recognizer.load(tmp_path)


def test_the_callers_configuration_stays_as_it_was(cuts, tmp_path):
    config = settings(max_steps=1)
    before = config.to_dict()
    recognizer = run(config, cuts, tmp_path)
    assert config.to_dict() == before
    assert recognizer.config.tokenizer.vocabulary == 4


def test_the_same_seed_gives_the_same_weights(cuts, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        torch.rand(3), random.random()  # must not matter
        run(settings(max_steps=3, seed=seed), cuts, tmp_path / name)
    assert weights(tmp_path / "a") == weights(tmp_path / "b") != weights(tmp_path / "c")


def test_evaluating_and_saving_do_not_disturb_the_training(cuts, dev, tmp_path):
    run(settings(max_steps=6, evaluate_every=100, checkpoint_every=100), cuts, tmp_path / "seldom", dev)
    run(settings(max_steps=6, evaluate_every=1, checkpoint_every=1), cuts, tmp_path / "often", dev)
    for name in ("model", "average"):
        seldom, often = (
            (last_checkpoint(tmp_path / run) / f"{name}.safetensors").read_bytes()
            for run in ("seldom", "often")
        )
        assert seldom == often


@ONE_EACH
def test_epochs_are_counted_in_batches(cuts, tmp_path):
    """Each of six utterances is a batch of its own: two epochs are six steps of two batches."""
    config = settings(epochs=2, max_steps=None, batch_seconds=0.1, accumulate=2, log_every=1)
    run(config, cuts, tmp_path)
    progress = json.loads((last_checkpoint(tmp_path) / "progress.json").read_text())
    assert (progress["step"], progress["epoch"], progress["batch"]) == (6, 1, 6)


# ---- what is kept ----------------------------------------------------------------------------------------


def test_the_best_weights_by_dev_wer_are_kept(cuts, dev, tmp_path, monkeypatch):
    rates, kept = iter([50.0, 20.0, 20.0, 30.0]), []

    def pretend(recognizer, given):
        assert given is dev
        kept.append({name: value.clone() for name, value in recognizer.model.state_dict().items()})
        return Evaluation(ErrorRate(int(next(rates)), 0, 0, 100), ErrorRate(7, 0, 0, 100), [])

    monkeypatch.setattr(loop, "evaluate", pretend)
    recognizer = run(settings(max_steps=8, evaluate_every=2), cuts, tmp_path, dev)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["dev_wer"], metrics["dev_cer"], metrics["step"]) == (20.0, 7.0, 6)
    third, last = kept[2], kept[3]
    for name, value in recognizer.model.state_dict().items():
        assert torch.equal(value, third[name]), name
    assert not torch.equal(third["joint.output.weight"], last["joint.output.weight"])


def test_what_is_kept_is_the_average(cuts, tmp_path):
    run(settings(max_steps=4, average=0.9), cuts, tmp_path)
    average = safetensors.torch.load_file(last_checkpoint(tmp_path) / "average.safetensors")
    kept = safetensors.torch.load_file(tmp_path / "model.safetensors")
    own = safetensors.torch.load_file(last_checkpoint(tmp_path) / "model.safetensors")
    assert all(torch.equal(average[name], kept[name]) for name in kept)
    assert not torch.equal(own["joint.output.weight"], kept["joint.output.weight"])


# ---- runs that end, and runs that go on ------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:step .*skipped")
def test_many_bad_losses_end_the_run_and_leave_its_checkpoint(cuts, tmp_path, broken_losses):
    out = tmp_path / "out"
    broken_losses(set(range(6, 100)), math.nan)
    with pytest.raises(InputError, match=rf"{MAX_BAD_STEPS}th time in a row.*training.max_lr \(now 0.01\)"):
        run(settings(max_steps=50, checkpoint_every=4), cuts, out)
    # steps 6, 7, 8, 9 were skipped, 10 was one too many: the checkpoint of step 8 was written in between
    assert last_checkpoint(out).name == "step-00000008"
    state = safetensors.torch.load_file(last_checkpoint(out) / "model.safetensors")
    assert all(value.isfinite().all() for value in state.values())


@pytest.mark.filterwarnings("ignore:step .*skipped")
def test_some_bad_losses_now_and_then_do_not_end_the_run(cuts, tmp_path, broken_losses):
    broken_losses({0, 1, 2, 3, 5, 6, 7, 8}, math.nan)
    run(settings(max_steps=12), cuts, tmp_path)
    assert last_checkpoint(tmp_path).name == "step-00000012"


def test_a_used_directory_is_refused(cuts, tmp_path):
    run(settings(max_steps=2), cuts, tmp_path)
    before = weights(tmp_path)
    with pytest.raises(InputError, match=f"{tmp_path} already holds a run.*--resume"):
        run(settings(max_steps=2), cuts, tmp_path)
    shutil.rmtree(tmp_path / "checkpoints")  # somebody's model, without what is needed to train on
    with pytest.raises(InputError, match=f"{tmp_path} already holds a run"):
        run(settings(max_steps=2), cuts, tmp_path)
    assert weights(tmp_path) == before


def test_a_run_may_be_made_longer(cuts, tmp_path):
    keys = {"schedule": "transformer"}
    run(settings(max_steps=3, **keys), cuts, tmp_path / "a")
    run(settings(max_steps=6, **keys), cuts, tmp_path / "a", resume=True)
    run(settings(max_steps=6, **keys), cuts, tmp_path / "b")
    assert last_checkpoint(tmp_path / "a").name == "step-00000006"
    assert weights(tmp_path / "a") == weights(tmp_path / "b")


def test_resuming_a_finished_run_sweeps_up_and_changes_nothing(cuts, dev, tmp_path):
    run(settings(max_steps=2), cuts, tmp_path, dev)
    (tmp_path / "checkpoints" / "step-00000009.partial").mkdir()
    before = weights(tmp_path)
    run(settings(max_steps=2), cuts, tmp_path, dev, resume=True)
    assert weights(tmp_path) == before
    assert last_checkpoint(tmp_path).name == "step-00000002"


def test_to_resume_what_never_started_is_to_start(cuts, tmp_path):
    with pytest.warns(UserWarning, match="no checkpoint to resume from: a new run starts"):
        run(settings(max_steps=2), cuts, tmp_path / "a", resume=True)
    run(settings(max_steps=2), cuts, tmp_path / "b")
    assert weights(tmp_path / "a") == weights(tmp_path / "b")


# ---- threads that read ahead -----------------------------------------------------------------------------


def test_threads_that_read_ahead_change_nothing(cuts, dev, tmp_path):
    """Same weights, bit for bit, and a run may be resumed with another number of them."""
    keys = dict(max_steps=6, batch_seconds=3, checkpoint_every=3, schedule="inverse_sqrt")
    run(settings(**keys), cuts, tmp_path / "none", dev)
    run(settings(workers=3, **keys), cuts, tmp_path / "three", dev)
    run(settings(workers=2, **keys | {"max_steps": 3}), cuts, tmp_path / "parts", dev)
    run(settings(workers=1, **keys), cuts, tmp_path / "parts", dev, resume=True)
    assert weights(tmp_path / "none") == weights(tmp_path / "three") == weights(tmp_path / "parts")
    assert not [thread for thread in threading.enumerate() if "read-ahead" in thread.name]


def test_what_goes_wrong_in_a_thread_is_the_same_one_line(tiny_corpus, tmp_path):
    shutil.copytree(tiny_corpus, tmp_path / "tones")
    cuts = load_corpus(tmp_path / "tones", "train").subset(first=6)
    (tmp_path / "tones" / "train-4.wav").unlink()
    said = []
    for workers in (0, 2):
        with pytest.raises(InputError, match="train-4.wav") as error:
            run(settings(max_steps=9, workers=workers), cuts, tmp_path / f"out{workers}")
        said.append(str(error.value))
    assert said[0] == said[1] and "\n" not in said[0]
    assert not [thread for thread in threading.enumerate() if "read-ahead" in thread.name]


@pytest.mark.processes
def test_a_command_with_threads_ends_by_itself_in_success_and_in_error(tmp_path):
    corpus = tiny.write_corpus(tmp_path / "tones", 8, 1, 1)
    config = tmp_path / "tiny.yml"
    config.write_text(yaml.safe_dump(tiny.settings(workers=2, max_steps=2, evaluate_every=99)))
    good = train_command(config, corpus, tmp_path / "good")
    assert good.communicate(timeout=300)[1] == "" and good.returncode == 0
    (corpus / "train-3.wav").write_bytes(b"no sound")
    bad = train_command(config, corpus, tmp_path / "bad", "--set", "training.max_steps=20")
    (line,) = bad.communicate(timeout=300)[1].splitlines()
    assert bad.returncode == 2 and "train-3.wav" in line
