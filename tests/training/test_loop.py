"""asrlib.training.loop: learning, keeping the best, and going on after whatever happened."""

import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
import safetensors.torch
import tiny
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from asrlib.config.schema import build_model, parse_config
from asrlib.data.audio_cache import AudioCache
from asrlib.data.batches import collate, encode_corpus
from asrlib.data.corpora import load_corpus
from asrlib.errors import InputError
from asrlib.metrics import ErrorRate
from asrlib.recognizer import Recognizer
from asrlib.text.tokenizers import load_tokenizer, train_tokenizer
from asrlib.training import loop as module
from asrlib.training.loop import MAX_BAD_STEPS, WeightAverage, train
from asrlib.training.loop import test as run_test

# one utterance a batch is meant here
ONE_EACH = pytest.mark.filterwarnings("ignore:We have exceeded the max_duration")
PLAIN = {"time_masks": 0, "freq_masks": 0}


@pytest.fixture(autouse=True)
def one_thread():
    with tiny.one_thread():
        yield


@pytest.fixture(scope="module")
def cuts(tiny_corpus):
    """Six utterances."""
    return load_corpus(tiny_corpus, "train").subset(first=6)


@pytest.fixture(scope="module")
def dev(tiny_corpus):
    return load_corpus(tiny_corpus, "dev")


def settings(augment=None, **training):
    content = tiny.settings(**training)
    return parse_config(yaml.safe_dump(content | ({"augment": augment} if augment else {})), "tiny.yml")


def run(config, cuts, out, dev=None, **keywords):
    return train(config, cuts, out, dev, show_progress=False, **keywords)


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def last_checkpoint(out):
    (folder,) = (out / "checkpoints").iterdir()
    return folder


# ------------------------------------------------------------------------------------------ learning


def test_a_few_utterances_are_learnt_by_heart(cuts, tmp_path):
    config = settings(
        PLAIN, max_steps=120, warmup_steps=10, max_lr=0.02, batch_seconds=10, log_every=10, evaluate_every=120
    )
    recognizer = run(config, cuts, tmp_path / "out")
    history = json.loads((tmp_path / "out" / "metrics.json").read_text())["history"]
    losses = [point["loss"] for point in history]
    assert [point["step"] for point in history] == list(range(10, 121, 10))
    assert losses[-1] < 0.1 * losses[0]
    assert run_test(recognizer, cuts)[0].rate == 0


def test_a_pure_ctc_model_trains_too(cuts, tmp_path):
    content = tiny.settings(ctc_weight=1.0, max_steps=120, max_lr=0.02, batch_seconds=10)
    content |= {"augment": PLAIN, "prediction": None, "joint": None}
    recognizer = run(parse_config(yaml.safe_dump(content), "ctc.yml"), cuts, tmp_path)
    words, _, rows = run_test(recognizer, cuts)
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


def test_dropout_and_weight_noise_repeat_as_well(cuts, tmp_path, monkeypatch):
    content = tiny.settings(max_steps=3, weight_noise=0.05, weight_noise_start=1)
    content["prediction"] = content["prediction"] | {"dropout": 0.3}
    config = parse_config(yaml.safe_dump(content), "noisy.yml")
    run(config, cuts, tmp_path / "a")
    monkeypatch.setattr(module._Run, "_log", lambda *_: torch.rand(3))  # must not matter either
    run(config, cuts, tmp_path / "b")
    run(settings(max_steps=3), cuts, tmp_path / "plain")
    assert weights(tmp_path / "a") == weights(tmp_path / "b") != weights(tmp_path / "plain")


def test_weight_noise_is_taken_back_before_the_update(cuts, tmp_path):
    config = settings(max_steps=2, weight_noise=0.1, max_lr=1e-12, average=0.0)
    recognizer = run(config, cuts, tmp_path)
    torch.manual_seed(config.training.seed)
    untrained = dict(build_model(config, 4).named_parameters())
    for name, value in recognizer.model.named_parameters():
        assert torch.allclose(value, untrained[name], atol=1e-6), name


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


