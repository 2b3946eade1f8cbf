"""Checkpoints: whole or absent, and a resumed run ends where an uninterrupted one ends."""

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import safetensors.torch
import tiny
import torch
import yaml
from accelerate import Accelerator
from runs import Killed, last_checkpoint, run, settings, train_command, weights

from asrlib.config.parse import parse_config
from asrlib.errors import InputError
from asrlib.recognizer import Recognizer
from asrlib.text.tokenizer_files import load_tokenizer
from asrlib.training.checkpoint import Progress, load_checkpoint, save_checkpoint

# everything that must come back from a checkpoint: accumulation, noise, dropout, averages, several epochs
THOROUGH = tiny.settings(
    max_steps=16, accumulate=2, weight_noise=0.02, batch_seconds=3, checkpoint_every=1, evaluate_every=3
)
THOROUGH["prediction"] = THOROUGH["prediction"] | {"dropout": 0.2}


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
            Path(folder, "optimizer.bin").write_bytes(b"half")
        if moment != "before the old one is removed":
            raise Killed

    def move(source, target):
        replace(source, target)
        if moment == "before the old one is removed" and str(target).endswith("step-00000004"):
            raise Killed

    monkeypatch.setattr(Accelerator, "save_state", save)
    monkeypatch.setattr(os, "replace", move)
    if not cleanup:
        monkeypatch.setattr(
            shutil, "rmtree", lambda path, **how: rmtree(path, **how) if "draft" in str(path) else None
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
        run(settings(max_steps=2), cuts, tmp_path, resume=True)


@pytest.mark.processes
def test_killed_at_random_moments_a_run_ends_with_the_same_weights(tmp_path):
    corpus = tiny.write_corpus(tmp_path / "tones", 8, 2, 1)
    config = tmp_path / "tiny.yml"
    config.write_text(yaml.safe_dump(THOROUGH | {"training": THOROUGH["training"] | {"max_steps": 40}}))
    whole = train_command(config, corpus, tmp_path / "whole")
    draw, out, killed, torn = random.Random(), tmp_path / "out", 0, 0
    for least in (0, 10, 20):
        process = train_command(config, corpus, out, "--resume")
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
    for process in (whole, train_command(config, corpus, out, "--resume")):
        errors = process.communicate()[1]
        assert process.returncode == 0 and errors == ""
    assert weights(out) == weights(tmp_path / "whole"), f"killed {killed} times, {torn} times while saving"
    for name in ("model.safetensors", "average.safetensors"):
        ours, theirs = ((last_checkpoint(folder) / name).read_bytes() for folder in (out, tmp_path / "whole"))
        assert ours == theirs
    assert load_tokenizer(out).labels == sorted(tiny.TONES)
    assert not list(out.rglob("*.partial"))


# ---- another configuration -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, key",
    [
        ({"training": {"max_lr": 0.5}}, "training.max_lr = 0.01, but now it is 0.5"),
        ({"training": {"accumulate": 2}}, "training.accumulate = 1, but now it is 2"),
        ({"joint": {"dim": 25}}, "joint.dim = 24, but now it is 25"),
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


def test_weights_that_lie_in_one_block_are_all_kept(tmp_path):
    """As cuDNN lays those of an LSTM."""
    accelerator = Accelerator(cpu=True)
    torch.manual_seed(0)
    network = torch.nn.LSTM(3, 4)
    block = torch.cat([weight.detach().flatten() for weight in network.parameters()])
    parts = block.split([weight.numel() for weight in network.parameters()])
    for weight, part in zip(network.parameters(), parts, strict=True):
        weight.data = part.view_as(weight)
    expected = {name: weight.clone() for name, weight in network.state_dict().items()}
    network = accelerator.prepare(network)
    save_checkpoint(accelerator, tmp_path, Progress(step=1), None)
    with torch.no_grad():
        block.zero_()
    load_checkpoint(accelerator, last_checkpoint(tmp_path), None)
    torch.testing.assert_close(dict(network.state_dict()), expected, rtol=0, atol=0)
