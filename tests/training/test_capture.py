"""Captured steps: the operations that a CUDA graph records, run here one by one, and on a GPU replayed."""

import json
import math
from collections import Counter
from types import SimpleNamespace

import kernels
import pytest
import tiny
import torch
from accelerate import Accelerator
from runs import Killed, run, settings, weights

from asrlib.config.parse import override
from asrlib.data.audio_cache import AudioCache
from asrlib.data.batches import collate, encode_corpus
from asrlib.models.build import build_model
from asrlib.text.tokenizers import train_tokenizer
from asrlib.training import graphs, loop
from asrlib.training.average import WeightAverage
from asrlib.training.capture import CapturedStep, captures
from asrlib.training.step import TrainingStep, adam

# from the start: PyTorch makes room for a device's gradients once, before the first of all
try:
    import pretended
except ImportError:
    pretended = None
can_pretend = pytest.mark.skipif(pretended is None, reason="here no device can be pretended")

EVERY_STEP = dict(max_steps=6, warmup_steps=2, log_every=1, evaluate_every=6, checkpoint_every=3)
VARIANTS = {
    "both losses": [],
    "noise and checkpoints": [
        "training.weight_noise=0.01",
        "training.weight_noise_start=0",
        "training.checkpoint_blocks=true",
    ],
    "ctc alone": ["training.ctc_weight=1.0", "training.average=0"],
    "accumulated": ["training.ctc_weight=0", "training.accumulate=2", "encoder.variant=tensorflowasr"],
    "augmented": [
        "augment.noise_probability=1",
        "augment.room_probability=0.5",
        "augment.channel_db=4",
        "augment.expander_probability=0.5",
        "augment.gate_probability=0.5",
        "augment.warp=[0.9,1.1]",
    ],
    "clipped, in 16 bits": ["training.clip_norm=0.1", "training.precision=bf16"],
}


def losses(cuts, out, kind, variant=(), device=None, patch=None, **arguments):
    """The losses of a short run by steps of this kind, in batches of few shapes."""
    config = override(settings(**{**EVERY_STEP, **arguments.pop("keys", {})}), list(variant))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(TrainingStep, "few_shapes", True)
        monkeypatch.setattr(loop, "step_for", lambda *_, **__: kind)
        if device is not None:
            monkeypatch.setattr(Accelerator, "device", property(lambda self: device))
        run(config, cuts, out, **arguments)
    last = max((out / "checkpoints").glob("step-*"))
    history = json.loads((last / "progress.json").read_text())["history"]
    return torch.tensor([point["loss"] for point in history if "loss" in point])


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_the_losses_and_weights_are_those_of_other_steps(cuts, dev, tmp_path, variant):
    plain = losses(cuts, tmp_path / "plain", TrainingStep, variant, dev=dev)
    captured = losses(cuts, tmp_path / "captured", CapturedStep, variant, dev=dev)
    assert len(plain) == 6
    tolerance = 1e-2 if "training.precision=bf16" in variant else 1e-4
    torch.testing.assert_close(captured, plain, rtol=tolerance, atol=0)


def cut_and_resumed(cuts, out):
    """The losses of a captured run that ended after its first checkpoint, and went on from there."""
    save = loop.save_checkpoint

    def save_and_end(*arguments):
        save(*arguments)
        raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(loop, "save_checkpoint", save_and_end)
        losses(cuts, out, CapturedStep)
    return losses(cuts, out, CapturedStep, resume=True)


def test_a_captured_run_resumes_to_the_bit(cuts, tmp_path):
    whole = losses(cuts, tmp_path / "whole", CapturedStep)
    resumed = cut_and_resumed(cuts, tmp_path / "cut")
    torch.testing.assert_close(resumed, whole, rtol=0, atol=0)
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


@can_pretend
@pytest.mark.parametrize("variant", ["both losses", "accumulated"])
def test_how_often_a_step_waits_for_the_device(cuts, tmp_path, monkeypatch, variant):
    """Once, for what came of it, and that after the next batch; operations depend on the shape alone."""
    step, counts, shapes = CapturedStep.__call__, [], Counter()

    def watch(self, batch, *rest):
        waits, operations = pretended.waits.total(), pretended.operations.total()
        outcome = step(self, batch, *rest)
        assert pretended.waits.total() == waits
        assert outcome.problem is None
        assert pretended.waits.total() == waits + 1
        shape = batch.waveforms.shape, batch.targets.shape, outcome.completed
        counts.append((shape, pretended.operations.total() - operations))
        return outcome

    monkeypatch.setattr(CapturedStep, "__call__", watch)
    with pretended.pretending():
        losses(cuts, tmp_path, CapturedStep, VARIANTS[variant], device=pretended.DEVICE)
    seen = set()
    for shape, count in counts:
        # the first of a shape makes room for its inputs, and the first of all, Adam's state
        if shape in seen:
            shapes[shape] = shapes[shape] or count
            assert shapes[shape] == count
        seen.add(shape)
    assert shapes