@ONE_EACH
def test_accumulated_gradients_are_the_mean_over_the_batches(cuts, tmp_path, monkeypatch):
    """Two batches by hand: gradients added, halved, clipped, one step of Adam."""
    keys = {"batch_seconds": 0.1, "accumulate": 2, "average": 0.0, "clip_norm": 1.0}
    config = settings(PLAIN, max_steps=1, schedule="transformer", max_lr=0.01, warmup_steps=1, **keys)
    used = []
    original = module._Run.step

    def watch(self, batch, *rest):
        before = [p.detach().clone() for p in self.model.parameters()]
        result = original(self, batch, *rest)
        moved = any(not torch.equal(p, q) for p, q in zip(self.model.parameters(), before, strict=True))
        used.append((batch, moved))
        return result

    monkeypatch.setattr(module._Run, "step", watch)
    recognizer = run(config, cuts, tmp_path)
    assert [(len(batch), moved) for batch, moved in used] == [(1, False), (1, True)]

    torch.manual_seed(config.training.seed)
    model = build_model(config, 4).train()
    labels, audio = encode_corpus(cuts, recognizer.tokenizer), AudioCache(tiny.RATE)
    for batch_cuts, _ in used:
        batch = collate(batch_cuts, audio, labels)
        features, counts = recognizer.front_end(batch.waveforms, batch.lengths)
        (model(features, counts, batch.targets, batch.target_lengths) / 2).backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    assert norm > 1
    rate = min(0.01, 16**-0.5)
    torch.optim.Adam(model.parameters(), lr=rate, betas=(0.9, 0.98), eps=1e-9, weight_decay=1e-6).step()
    for name, value in recognizer.model.state_dict().items():
        assert torch.allclose(value, model.state_dict()[name], atol=1e-4), name


def test_sixteen_bits(cuts, dev, tmp_path):
    recognizer = run(settings(PLAIN, max_steps=2, precision="bf16"), cuts, tmp_path / "half", dev)
    assert all(p.dtype == torch.float32 for p in recognizer.model.parameters())
    run(settings(PLAIN, max_steps=2), cuts, tmp_path / "whole", dev)
    half, whole = (
        safetensors.torch.load_file(tmp_path / name / "model.safetensors") for name in ("half", "whole")
    )
    name = "joint.output.weight"
    assert not torch.equal(half[name], whole[name])
    assert torch.allclose(half[name], whole[name], atol=0.05)


def test_the_learning_rate_follows_the_schedule(cuts, tmp_path):
    run(settings(max_steps=6, warmup_steps=3, max_lr=0.03, log_every=1), cuts, tmp_path)
    history = json.loads((tmp_path / "metrics.json").read_text())["history"]
    rates = [point["lr"] for point in history]
    falling = [0.015 * (1 + math.cos(math.pi * n / 3)) for n in range(3)]
    assert rates == pytest.approx([0.01, 0.02, 0.03, *falling])


