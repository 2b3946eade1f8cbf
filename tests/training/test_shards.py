"""Training from shards: in bounded memory, by one process or several, from where a run stopped."""

import gzip
import itertools
import json
import sys
import time
import tracemalloc

import measure_shar
import pytest
import tiny
from launch import finish, start

from asrlib import cli
from asrlib.data.audio_cache import AudioCache
from asrlib.data.corpora import load_corpus
from asrlib.data.shar import write_shar
from asrlib.data.shard_sampler import ShardBatchSampler
from asrlib.errors import InputError
from asrlib.training import loop
from asrlib.training.loop import train
from asrlib.training.step import TrainingStep

# lhotse leaves it to Python to close the files of a shard
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def settings(**keys):
    return tiny.config(**dict(max_steps=14, checkpoint_every=1, evaluate_every=20, batch_seconds=6) | keys)


def weights(out):
    return (out / "model.safetensors").read_bytes()


def test_a_training_from_shards_resumes_in_the_middle_of_an_epoch(tiny_shards, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def run(out, **keywords):
        with tiny.one_thread():
            return train(settings(), load_corpus(tiny_shards, "train"), out, show_progress=False, **keywords)

    run(tmp_path / "whole")
    perform = TrainingStep.__call__

    def stop(self, batch, generator, number):
        if number == 9:
            raise Killed
        return perform(self, batch, generator, number)

    monkeypatch.setattr(TrainingStep, "__call__", stop)
    with pytest.raises(Killed):
        run(tmp_path / "out")
    monkeypatch.undo()
    (checkpoint,) = (tmp_path / "out" / "checkpoints").iterdir()
    stopped = json.loads((checkpoint / "progress.json").read_text())
    sampler = ShardBatchSampler(load_corpus(tiny_shards, "train"), 6.0, 0)
    ends = list(itertools.accumulate(len(batches) for _, batches in sampler.windows(0)))
    # in the middle of an epoch, and of a shard
    assert (stopped["epoch"], stopped["batch"]) == (0, 9) and 9 not in ends and ends[-1] > 9
    run(tmp_path / "out", resume=True)
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")


@pytest.mark.processes
def test_two_processes_train_and_resume_after_one_was_killed(tiny_shards, tmp_path):
    """Equally many batches for both, or one would wait for ever; and the same weights in the end."""
    config = tmp_path / "tiny.yml"
    settings(max_steps=12, batch_seconds=3).save(config)
    codes, errors = finish(start(config, tiny_shards, tmp_path / "whole"))
    assert codes == [0, 0] and errors == ["", ""]
    processes = start(config, tiny_shards, tmp_path / "out")
    while not any(int(path.name[5:13]) >= 3 for path in tmp_path.glob("out/checkpoints/step-????????")):
        assert all(process.poll() is None for process in processes)
        time.sleep(0.005)
    processes[1].kill()
    codes, errors = finish(processes)
    assert codes == [2, -9] and "has lost the others" in errors[0]
    codes, errors = finish(start(config, tiny_shards, tmp_path / "out"))
    assert codes == [0, 0] and errors == ["", ""]
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")


def test_no_audio_is_kept_in_memory(tiny_shards, tmp_path, monkeypatch):
    made = []
    cache = AudioCache

    def remember(*arguments, **keywords):
        made.append(cache(*arguments, **keywords))
        return made[-1]

    monkeypatch.setattr(loop, "AudioCache", remember)
    with tiny.one_thread():
        train(settings(max_steps=2), load_corpus(tiny_shards, "train"), tmp_path, show_progress=False)
    assert made[-1].cached == 0


def test_the_measurement_of_memory_as_a_command(tiny_corpus, monkeypatch, capsys):
    words = ["measure_shar.py", "--corpus", str(tiny_corpus), "--utterances", "60"]
    monkeypatch.setattr(sys, "argv", words)
    with tiny.one_thread():
        assert measure_shar.main() == 0
    assert "largest difference 0.0%" in capsys.readouterr().out


@pytest.mark.parametrize("workers", [0, 2])
def test_memory_does_not_grow_with_the_utterances_used(tiny_corpus, tmp_path, monkeypatch, workers):
    """tools/measure_shar.py with 600 utterances, too few to show in what the process holds. Python is asked
    what it holds, in MB: all shards would be 4, and an empty list for each utterance shows as well. Decoded
    audio is torch's, and checked above.
    """
    measure_shar.write(str(tiny_corpus), 600, tmp_path / "shards", shard_size=50)
    monkeypatch.setattr(measure_shar, "resident", lambda: tracemalloc.get_traced_memory()[0] / 1e6)
    tracemalloc.start()
    try:
        with tiny.one_thread():
            samples = measure_shar.measure(tmp_path / "shards", tmp_path / "out", workers)
    finally:
        tracemalloc.stop()
    assert samples[-1][0] == 600
    means = measure_shar.by_thousand(samples, size=100)
    assert len(means) == 6 and max(means) - means[0] < 0.3


def test_memory_is_summed_up_by_the_thousand():
    samples = [(400, 10.0), (800, 20.0), (1000, 30.0), (1200, 5.0), (2600, 7.0)]
    assert measure_shar.by_thousand(samples) == [20.0, 5.0, 7.0]


def test_from_recordings_to_a_tested_model_on_the_command_line(tiny_corpus, tmp_path, capsys, monkeypatch):
    config = tmp_path / "tiny.yml"
    settings(max_steps=2).save(config)
    shards = str(tmp_path / "shards")

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["asrlib", *map(str, words)])
        with tiny.one_thread(), pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code, capsys.readouterr()

    code, said = call("data", tiny_corpus, "--shar", shards)
    assert code == 0 and f"{shards}: shards of train, dev, test" in said.out
    code, said = call("train", config, "--corpus", shards, "--out", tmp_path / "out")
    assert code == 0 and "dev_wer" in (tmp_path / "out" / "metrics.json").read_text()
    code, said = call("test", tmp_path / "out", "--corpus", shards, "--output", tmp_path / "rows.tsv")
    assert code == 0 and "12 utterances" in said.out
    fresh = load_corpus(tiny_corpus, "test")
    rows = (tmp_path / "rows.tsv").read_text().splitlines()[1:]
    assert {row.split("\t")[0]: row.split("\t")[1] for row in rows} == {
        cut.id: cut.supervisions[0].text for cut in fresh
    }
    code, said = call("data", tiny_corpus, "--shar", shards)
    assert code == 2 and "already exists: give --shar a new folder" in said.err
    code, said = call("train", config, "--corpus", shards, "--corpus", tiny_corpus, "--out", tmp_path / "o")
    assert code == 2 and "holds Shar shards: give it without other corpora" in said.err


def test_a_transcript_that_cannot_be_encoded_is_found_before_training(tiny_corpus, tmp_path):
    write_shar(load_corpus(tiny_corpus), tmp_path / "shards", shard_size=30)
    path = tmp_path / "shards" / "train" / "cuts.000001.jsonl.gz"
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    last = json.loads(lines[-1])
    last["supervisions"][0]["text"] = "?!"
    path.write_bytes(gzip.compress("\n".join([*lines[:-1], json.dumps(last), ""]).encode()))
    (tmp_path / "shards" / "shards.json").unlink()
    with pytest.raises(InputError, match=f"utterance {last['id']}: its transcript '\\?!' has no labels"):
        train(settings(), load_corpus(tmp_path / "shards", "train"), tmp_path / "out", show_progress=False)
    assert not (tmp_path / "out").exists()
