"""Several processes over gloo, as torchrun and `accelerate launch` start them: one run, shared out."""

import json
import signal
import time

import accelerate.utils
import pytest
import safetensors.torch
import tiny
import torch
import yaml
from launch import finish, start

from asrlib.data.corpora import load_corpus
from asrlib.data.samplers import BatchSampler
from asrlib.errors import InputError
from asrlib.training.loop import train
from asrlib.training.processes import check_same_checkpoint

pytestmark = pytest.mark.processes
STEPS = 24


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny.write_corpus(tmp_path_factory.mktemp("processes") / "tones", 40, 2, 1)


def settings(**training):
    """Without augmentation, whose random numbers are each process' own."""
    keys = dict(max_steps=STEPS, log_every=1, checkpoint_every=1, evaluate_every=STEPS, max_lr=0.003)
    content = tiny.settings(**keys | training)
    return content | {"augment": {"time_masks": 0, "freq_masks": 0}}


@pytest.fixture(scope="module")
def two(corpus, tmp_path_factory):
    """(configuration file, directory) of a run of two processes that nobody disturbed."""
    folder = tmp_path_factory.mktemp("two")
    config = folder / "tiny.yml"
    config.write_text(yaml.safe_dump(settings(batch_seconds=3)))
    processes = start(config, corpus, folder / "out")
    codes, errors = finish(processes)
    assert codes == [0, 0] and errors == ["", ""]
    return config, folder / "out"


def losses(out):
    (folder,) = (out / "checkpoints").iterdir()
    history = json.loads((folder / "progress.json").read_text())["history"]
    return torch.tensor([point["loss"] for point in history if "loss" in point])


def test_two_processes_with_half_the_batch_are_one_with_the_whole(corpus, two, tmp_path):
    """Loss curves within 1e-5 (relative) over 24 steps, weights within 1e-5: sums in another order."""
    from asrlib.config.parse import parse_config

    config = parse_config(yaml.safe_dump(settings(batch_seconds=6)), "whole.yml")
    with tiny.one_thread():
        train(config, load_corpus(corpus, "train"), tmp_path / "out", show_progress=False)
    ours, whole = losses(two[1]), losses(tmp_path / "out")
    assert len(ours) == len(whole) == STEPS
    torch.testing.assert_close(ours, whole, rtol=1e-5, atol=0)
    assert whole[-4:].mean() < 0.7 * whole[:4].mean()  # and there was something to learn
    mine, other = (safetensors.torch.load_file(p / "model.safetensors") for p in (two[1], tmp_path / "out"))
    for name, value in mine.items():
        # batch norm takes these biases out again: Adam makes steps of nothing but rounding errors
        if not name.endswith(("pointwise.bias", "shortcut.linear.bias", "running_mean")):
            torch.testing.assert_close(value, other[name], rtol=0, atol=1e-5, msg=name)


@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_process_ends_the_run_and_resume_ends_where_it_would_have(corpus, two, tmp_path, killed):
    config, out = two[0], tmp_path / "out"
    processes = start(config, corpus, out)
    while not any(int(path.name[5:13]) >= 5 for path in out.glob("checkpoints/step-????????")):
        assert all(process.poll() is None for process in processes)
        time.sleep(0.005)
    processes[killed].send_signal(signal.SIGKILL)
    codes, errors = finish(processes)
    survivor = 1 - killed
    assert codes[killed] == -signal.SIGKILL and codes[survivor] == 2
    (line,) = errors[survivor].splitlines()
    assert line.startswith(f"asrlib: error: process {survivor} of 2 has lost the others")
    assert "continue with --resume" in line
    assert losses(out).numel() < STEPS
    codes, errors = finish(start(config, corpus, out))
    assert codes == [0, 0] and errors == ["", ""]
    assert (out / "model.safetensors").read_bytes() == (two[1] / "model.safetensors").read_bytes()


def test_two_processes_train_ctc_alone_beside_a_joint(corpus, tmp_path):
    """The prediction network and the joint get no gradient then, for which DDP would wait."""
    config = tmp_path / "tiny.yml"
    alone = settings(batch_seconds=3, ctc_weight=1.0, max_steps=3, evaluate_every=3)
    config.write_text(yaml.safe_dump(alone))
    codes, errors = finish(start(config, corpus, tmp_path / "out"))
    assert codes == [0, 0] and errors == ["", ""]
    assert losses(tmp_path / "out").isfinite().all()


def test_processes_that_find_different_checkpoints_are_stopped(tmp_path, monkeypatch):
    class Accelerator:
        num_processes = 2
        device = torch.device("cpu")

    found = ["step-00000008", None]
    monkeypatch.setattr(accelerate.utils, "gather_object", lambda mine: [*mine, *found])
    last = tmp_path / "checkpoints" / "step-00000008"
    with pytest.raises(InputError, match=f"{tmp_path}: not every process finds the same checkpoint"):
        check_same_checkpoint(Accelerator(), last, tmp_path)
    found.remove(None)
    check_same_checkpoint(Accelerator(), last, tmp_path)


# ---- who gets what ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("processes", [2, 3])
def test_each_utterance_once_an_epoch_in_equally_many_batches(corpus, processes):
    cuts = load_corpus(corpus, "train")
    shares = [list(BatchSampler(cuts, 4.0, 0, rank, processes).epoch(3)) for rank in range(processes)]
    assert len({len(share) for share in shares}) == 1
    heard = [cut.id for share in shares for batch in share for cut in batch]
    assert sorted(heard) == sorted(cut.id for cut in cuts)
    assert all(batch for share in shares for batch in share)
    # together they are what one process would hear
    whole = list(BatchSampler(cuts, 4.0 * processes, 0).epoch(3))
    assert min(map(len, whole)) >= processes  # none is too small to share
    for together, batch in zip(zip(*shares, strict=True), whole, strict=True):
        assert sorted(cut.id for share in together for cut in share) == sorted(cut.id for cut in batch)


@pytest.mark.parametrize("utterances", [5, 7, 9])
def test_a_batch_too_small_to_share_joins_another(corpus, utterances):
    """Of an odd number of utterances in pairs, at least one is alone."""
    cuts = load_corpus(corpus, "train").subset(first=utterances)
    shares = [list(BatchSampler(cuts, 9.0, 0, rank, 2, batch_utterances=1).epoch(0)) for rank in (0, 1)]
    sizes = [len(mine) + len(other) for mine, other in zip(*shares, strict=True)]
    assert sum(sizes) == utterances and min(sizes) == 2 and max(sizes) > 2
    alone = list(BatchSampler(cuts, 9.0, 0, batch_utterances=2).epoch(0))
    assert min(map(len, alone)) == 1  # one process shares nothing


def test_more_processes_than_utterances_are_refused(corpus):
    cuts = load_corpus(corpus, "train").subset(first=2)
    with pytest.raises(InputError, match="3 processes cannot share 2 utterances"):
        next(BatchSampler(cuts, 1.0, 0, 0, 3).epoch(0))