def test_the_average_follows_its_formula():
    model = torch.nn.BatchNorm1d(1)
    average = WeightAverage(model, 0.9)
    expected = 1.0
    for step, value in enumerate([2.0, 3.0, 5.0]):
        with torch.no_grad():
            model.weight.fill_(value)
        model.num_batches_tracked.fill_(step + 7)
        average.update(model, step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    assert average.weights["weight"].item() == pytest.approx(expected)
    assert average.weights["num_batches_tracked"].item() == 9
    with average.applied(model):
        assert model.weight.item() == pytest.approx(expected)
    assert model.weight.item() == 5.0


# ------------------------------------------------------------------------------------------ what is kept


def test_the_best_weights_by_dev_wer_are_kept(cuts, dev, tmp_path, monkeypatch):
    rates, kept = iter([50.0, 20.0, 20.0, 30.0]), []

    def pretend(recognizer, given):
        assert given is dev
        kept.append({name: value.clone() for name, value in recognizer.model.state_dict().items()})
        return ErrorRate(int(next(rates)), 0, 0, 100), ErrorRate(7, 0, 0, 100), []

    monkeypatch.setattr(module, "test", pretend)
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


def test_tensorboard_files(cuts, dev, tmp_path):
    run(settings(max_steps=4, log_every=1, evaluate_every=2), cuts, tmp_path, dev)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {"loss", "lr", "utterances_per_second", "dev_wer"}
    history = json.loads((last_checkpoint(tmp_path) / "progress.json").read_text())["history"]
    losses = [(e.step, e.value) for e in events.Scalars("loss")]
    assert losses == [(p["step"], pytest.approx(p["loss"])) for p in history if "loss" in p]
    assert [e.step for e in events.Scalars("dev_wer")] == [2, 4]


def test_the_bar_tells_loss_rate_and_speed_on_standard_output(cuts, tmp_path, capfd):
    train(settings(max_steps=2, log_every=1), cuts, tmp_path, show_progress=True)
    out, err = capfd.readouterr()
    assert err == "" and "2/2" in out
    assert all(word in out for word in ("loss=", "lr=", "utt_s="))


# ------------------------------------------------------------------------------------ starting from a model


def test_start_from_a_model(tiny_model, tiny_corpus, tmp_path):
    """A vanishing learning rate keeps what was taken over: the model is as good as the one it came from."""
    cuts = load_corpus(tiny_corpus, "train").subset(first=6)
    config = settings(PLAIN, max_steps=1, max_lr=1e-9, average=0.0)
    recognizer = run(config, cuts, tmp_path / "out", init=tiny_model)
    assert run_test(recognizer, load_corpus(tiny_corpus, "test"))[0].rate == 0


def test_start_from_a_model_of_another_vocabulary(tiny_model, cuts, tmp_path):
    """What does not fit, here the layers that know labels, starts anew."""
    content = tiny.settings(max_steps=1, max_lr=1e-9, average=0.0)
    content["tokenizer"] = {"kind": "characters"}
    recognizer = run(parse_config(yaml.safe_dump(content), "c.yml"), cuts, tmp_path / "out", init=tiny_model)
    assert recognizer.tokenizer.kind == "characters"
    old = safetensors.torch.load_file(tiny_model / "model.safetensors")
    new = recognizer.model.state_dict()
    assert torch.allclose(new["joint.encoder_linear.weight"], old["joint.encoder_linear.weight"], atol=1e-6)
    assert new["joint.output.weight"].shape != old["joint.output.weight"].shape


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda f: (f / "model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda f: (f / "model.safetensors").write_bytes(b"x" * 100), "model.safetensors is damaged"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "tokenizer.json is not a tokenizer file"),
        (
            lambda f: safetensors.torch.save_file({"x": torch.zeros(1)}, f / "model.safetensors"),
            "model.safetensors has no encoder weights",
        ),
    ],
)
def test_a_model_to_start_from_that_is_not_whole(tiny_model, cuts, tmp_path, damage, message):
    shutil.copytree(tiny_model, tmp_path / "init")
    damage(tmp_path / "init")
    with pytest.raises(InputError, match=message):
        run(settings(max_steps=1), cuts, tmp_path / "out", init=tmp_path / "init")
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------------------------------ tokenizers


def with_tokenizer(**tokenizer):
    content = tiny.settings(max_steps=1) | {"tokenizer": tokenizer}
    return parse_config(yaml.safe_dump(content), "tiny.yml")


def test_a_tokenizer_may_come_from_a_file(cuts, tmp_path):
    (tmp_path / "words.txt").write_text("mid\nhigh\nlow\nvery\n")
    config = with_tokenizer(kind="words", file=str(tmp_path / "words.txt"), vocabulary=5)
    recognizer = run(config, cuts, tmp_path / "out")
    (tmp_path / "words.txt").unlink()  # it is in the model directory from now on
    assert Recognizer.load(tmp_path / "out").tokenizer.labels == ["mid", "high", "low", "very"]
    assert recognizer.model.joint.output.out_features == 5


def test_word_pieces_are_trained_on_the_corpus(cuts, tmp_path):
    config = with_tokenizer(
        kind="wordpieces", vocabulary=16, model_type="bpe", max_piece_length=3, reserved=["<noise>"]
    )
    tokenizer = run(config, cuts, tmp_path / "out").tokenizer
    assert (tokenizer.labels[:2], tokenizer.vocabulary) == (["<unk>", "<noise>"], 16)
    assert max(len(label) for label in tokenizer.labels[2:]) <= 3


