"""A training step: accumulation, clipping, noise, 16 bits, and batches that are skipped."""

import json
import math

import pytest
import safetensors.torch
import tiny
import torch
import yaml
from runs import ONE_EACH, PLAIN, last_checkpoint, run, settings, weights
from torch.utils.tensorboard import SummaryWriter

from asrlib.config.parse import parse_config
from asrlib.data.audio_cache import AudioCache
from asrlib.data.batches import collate, encode_corpus
from asrlib.models.build import build_model
from asrlib.signal.augment_policy import augmented_features
from asrlib.training import loop
from asrlib.training.step import TrainingStep, batch_seed


def test_every_batch_of_every_process_has_a_seed_of_its_own():
    seeds = [
        batch_seed(seed, epoch, batch, process)
        for seed in (0, 1, -1)
        for epoch in range(3)
        for batch in range(20)
        for process in range(2)
    ]
    assert len(set(seeds)) == len(seeds) and all(0 <= seed < 2**63 for seed in seeds)
    # those of other versions of Python and numpy, or runs could not be repeated
    assert batch_seed(0, 0, 0, 0) == 2094613214458313471
    assert batch_seed(-1, 3, 2, 1) == 5022406354034836483


def test_dropout_and_weight_noise_repeat_as_well(cuts, tmp_path, monkeypatch):
    content = tiny.settings(max_steps=3, weight_noise=0.05, weight_noise_start=1, log_every=1)
    content["prediction"] = content["prediction"] | {"dropout": 0.3}
    config = parse_config(yaml.safe_dump(content), "noisy.yml")
    run(config, cuts, tmp_path / "a")
    # must not matter either
    monkeypatch.setattr(SummaryWriter, "add_scalar", lambda *_: torch.rand(3))
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


@ONE_EACH
def test_accumulated_gradients_are_the_mean_over_the_batches(cuts, tmp_path, monkeypatch):
    """Two batches by hand: gradients added, halved, clipped, one step of Adam."""
    keys = {"batch_seconds": 0.1, "accumulate": 2, "average": 0.0, "clip_norm": 1.0}
    config = settings(PLAIN, max_steps=1, schedule="transformer", max_lr=0.01, warmup_steps=1, **keys)
    used = []
    original = TrainingStep.__call__

    def watch(self, batch, *rest):
        before = [p.detach().clone() for p in self.model.parameters()]
        outcome = original(self, batch, *rest)
        moved = any(not torch.equal(p, q) for p, q in zip(self.model.parameters(), before, strict=True))
        assert moved == outcome.completed
        used.append((batch.ids, moved))
        return outcome

    monkeypatch.setattr(TrainingStep, "__call__", watch)
    recognizer = run(config, cuts, tmp_path)
    assert [(len(ids), moved) for ids, moved in used] == [(1, False), (1, True)]

    torch.manual_seed(config.training.seed)
    model = build_model(config, 4).train()
    labels, audio = encode_corpus(cuts, recognizer.tokenizer), AudioCache(tiny.RATE)
    for ids, _ in used:
        batch = collate([cuts[name] for name in ids], audio, labels)
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


def test_checkpointed_blocks_train_to_the_same_weights(cuts, tmp_path):
    """Batch norm's running statistics too: they hear each batch once, though blocks run twice."""
    run(settings(max_steps=4), cuts, tmp_path / "plain")
    run(settings(max_steps=4, checkpoint_blocks=True), cuts, tmp_path / "saving")
    assert weights(tmp_path / "plain") == weights(tmp_path / "saving")


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_the_optimiser_is_one_kernel(cuts, tmp_path, monkeypatch, precision):
    made, adam = [], loop.adam
    monkeypatch.setattr(loop, "adam", lambda *given: made.append(adam(*given)) or made[-1])
    run(settings(max_steps=1, precision=precision), cuts, tmp_path)
    (optimizer,) = made
    assert optimizer.defaults["fused"] and not optimizer.defaults["capturable"]


# ---- losses and gradients that are not finite ------------------------------------------------------------


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
    calls = iter(range(100))

    def features(*arguments):
        found, counts = augmented_features(*arguments)
        return found * (math.inf if next(calls) == 1 else 1), counts

    monkeypatch.setattr("asrlib.training.step.augmented_features", features)
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
    original = loop.build_model

    def build(*arguments):
        model = original(*arguments)
        calls = iter(range(100))
        model.joint.output.bias.register_hook(lambda g: g * (math.inf if next(calls) == 1 else 1))
        return model

    monkeypatch.setattr(loop, "build_model", build)
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
