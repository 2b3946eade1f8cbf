"""Training on an XLA device: one compilation a bucket and none after; checkpoint and resume."""

import copy
import json

import pytest
import tiny
import torch

from asrlib.data.corpora import load_corpus
from asrlib.models.build import build_model
from asrlib.models.layers.batch_norm import MaskedBatchNorm
from asrlib.signal.augment_policy import augmented_features
from asrlib.training import xla
from asrlib.training.loop import train
from asrlib.training.step import TrainingStep

# of accelerate and safetensors, about older spellings in torch and torch_xla
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:TypedStorage"
)


@pytest.fixture(scope="module")
def cuts(tiny_corpus):
    return load_corpus(tiny_corpus, "train")


@pytest.fixture(scope="module")
def dev(tiny_corpus):
    return load_corpus(tiny_corpus, "dev").subset(first=2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_masked_batch_norm_with_fixed_shapes(device, dtype):
    torch.manual_seed(1)
    x = torch.randn(3, 7, 5).to(dtype)
    mask = torch.arange(7) < torch.tensor([7, 4, 1])[:, None]
    results = []
    for place in "cpu", device:
        norm = MaskedBatchNorm(5).to(place)
        given = x.to(place).requires_grad_()
        out = norm(given, mask.to(place))
        (grad,) = torch.autograd.grad(out.square().sum() + (out * given).sum(), given)
        results.append([y.detach().cpu() for y in (out, grad, norm.running_mean, norm.running_var)])
    tolerance = 1e-5 if dtype == torch.float32 else 5e-2
    torch.testing.assert_close(*results, rtol=tolerance, atol=tolerance)


def test_the_models_loss_is_the_cpus(device):
    """Squeeze-and-excitation, batch norm, LSTM, both losses; and nothing is asked of the device."""
    import torch_xla
    import torch_xla.debug.metrics as metrics

    def asked():
        executions = metrics.metric_data("ExecuteTime")
        fallbacks = [name for name in metrics.counter_names() if name.startswith("aten::")]
        return (executions[0] if executions else 0), {n: metrics.counter_value(n) for n in fallbacks}

    torch.manual_seed(1)
    config = tiny.config()
    model = build_model(config, 4).train()
    features, lengths = torch.randn(3, 60, 20), torch.tensor([60, 41, 5])
    targets, target_lengths = torch.tensor([[1, 2, 3], [3, 1, 0], [2, 0, 0]]), torch.tensor([3, 2, 1])
    batch = features, lengths, targets, target_lengths
    there = copy.deepcopy(model).to(device)
    batch_there = [x.to(device) for x in batch]
    torch_xla.sync(wait=True)
    before = asked()
    loss_there = there(*batch_there)
    loss_there.backward()
    assert asked() == before
    torch_xla.sync()  # one program for all of it
    loss = model(*batch)
    loss.backward()
    torch.testing.assert_close(loss_there.cpu(), loss, rtol=1e-5, atol=0)
    # a bias before batch norm has no gradient but what rounding leaves
    least = 1e-3 * max(float(p.grad.abs().max()) for p in model.parameters())
    for (name, a), b in zip(model.named_parameters(), there.parameters(), strict=True):
        difference = float((b.grad.cpu() - a.grad).abs().max())
        assert difference < 1e-4 * max(least, float(a.grad.abs().max())), name


def shape_of(batch):
    return tuple(batch.waveforms.shape), tuple(batch.targets.shape)


def test_one_compilation_a_bucket_and_none_after(cuts, dev, device, compilations, tmp_path, monkeypatch):
    """Literally, from torch_xla's counter, with everything in it that draws numbers, weight noise that
    starts late, and an evaluation. The update of the weights is one program more, for all buckets.
    """
    programs, shapes, finish, perform = [], [], xla.finish, TrainingStep.__call__

    def counted(*results):
        """Loss, gradients and their norm end with results, the update without."""
        finished = finish(*results)
        programs[-1]["loss" if results else "update"] += compilations()
        return finished

    def noted(self, batch, *rest):
        compilations()
        shapes.append(shape_of(batch))
        programs.append({"loss": 0, "update": 0})
        outcome = perform(self, batch, *rest)
        assert compilations() == 0  # what ends a program is counted above
        return outcome

    schedule = dict(max_steps=24, warmup_steps=8, evaluate_every=20, checkpoint_every=20, log_every=4)
    noise = dict(weight_noise=0.01, weight_noise_start=18)
    config = tiny.config(batch_seconds=12, **noise, **schedule)
    with monkeypatch.context() as patch:
        patch.setattr(TrainingStep, "__call__", noted)
        patch.setattr(xla, "finish", lambda *x: counted(*x) if programs else finish(*x))
        train(config, cuts, tmp_path, dev, show_progress=False)
    first_of = {shape: shapes.index(shape) for shape in shapes}
    expected = [{"loss": int(n in first_of.values()), "update": int(n == 0)} for n in range(24)]
    assert programs == expected
    # at least ten steps after the first pass over the buckets, and noise among them
    assert len(first_of) == 3 and max(first_of.values()) + 10 < 18
    history = json.loads(next(tmp_path.glob("checkpoints/*/progress.json")).read_text())["history"]
    losses = [point["loss"] for point in history if "loss" in point]
    assert losses[-1] < 0.5 * losses[0], losses


def test_a_resumed_run_compiles_the_same_programs(cuts, device, tmp_path, monkeypatch):
    """Once a bucket, and the update once: the checkpoint's state is as a step leaves it."""
    seen, perform = [], TrainingStep.__call__

    def noted(self, batch, *rest):
        before = compiled()
        outcome = perform(self, batch, *rest)
        seen.append((shape_of(batch), compiled() - before))
        return outcome

    import torch_xla.debug.metrics as metrics

    def compiled():
        return metrics.counter_value("UncachedCompile") or 0

    # a width of its own, which no other test has compiled for
    config = tiny.config(max_steps=2, batch_seconds=12, evaluate_every=99, checkpoint_every=99)
    config.joint.dim = 28
    train(config, cuts, tmp_path, show_progress=False)
    monkeypatch.setattr(TrainingStep, "__call__", noted)
    config.training.max_steps = 8
    train(config, cuts, tmp_path, resume=True, show_progress=False)
    known = {shape for shape, _ in seen}
    assert len(seen) == 6 and sum(count for _, count in seen) <= len(known), seen


def test_resume_ends_where_an_uninterrupted_run_ends(cuts, dev, device, tmp_path):
    config = tiny.config(max_steps=6, batch_seconds=12, evaluate_every=3, checkpoint_every=3)
    train(config, cuts, tmp_path / "whole", dev, show_progress=False)
    config.training.max_steps = 3
    train(config, cuts, tmp_path / "parts", dev, show_progress=False)
    config.training.max_steps = 6
    recognizer = train(config, cuts, tmp_path / "parts", dev, resume=True, show_progress=False)
    assert recognizer.device.type == "cpu"
    names = "model.safetensors", "checkpoints/step-00000006/average.safetensors"
    for name in names:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


def test_a_step_whose_loss_is_no_number_is_skipped(cuts, device, tmp_path, monkeypatch):
    seen = []

    def poisoned(*args):
        features, counts = augmented_features(*args)
        seen.append(len(seen))
        return (features * torch.nan if seen[-1] == 2 else features), counts

    monkeypatch.setattr("asrlib.training.step.augmented_features", poisoned)
    config = tiny.config(max_steps=5, batch_seconds=12)
    with pytest.warns(UserWarning, match="step 2: the loss is .*; step skipped"):
        recognizer = train(config, cuts, tmp_path, show_progress=False)
    assert all(value.isfinite().all() for value in recognizer.model.state_dict().values())