def test_a_vocabulary_that_disagrees_with_the_tokenizer_is_named(cuts, tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("mid\nhigh\nlow\n")
    message = "key tokenizer.vocabulary is 7, but the tokenizer has 4 labels with blank"
    with pytest.raises(InputError, match=f"^{path}: {message}$"):
        run(with_tokenizer(kind="words", file=str(path), vocabulary=7), cuts, tmp_path / "out")
    train_tokenizer("wordpieces", ["a bad cab", "a cab", "bad"], 8).save(tmp_path)
    message = "key tokenizer.vocabulary is 9, but the tokenizer has 8 labels with blank"
    with pytest.raises(InputError, match=f"^tokenizer of {tmp_path}: {message}$"):
        run(with_tokenizer(kind="wordpieces", vocabulary=9), cuts, tmp_path / "out", init=tmp_path)
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------------------------------ bad data


@pytest.mark.parametrize("text", ["low loud", "..."])
def test_a_transcript_that_cannot_be_used_is_found_before_anything_is_written(
    tiny_model, tiny_corpus, tmp_path, text
):
    cuts = load_corpus(tiny_corpus, "train").subset(first=4).to_eager()
    cuts[2].supervisions[0].text = text
    with pytest.raises(InputError, match=f"utterance {cuts[2].id}: "):
        run(settings(max_steps=1), cuts, tmp_path / "out", init=tiny_model)
    assert not (tmp_path / "out").exists()


def test_a_dev_transcript_without_words_is_found_before_anything_is_written(cuts, tiny_corpus, tmp_path):
    dev = load_corpus(tiny_corpus, "dev").to_eager()
    dev[1].supervisions[0].text = "?"
    with pytest.raises(InputError, match=f"utterance {dev[1].id}: its transcript '\\?' has no words"):
        run(settings(max_steps=1), cuts, tmp_path / "out", dev)
    assert not (tmp_path / "out").exists()


def test_a_dev_word_that_was_never_trained_is_only_an_error_of_the_model(cuts, tiny_corpus, tmp_path):
    dev = load_corpus(tiny_corpus, "dev").to_eager()
    dev[1].supervisions[0].text = "unheard of"
    run(settings(max_steps=1), cuts, tmp_path / "out", dev)
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["dev_wer"] > 0


# --------------------------------------------------------------------------------- losses that are no numbers


@pytest.fixture
def broken_losses(monkeypatch):
    """``broken_losses(numbers, value)``: the loss of these batches is multiplied by ``value``."""

    def install(numbers, value):
        count = iter(range(10**6))
        original = module.build_model

        def build(*arguments):
            model = original(*arguments)
            forward = model.forward
            model.forward = lambda *a, **k: forward(*a, **k) * (value if next(count) in numbers else 1.0)
            return model

        monkeypatch.setattr(module, "build_model", build)

    return install


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_skipped(cuts, tmp_path, broken_losses, value):
    broken_losses({1}, value)
    config = settings(max_steps=4, log_every=1, batch_seconds=10)
    with pytest.warns(UserWarning, match=rf"step 1: the loss is {value}; step skipped \(utterances .*train-"):
        recognizer = run(config, cuts, tmp_path)
    progress = json.loads((last_checkpoint(tmp_path) / "progress.json").read_text())
    assert progress["step"] == 4
    assert [point["step"] for point in progress["history"]] == [1, 3, 4]
    assert all(math.isfinite(point["loss"]) for point in progress["history"])
    assert all(value.isfinite().all() for value in recognizer.model.state_dict().values())


@pytest.mark.parametrize("ctc_weight", [0.0, 0.5, 1.0])
def test_sound_that_is_no_number_is_skipped(cuts, tmp_path, monkeypatch, ctc_weight):
    """What comes into the network, not what comes out: it meets the losses' own checks."""
    calls, original = iter(range(100)), module.augmented_features

    def features(*arguments):
        found, counts = original(*arguments)
        return found * (math.inf if next(calls) == 1 else 1), counts

    monkeypatch.setattr(module, "augmented_features", features)
    with pytest.warns(UserWarning, match="step 1: the loss is nan; step skipped"):
        recognizer = run(settings(max_steps=4, ctc_weight=ctc_weight), cuts, tmp_path)
    assert all(value.isfinite().all() for value in recognizer.model.state_dict().values())


def test_a_skipped_step_changes_nothing(cuts, tmp_path, broken_losses):
    """Neither weights nor the running statistics of batch norm, which the forward pass has moved."""
    config = settings(max_steps=1, average=0.0, checkpoint_every=1, evaluate_every=1)
    broken_losses({0}, math.nan)
    with pytest.warns(UserWarning, match="step skipped"):
        recognizer = run(config, cuts, tmp_path)
    torch.manual_seed(config.training.seed)
    untrained = build_model(config, 4).state_dict()
    for name, value in recognizer.model.state_dict().items():
        assert torch.equal(value, untrained[name]), name


def test_a_gradient_that_is_no_number_is_skipped(cuts, tmp_path, monkeypatch):
    original = module.build_model

    def build(*arguments):
        model = original(*arguments)
        calls = iter(range(100))
        model.joint.output.bias.register_hook(lambda g: g * (math.inf if next(calls) == 1 else 1))
        return model

    monkeypatch.setattr(module, "build_model", build)
    with pytest.warns(UserWarning, match="step 1: the gradient's norm is (inf|nan); step skipped"):
        recognizer = run(settings(max_steps=4), cuts, tmp_path)
    assert all(value.isfinite().all() for value in recognizer.model.state_dict().values())


@ONE_EACH
def test_within_an_accumulated_step_only_the_bad_batch_is_left_out(cuts, tmp_path, broken_losses):
    broken_losses({0}, math.nan)
    config = settings(max_steps=1, accumulate=2, batch_seconds=0.1, average=0.0)
    with pytest.warns(UserWarning, match="step skipped"):
        recognizer = run(config, cuts, tmp_path)
    torch.manual_seed(config.training.seed)
    untrained = build_model(config, 4).state_dict()
    assert not torch.equal(recognizer.model.state_dict()["joint.output.bias"], untrained["joint.output.bias"])


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


# ------------------------------------------------------------------------------------------ used directories


def test_a_used_directory_is_refused(cuts, tmp_path):
    run(settings(max_steps=2), cuts, tmp_path)
    before = weights(tmp_path)
    with pytest.raises(InputError, match=f"{tmp_path} already holds a run.*--resume"):
        run(settings(max_steps=2), cuts, tmp_path)
    shutil.rmtree(tmp_path / "checkpoints")  # somebody's model, without what is needed to train on
    with pytest.raises(InputError, match=f"{tmp_path} already holds a run"):
        run(settings(max_steps=2), cuts, tmp_path)
    assert weights(tmp_path) == before


@pytest.mark.parametrize(
    "change, key",
    [
        ({"training": {"max_lr": 0.5}}, "training.max_lr = 0.01, and now it is 0.5"),
        ({"training": {"accumulate": 2}}, "training.accumulate = 1, and now it is 2"),
        ({"joint": {"dim": 25}}, "joint.dim = 24, and now it is 25"),
        ({"augment": {"speed": None}}, "augment.speed"),
        ({"encoder": {"blocks": [{"filters": 24, "layers": 1}]}}, "encoder.blocks"),
        (
            {"prediction": None, "joint": None, "training": {"ctc_weight": 1.0}},
            "prediction|training.ctc_weight",
        ),
    ],
)
def test_resuming_with_another_configuration_is_refused(cuts, tmp_path, change, key):
    run(settings(max_steps=2), cuts, tmp_path)
    content = tiny.settings(max_steps=4)
    for section, values in change.items():
        content[section] = values and content[section] | values
    with pytest.raises(InputError, match=f"{tmp_path} was started with .*{key}"):
        run(parse_config(yaml.safe_dump(content), "other.yml"), cuts, tmp_path, resume=True)


def test_a_section_that_is_gone_is_a_changed_configuration(cuts, tmp_path):
    run(settings(max_steps=2, ctc_weight=1.0), cuts, tmp_path)
    content = tiny.settings(max_steps=4, ctc_weight=1.0) | {"prediction": None, "joint": None}
    with pytest.raises(InputError, match=f"{tmp_path} was started with prediction.embed_dim = 8"):
        run(parse_config(yaml.safe_dump(content), "other.yml"), cuts, tmp_path, resume=True)


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
    run(settings(max_steps=2), cuts, tmp_path / "a", resume=True)
    run(settings(max_steps=2), cuts, tmp_path / "b")
    assert weights(tmp_path / "a") == weights(tmp_path / "b")


@pytest.mark.parametrize(
    "name", ["model.safetensors", "optimizer.bin", "average.safetensors", "progress.json"]
)
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_checkpoint_is_named(cuts, tmp_path, name, damage):
    run(settings(max_steps=2), cuts, tmp_path)
    folder = last_checkpoint(tmp_path)
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    if damage == "cut":
        (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=f"checkpoint {folder} cannot be read"):
        run(settings(max_steps=4), cuts, tmp_path, resume=True)


# ------------------------------------------------------------------------------------------ interrupted

# everything that must come back from a checkpoint: accumulation, noise, dropout, averages, several epochs
THOROUGH = tiny.settings(
    max_steps=16, accumulate=2, weight_noise=0.02, batch_seconds=3, checkpoint_every=1, evaluate_every=3
)
THOROUGH["prediction"] = THOROUGH["prediction"] | {"dropout": 0.2}


class Killed(BaseException):
    pass


def six_steps():
    content = THOROUGH | {"training": THOROUGH["training"] | {"max_steps": 6}}
    return parse_config(yaml.safe_dump(content), "thorough.yml")


@pytest.fixture(scope="module")
def uninterrupted(cuts, dev, tmp_path_factory):
    out = tmp_path_factory.mktemp("uninterrupted")
    with tiny.one_thread():
        run(six_steps(), cuts, out, dev)
    return weights(out)


@pytest.mark.parametrize("moment", ["before", "during", "after save_state", "before the old one is removed"])
@pytest.mark.parametrize("cleanup", [True, False], ids=["stopped", "killed"])
def test_an_interrupted_save_costs_nothing(cuts, dev, uninterrupted, tmp_path, monkeypatch, moment, cleanup):
    """``killed``: nothing can be cleaned up, as with kill -9."""
    config, out, count = six_steps(), tmp_path / "out", iter(range(100))
    from accelerate import Accelerator

    save_state, rmtree, replace = Accelerator.save_state, shutil.rmtree, os.replace

    def save(self, folder):
        if next(count) != 3:
            return save_state(self, folder)
        if moment == "before":
            raise Killed
        save_state(self, folder)
        if moment == "during":
            (module.Path(folder) / "optimizer.bin").write_bytes(b"half")
        if moment != "before the old one is removed":
            raise Killed

    def move(source, target):
        replace(source, target)
        if moment == "before the old one is removed" and str(target).endswith("step-00000004"):
            raise Killed

    monkeypatch.setattr(Accelerator, "save_state", save)
    monkeypatch.setattr(module.os, "replace", move)
    if not cleanup:
        monkeypatch.setattr(
            module.shutil, "rmtree", lambda path, **how: rmtree(path, **how) if "draft" in str(path) else None
        )
    with pytest.raises(Killed):
        run(config, cuts, out, dev)
    monkeypatch.undo()
    names = {path.name for path in (out / "checkpoints").iterdir()}
    assert "step-00000003" in names
    if moment != "before the old one is removed":
        assert "step-00000004" not in names
        assert ("step-00000004.partial" in names) != cleanup
    Recognizer.load(out)
    run(config, cuts, out, dev, resume=True)
    assert last_checkpoint(out).name == "step-00000006"
    assert weights(out) == uninterrupted


def test_a_full_disk_is_one_clear_error_and_the_run_goes_on_afterwards(cuts, tmp_path, monkeypatch):
    from accelerate import Accelerator

    config = settings(max_steps=4, checkpoint_every=1)
    run(config, cuts, tmp_path / "whole")
    save_state = Accelerator.save_state
    for error in (
        OSError(28, "No space left on device"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"),  # torch's
        safetensors.SafetensorError("I/O error: No space left on device (os error 28)"),
    ):
        count = iter(range(100))

        def save(self, folder, count=count, error=error):
            save_state(self, folder)
            if next(count) == 1:
                raise error

        out = tmp_path / type(error).__name__
        monkeypatch.setattr(Accelerator, "save_state", save)
        with pytest.raises(InputError, match="step-00000002 cannot be written, is the disk full.*--resume"):
            run(config, cuts, out)
        monkeypatch.undo()
        assert last_checkpoint(out).name == "step-00000001"
        run(config, cuts, out, resume=True)
        assert weights(out) == weights(tmp_path / "whole")


def test_what_was_logged_past_the_checkpoint_is_hidden(cuts, tmp_path, monkeypatch):
    config = settings(max_steps=6, log_every=1, checkpoint_every=2, evaluate_every=100)
    step = module._Run.step

    def stop(self, *arguments):
        if self.progress.step == 3:
            raise Killed
        return step(self, *arguments)

    monkeypatch.setattr(module._Run, "step", stop)
    with pytest.raises(Killed):
        run(config, cuts, tmp_path)
    monkeypatch.undo()
    time.sleep(1.1)  # the files are named by the second
    run(config, cuts, tmp_path, resume=True)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [e.step for e in events.Scalars("loss")] == [1, 2, 3, 4, 5, 6]


def start(config, corpus, out, *options):
    command = [
        sys.executable,
        "-m",
        "asrlib.cli",
        "train",
        config,
        "--corpus",
        corpus,
        "--out",
        out,
        *options,
    ]
    return subprocess.Popen(
        [str(word) for word in command],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.processes
def test_killed_at_random_moments_a_run_ends_with_the_same_weights(tmp_path):
    corpus = tiny.write_corpus(tmp_path / "tones", 8, 2, 1)
    config = tmp_path / "tiny.yml"
    config.write_text(yaml.safe_dump(THOROUGH | {"training": THOROUGH["training"] | {"max_steps": 40}}))
    whole = start(config, corpus, tmp_path / "whole")
    draw, out, killed, torn = random.Random(), tmp_path / "out", 0, 0
    for least in (0, 10, 20):
        process = start(config, corpus, out, "--resume")
        while process.poll() is None:
            steps = [int(path.name[5:13]) for path in out.glob("checkpoints/step-*")]
            if least == 0 and out.is_dir() or steps and max(steps) >= least:
                break
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        process.stderr.close()
        torn += any(out.glob("checkpoints/*.partial"))
        for folder in out.glob("checkpoints/step-????????"):  # whatever has its final name is whole
            assert json.loads((folder / "progress.json").read_text())["step"] == int(folder.name[5:])
            safetensors.torch.load_file(folder / "model.safetensors")
        if (out / "model.safetensors").exists():
            Recognizer.load(out)
    assert killed >= 2
    for process in (whole, start(config, corpus, out, "--resume")):
        errors = process.communicate()[1]
        assert process.returncode == 0 and errors == ""
    assert weights(out) == weights(tmp_path / "whole"), f"killed {killed} times, {torn} times while saving"
    for name in ("model.safetensors", "average.safetensors"):
        ours, theirs = ((last_checkpoint(folder) / name).read_bytes() for folder in (out, tmp_path / "whole"))
        assert ours == theirs
    assert load_tokenizer(out).labels == sorted(tiny.TONES)
    assert not list(out.rglob("*.partial"))


# ------------------------------------------------------------------------- options that change no number


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
    good = start(config, corpus, tmp_path / "good")
    assert good.communicate(timeout=300)[1] == "" and good.returncode == 0
    (corpus / "train-3.wav").write_bytes(b"no sound")
    bad = start(config, corpus, tmp_path / "bad", "--set", "training.max_steps=20")
    (line,) = bad.communicate(timeout=300)[1].splitlines()
    assert bad.returncode == 2 and "train-3.wav" in line


def test_checkpointed_blocks_train_to_the_same_weights(cuts, tmp_path):
    """Batch norm's running statistics too: they hear each batch once, though blocks run twice."""
    run(settings(max_steps=4), cuts, tmp_path / "plain")
    run(settings(max_steps=4, checkpoint_blocks=True), cuts, tmp_path / "saving")
    assert weights(tmp_path / "plain") == weights(tmp_path / "saving")


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_the_optimiser_is_one_kernel(cuts, tmp_path, monkeypatch, precision):
    made, adam = [], module.adam
    monkeypatch.setattr(module, "adam", lambda *given: made.append(adam(*given)) or made[-1])
    run(settings(max_steps=1, precision=precision), cuts, tmp_path)
    (optimizer,) = made
    assert optimizer.defaults["fused"] and not optimizer.defaults["capturable"]
