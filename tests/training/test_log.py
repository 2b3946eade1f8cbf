"""What a run reports: TensorBoard files and the progress bar."""

import json
import time

import pytest
from runs import Killed, last_checkpoint, run, settings
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from asrlib.training.loop import train
from asrlib.training.step import TrainingStep


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


def test_what_was_logged_past_the_checkpoint_is_hidden(cuts, tmp_path, monkeypatch):
    config = settings(max_steps=6, log_every=1, checkpoint_every=2, evaluate_every=100)
    perform = TrainingStep.__call__

    def stop(self, batch, generator, number):
        if number == 3:
            raise Killed
        return perform(self, batch, generator, number)

    monkeypatch.setattr(TrainingStep, "__call__", stop)
    with pytest.raises(Killed):
        run(config, cuts, tmp_path)
    monkeypatch.undo()
    time.sleep(1.1)  # the files are named by the second
    run(config, cuts, tmp_path, resume=True)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [e.step for e in events.Scalars("loss")] == [1, 2, 3, 4, 5, 6]