@can_pretend
def test_the_losses_on_an_accelerator_are_those_here(cuts, tmp_path):
    with pretended.pretending():
        there = losses(cuts, tmp_path / "there", CapturedStep, device=pretended.DEVICE)
    torch.testing.assert_close(there, losses(cuts, tmp_path / "here", TrainingStep), rtol=1e-4, atol=0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_changes_nothing(cuts, tmp_path, broken_losses, monkeypatch, value):
    """The losses and weights are those of steps that ask before the backward pass."""
    results = {}
    for kind in TrainingStep, CapturedStep:
        broken_losses({2, 3}, value)
        with pytest.warns(UserWarning, match="step skipped") as caught:
            results[kind] = losses(cuts, tmp_path / kind.__name__, kind)
        monkeypatch.undo()
        assert len([w for w in caught if "the loss is" in str(w.message)]) == 2
    assert len(results[CapturedStep]) == 4
    torch.testing.assert_close(results[CapturedStep], results[TrainingStep], rtol=1e-4, atol=0)


def test_a_gradient_that_is_not_finite_changes_nothing(cuts, tmp_path):
    """Weights, running statistics, the average and Adam's state; what had accumulated is dropped."""
    config = override(settings(max_steps=4), ["training.average=0.9"])
    accelerator = Accelerator()
    torch.manual_seed(0)
    model, batch = build_model(config), tones_batch(cuts)
    model, optimizer = accelerator.prepare(model, adam(model, config.training))
    average = WeightAverage(model, 0.9)
    step = CapturedStep(config, accelerator, model, optimizer, average, 4)

    def state():
        held = [*model.state_dict().values(), *average.weights.values()]
        held += [x for one in step.adam.state.values() for x in one.values()]
        return [x.clone() for x in held]

    assert step(batch, torch.Generator().manual_seed(0), 0).problem is None
    before = state()
    handle = next(model.parameters()).register_hook(lambda g: g * math.inf)
    outcome = step(batch, torch.Generator().manual_seed(1), 1)
    assert outcome.problem.startswith("the gradient's norm is") and outcome.loss is None
    torch.testing.assert_close(state(), before, rtol=0, atol=0)
    handle.remove()
    assert step(batch, torch.Generator().manual_seed(1), 1).problem is None
    assert not all(torch.equal(a, b) for a, b in zip(state(), before, strict=True))


def test_what_is_evaluated_shares_no_memory_with_what_is_recorded(cuts):
    """On a GPU an evaluation moves the weights of an LSTM, and graphs write where they wrote before."""
    config, accelerator = settings(max_steps=4), Accelerator()
    model = build_model(config)
    model, optimizer = accelerator.prepare(model, adam(model, config.training))
    step = CapturedStep(config, accelerator, model, optimizer, None, 4)
    step(tones_batch(cuts), torch.Generator().manual_seed(0), 0)
    decoded, trained = step.network_to_decode().state_dict(), step.network.state_dict()
    torch.testing.assert_close(decoded, trained, rtol=0, atol=0)
    assert not {x.data_ptr() for x in decoded.values()} & {x.data_ptr() for x in trained.values()}


def tones_batch(cuts):
    tokenizer = train_tokenizer("words", (cut.supervisions[0].text for cut in cuts))
    return collate(list(cuts), AudioCache(tiny.RATE), encode_corpus(cuts, tokenizer))


def test_what_cannot_be_recorded_takes_the_usual_steps(cuts, tmp_path, monkeypatch):
    def refuse(*_):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(graphs.Recorder, "record", refuse)
    with pytest.warns(UserWarning, match="cannot be captured .operation not permitted"):
        given_up = losses(cuts, tmp_path / "given-up", CapturedStep)
    torch.testing.assert_close(given_up, losses(cuts, tmp_path / "plain", TrainingStep), rtol=0, atol=0)


def test_where_steps_are_captured():
    def asked(device="cuda", processes=1, scaler=None, varying=False, **keys):
        accelerator = SimpleNamespace(device=torch.device(device), num_processes=processes, scaler=scaler)
        return captures(settings(**keys), accelerator, varying)

    assert asked() and asked(precision="bf16")
    refused = [asked("cpu"), asked("xla"), asked(processes=2), asked(scaler=object()), asked(varying=True)]
    assert not any([*refused, asked(capture="off")])


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.gpu
@pytest.mark.skipif(kernels.DEVICE.type == "cpu", reason="needs a GPU")
def test_on_a_gpu_replayed_steps_have_the_losses_of_other_steps(cuts, tmp_path, variant):
    plain = losses(cuts, tmp_path / "plain", TrainingStep, variant)
    captured = losses(cuts, tmp_path / "captured", CapturedStep, variant)
    tolerance = 5e-2 if "training.precision=bf16" in variant else 5e-3
    torch.testing.assert_close(captured, plain, rtol=tolerance, atol=0)


@pytest.mark.gpu
@pytest.mark.skipif(kernels.DEVICE.type == "cpu", reason="needs a GPU")
@pytest.mark.filterwarnings("error:training steps cannot be captured")
def test_on_a_gpu_training_captures_its_steps(cuts, tmp_path, monkeypatch):
    replayed = []
    monkeypatch.setattr(
        torch.cuda.CUDAGraph,
        "replay",
        lambda self, own=torch.cuda.CUDAGraph.replay: (replayed.append(1), own(self)),
    )
    run(settings(max_steps=4), cuts, tmp_path)
    assert len(replayed) == 8


@pytest.mark.gpu
@pytest.mark.skipif(kernels.DEVICE.type == "cpu", reason="needs a GPU")
def test_on_a_gpu_a_run_resumes(cuts, tmp_path):
    """Where cuDNN lays an LSTM's weights in one block."""
    resumed = cut_and_resumed(cuts, tmp_path / "cut")
    whole = losses(cuts, tmp_path / "whole", CapturedStep)
    torch.testing.assert_close(resumed, whole, rtol=5e-3, atol=0)


@pytest.mark.gpu
@pytest.mark.skipif(kernels.DEVICE.type == "cpu", reason="needs a GPU")
def test_on_a_gpu_training_goes_on_after_an_evaluation(cuts, dev, tmp_path):
    keys = EVERY_STEP | dict(evaluate_every=2)
    plain, captured = (
        losses(cuts, tmp_path / kind.__name__, kind, dev=dev, keys=keys)
        for kind in (TrainingStep, CapturedStep)
    )
    torch.testing.assert_close(captured, plain, rtol=5e-3, atol=0)
