"""Shards: every utterance once, in bounded memory, by one process or several, from where a run stopped."""

import errno
import gzip
import itertools
import json
import random
import shutil
import subprocess
import sys
import tarfile
import time
import tracemalloc
from pathlib import Path

import measure_shar  # noqa: E402 (after the path)
import numpy as np
import pytest
import tiny
from cuts import utterance
from launch import finish, start

from asrlib import cli
from asrlib.data import shar  # noqa: E402
from asrlib.data.batches import AudioCache  # noqa: E402
from asrlib.data.corpora import cut_audio, load_corpus  # noqa: E402
from asrlib.data.shar import ShardBatchSampler, load_shar, write_shar  # noqa: E402
from asrlib.errors import InputError  # noqa: E402
from asrlib.training import loop  # noqa: E402
from asrlib.training.loop import train  # noqa: E402
from asrlib.training.step import TrainingStep  # noqa: E402

# lhotse leaves it to Python to close the files of a shard
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def folder(tiny_corpus, tmp_path_factory):
    """The tones as shards: train has 60 utterances, 8 a shard and 4 in the last, dev 6, test 12."""
    folder = tmp_path_factory.mktemp("shar") / "tones"
    assert write_shar(load_corpus(tiny_corpus), folder, shard_size=8) == ["train", "dev", "test"]
    return folder


def epoch(folder, *arguments, number=0, **keywords):
    batches = ShardBatchSampler(load_shar(folder, "train"), *arguments, **keywords).epoch(number)
    return [[cut.id for cut in batch] for batch in batches]


def test_what_comes_back_is_what_was_written(folder, tiny_corpus):
    for split in ("train", "dev", "test"):
        before = {cut.id: cut for cut in load_corpus(tiny_corpus, split)}
        after = {cut.id: cut for cut in load_corpus(folder, split)}
        assert before.keys() == after.keys()
        for name, cut in after.items():
            assert cut.supervisions[0].text == before[name].supervisions[0].text
            assert cut.custom["split"] == split
            np.testing.assert_array_equal(cut_audio(cut), cut_audio(before[name]))
    assert len(list(load_corpus(folder))) == 78
    texts = [cut for cut in shar.without_audio(load_shar(folder, "train"))]
    assert len(texts) == 60 and all(cut.supervisions[0].text for cut in texts)


def test_every_utterance_once_in_batches_of_similar_length(folder):
    batches = epoch(folder, 4.0, 0)
    durations = {cut.id: cut.duration for cut in load_shar(folder, "train")}
    assert sorted(sum(batches, [])) == sorted(durations)
    for batch in batches:
        assert len(batch) == 1 or sum(durations[name] for name in batch) <= 4.0
    assert batches == epoch(folder, 4.0, 0)
    assert batches != epoch(folder, 4.0, 0, number=1) and batches != epoch(folder, 4.0, 1)
    sampler = ShardBatchSampler(load_shar(folder, "train"), 4.0, 0)
    assert sampler.count(0) == len(batches)


def test_an_epoch_has_batches_of_its_own(folder):
    """Not those of the epoch before in another order, and of utterances that are similarly long."""
    sampler = ShardBatchSampler(load_shar(folder, "train"), 60.0, 0)
    seconds = np.random.default_rng(0).uniform(1, 9, 300)
    durations = {f"u{n}": float(length) for n, length in enumerate(seconds)}
    first, second = (sampler._batches(durations, random.Random(n)) for n in (0, 1))
    assert sorted(sum(first, [])) == sorted(durations)
    assert len(set(map(frozenset, first)) & set(map(frozenset, second))) < len(first) / 4
    lengths = [[durations[name] for name in batch] for batch in first]
    assert all(sum(batch) <= 60 for batch in lengths)
    waste = np.mean([1 - np.mean(batch) / max(batch) for batch in lengths])
    assert waste < 0.15  # in batches drawn at random about 0.4 is padding


def test_so_many_utterances_instead_of_seconds(folder):
    assert sorted(map(len, epoch(folder, 1.0, 0, batch_utterances=4))) == [4] * 15


@pytest.mark.parametrize("processes", [2, 3, 5, 8, 11])
@pytest.mark.parametrize("seconds", [0.5, 4.0, 100.0])
def test_processes_share_the_shards(folder, processes, seconds):
    """Also where shards are fewer than processes, the last one is smaller, or batches are tiny."""
    shares = [epoch(folder, seconds, 0, rank, processes) for rank in range(processes)]
    assert len({len(share) for share in shares}) == 1
    assert all(batch for share in shares for batch in share)
    heard = sum((sum(share, []) for share in shares), [])
    assert len(heard) == 60 and len(set(heard)) == 60


def test_a_last_shard_of_one_utterance_is_shared_with_those_before(tiny_corpus, tmp_path):
    """Also in the epoch in which it comes last."""
    from lhotse import CutSet

    cuts = list(load_corpus(tiny_corpus, "train"))
    write_shar(CutSet.from_cuts(cuts[:24]), tmp_path / "most", shard_size=8)
    write_shar(CutSet.from_cuts(cuts[24:25]), tmp_path / "one")
    for path in (tmp_path / "one" / "train").iterdir():
        path.rename(tmp_path / "most" / "train" / path.name.replace("000000", "000003"))
    # four shards, three processes: the last one has a window of its own
    for number in range(8):
        shares = [epoch(tmp_path / "most", 3.0, 0, rank, 3, number=number) for rank in range(3)]
        assert len({len(share) for share in shares}) == 1
        heard = sum((sum(share, []) for share in shares), [])
        assert sorted(heard) == sorted(cut.id for cut in cuts[:25])


def test_more_processes_than_utterances_are_refused(folder):
    with pytest.raises(InputError, match="80 processes cannot share 60 utterances, all that .*cuts.00"):
        epoch(folder, 4.0, 0, 0, 80)


def test_each_process_opens_its_own_shards(folder, monkeypatch):
    opened = []
    read = shar._read
    monkeypatch.setattr(shar, "_read", lambda shard: opened.append(shard) or read(shard))
    epoch(folder, 4.0, 0, 0, 2)
    audio = [shard["recording"] for shard in opened if "recording" in shard]
    assert len(audio) == len(set(audio)) == 4


def test_from_the_middle_of_an_epoch(folder, monkeypatch):
    whole = epoch(folder, 3.0, 0)
    opened = []
    read = shar._read
    monkeypatch.setattr(shar, "_read", lambda shard: opened.append(shard) or read(shard))
    sampler = ShardBatchSampler(load_shar(folder, "train"), 3.0, 0)
    for first in (1, 7, len(whole) - 1, len(whole)):
        opened.clear()
        assert [[cut.id for cut in batch] for batch in sampler.epoch(0, first)] == whole[first:]
        unread = 8 - len([shard for shard in opened if "recording" in shard])
        assert unread >= first * 8 // len(whole) - 1


def test_an_epoch_holds_one_shard_at_a_time(folder):
    """What is held when a batch comes is what is left of its shard."""
    sampler = ShardBatchSampler(load_shar(folder, "train"), 3.0, 0)
    batches = sampler.epoch(0)
    for _ in range(20):
        next(batches)
        held = batches.gi_frame.f_locals["held"]
        assert len(held) < 8


def test_shards_have_two_hours_or_as_many_utterances(tiny_corpus, tmp_path, monkeypatch):
    cuts = load_corpus(tiny_corpus, "train")
    monkeypatch.setattr(shar, "SHARD_SECONDS", sum(cut.duration for cut in cuts) / 2.5)
    write_shar(cuts, tmp_path / "a")
    sizes = [shar._count(shard) for shard in shar.shards_of(load_shar(tmp_path / "a"))]
    assert sizes == [20, 20, 20]
    write_shar(cuts, tmp_path / "b", shard_size=59)
    sizes = [shar._count(shard) for shard in shar.shards_of(load_shar(tmp_path / "b"))]
    assert sizes == [30, 30]


def test_a_piece_of_a_recording_and_a_channel_of_it_are_stored_alone(tmp_path):
    import soundfile
    from lhotse import CutSet, Recording, SupervisionSegment
    from lhotse.cut import MonoCut

    path = tmp_path / "stereo.wav"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (16000, 2))
    soundfile.write(path, noise, 8000)
    recording = Recording.from_file(path)
    said = SupervisionSegment("a", recording.id, 0.0, 0.5, channel=1, text="low")
    cut = MonoCut("a", 1.25, 0.5, channel=1, supervisions=[said], recording=recording)
    write_shar(CutSet.from_cuts([cut]), tmp_path / "shards")
    (after,) = load_shar(tmp_path / "shards", "train")
    assert after.duration == 0.5 and after.recording.num_samples == 4000
    np.testing.assert_allclose(cut_audio(after), noise[10000:14000, 1], atol=1 / 32768)
    np.testing.assert_allclose(cut_audio(cut), noise[10000:14000, 1], atol=1 / 32768)


@pytest.mark.parametrize("name", ["./a.wav", "b//a.wav", "/data/a.wav", "ü é.wav", "n" * 150, "a.b.c"])
def test_ids_that_are_paths(tmp_path, name):
    path = tmp_path / "a.wav"
    import soundfile

    soundfile.write(path, tiny.tones("low"), 8000)
    write_shar([utterance(name, 0.4, path=path)], tmp_path / "shards")
    (after,) = load_shar(tmp_path / "shards")
    assert after.id == str(Path(name)) and len(cut_audio(after)) == 3200


def test_a_cut_set_that_lhotse_opened_streams_too(folder):
    from lhotse import CutSet

    cuts = CutSet.from_shar(in_dir=folder / "train")
    batches = ShardBatchSampler(cuts, 4.0, 0).epoch(0)
    assert len(sum((list(batch) for batch in batches), [])) == 60
    assert len(shar.parts(cuts)) == 8 and len(shar.without_audio(cuts)) == 60


def settings(**keys):
    return tiny.config(**dict(max_steps=14, checkpoint_every=1, evaluate_every=20, batch_seconds=6) | keys)


def weights(out):
    return (out / "model.safetensors").read_bytes()


def test_a_training_from_shards_resumes_in_the_middle_of_an_epoch(folder, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def run(out, **keywords):
        with tiny.one_thread():
            return train(settings(), load_corpus(folder, "train"), out, show_progress=False, **keywords)

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
    sampler = ShardBatchSampler(load_corpus(folder, "train"), 6.0, 0)
    ends = list(itertools.accumulate(len(batches) for _, batches in sampler._windows(0)))
    # in the middle of an epoch, and of a shard
    assert (stopped["epoch"], stopped["batch"]) == (0, 9) and 9 not in ends and ends[-1] > 9
    run(tmp_path / "out", resume=True)
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")


@pytest.mark.processes
def test_two_processes_train_and_resume_after_one_was_killed(folder, tmp_path):
    """Equally many batches for both, or one would wait for ever; and the same weights in the end."""
    config = tmp_path / "tiny.yml"
    settings(max_steps=12, batch_seconds=3).save(config)
    codes, errors = finish(start(config, folder, tmp_path / "whole"))
    assert codes == [0, 0] and errors == ["", ""]
    processes = start(config, folder, tmp_path / "out")
    while not any(int(path.name[5:13]) >= 3 for path in tmp_path.glob("out/checkpoints/step-????????")):
        assert all(process.poll() is None for process in processes)
        time.sleep(0.005)
    processes[1].kill()
    codes, errors = finish(processes)
    assert codes == [2, -9] and "has lost the others" in errors[0]
    codes, errors = finish(start(config, folder, tmp_path / "out"))
    assert codes == [0, 0] and errors == ["", ""]
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")


def test_no_audio_is_kept_in_memory(folder, tmp_path, monkeypatch):
    made = []
    cache = AudioCache

    def remember(*arguments, **keywords):
        made.append(cache(*arguments, **keywords))
        return made[-1]

    monkeypatch.setattr(loop, "AudioCache", remember)
    with tiny.one_thread():
        train(settings(max_steps=2), load_corpus(folder, "train"), tmp_path, show_progress=False)
    assert made[-1]._kept == {}


def test_the_measurement_of_memory_as_a_command(tiny_corpus, monkeypatch, capsys):
    words = ["measure_shar.py", "--corpus", str(tiny_corpus), "--utterances", "60"]
    monkeypatch.setattr(sys, "argv", words)
    with tiny.one_thread():
        assert measure_shar.main() == 0
    assert "largest difference 0.0%" in capsys.readouterr().out


@pytest.mark.parametrize("workers", [0, 2])
def test_memory_does_not_grow_with_the_utterances_heard(tiny_corpus, tmp_path, monkeypatch, workers):
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
    assert code == 2 and "exists already: give --shar a folder that does not" in said.err
    code, said = call("train", config, "--corpus", shards, "--corpus", tiny_corpus, "--out", tmp_path / "o")
    assert code == 2 and "holds Shar shards: it can only be given alone" in said.err


# ---- what can be wrong -----------------------------------------------------------------------------------


def test_an_unknown_split_is_named(folder):
    with pytest.raises(InputError, match="no split 'other'; it has train, dev, test"):
        load_corpus(folder, "other")


def test_shards_without_folders_for_splits_are_train(folder):
    assert len(list(load_corpus(folder / "dev", "train"))) == 6


def test_a_missing_tar_is_named(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    for name in ("recording.000003.tar", "cuts.000005.jsonl.gz"):
        path = tmp_path / "copy" / "train" / name
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(InputError, match=f"train/{name} is missing: copy the whole folder again"):
            load_corpus(tmp_path / "copy", "train")
        with pytest.raises(InputError, match=f"{name} is missing: copy the folder again"):
            load_corpus(tmp_path / "copy" / "train")  # where no shards.json says what there was
        path.write_bytes(content)
    assert len(list(load_corpus(tmp_path / "copy", "train"))) == 60
    # a shard of which nothing has arrived
    for path in (tmp_path / "copy" / "train").glob("*.000007.*"):
        path.unlink()
    with pytest.raises(InputError, match="train/cuts.000007.jsonl.gz is missing: copy the whole"):
        load_corpus(tmp_path / "copy", "train")
    shutil.rmtree(tmp_path / "copy" / "train")
    with pytest.raises(InputError, match="train/cuts.000000.jsonl.gz is missing"):
        load_corpus(tmp_path / "copy", "train")


@pytest.mark.parametrize("name, size", [("recording.000000.tar", 3000), ("cuts.000000.jsonl.gz", 60)])
def test_a_shard_that_was_cut_off_is_named(folder, tmp_path, name, size):
    shutil.copytree(folder, tmp_path / "copy")
    path = tmp_path / "copy" / "dev" / name
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match=f"dev/{name} has {size:,} of [0-9,]+ bytes: copy it again"):
        load_shar(tmp_path / "copy", "dev")
    assert len(list(load_shar(tmp_path / "copy", "test"))) == 12
    # where no shards.json says how much there was
    cuts = load_shar(tmp_path / "copy" / "dev")
    for read in (lambda: list(cuts), lambda: list(ShardBatchSampler(cuts, 9.0, 0).epoch(0))):
        with pytest.raises(InputError, match="dev/cuts.000000.jsonl.gz: this shard cannot be read"):
            read()


def test_a_tar_that_ends_after_some_utterances_is_named(folder, tmp_path):
    """lhotse takes the rest of the manifest for not there."""
    shutil.copytree(folder / "dev", tmp_path / "copy")
    path = tmp_path / "copy" / "recording.000000.tar"
    with tarfile.open(path) as tar:
        end = tar.getmembers()[4].offset  # behind two of them
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(InputError, match="cannot be read .audio of 2 of 6 utterances."):
        list(load_shar(tmp_path / "copy"))


def test_damaged_bytes_are_found(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    for name in ("cuts.000000.jsonl.gz", "recording.000000.tar"):
        path = tmp_path / "copy" / "dev" / name
        content = bytearray(path.read_bytes())
        content[len(content) // 3 :][:200] = bytes(200)
        content[100:300] = bytes(200)
        path.write_bytes(content)
        with pytest.raises(InputError, match="dev/cuts.000000.jsonl.gz: this shard cannot be read"):
            list(load_shar(tmp_path / "copy", "dev"))
        shutil.copy(folder / "dev" / name, path)
    (tmp_path / "copy" / "shards.json").write_text("{")
    with pytest.raises(InputError, match="shards.json is damaged"):
        load_shar(tmp_path / "copy", "dev")


def test_what_an_interrupted_command_leaves_is_no_corpus(tiny_corpus, tmp_path):
    """kill -9 in the middle of writing; the command repeated then does it."""
    program = (
        "import os, sys\n"
        "from lhotse.shar import SharWriter\n"
        "write, count = SharWriter.write, iter(range(100))\n"
        "def some(self, cut):\n"
        "    if next(count) == 40: os.kill(os.getpid(), 9)\n"
        "    write(self, cut)\n"
        "SharWriter.write = some\n"
        "from asrlib import cli\n"
        "cli.main()\n"
    )
    words = [sys.executable, "-c", program, "data", str(tiny_corpus), "--shar", str(tmp_path / "shards")]
    assert subprocess.run(words, capture_output=True).returncode == -9
    (left,) = tmp_path.iterdir()
    assert left.name == "shards.partial"
    with pytest.raises(InputError, match="shards.partial was never finished: write these shards again"):
        load_corpus(left, "train")
    write_shar(load_corpus(tiny_corpus), tmp_path / "shards")
    assert list(tmp_path.iterdir()) == [tmp_path / "shards"]
    assert len(list(load_corpus(tmp_path / "shards", "train"))) == 60


def test_a_full_disk_leaves_nothing(tiny_corpus, tmp_path, monkeypatch):
    from lhotse.shar import SharWriter

    def full(self, cut):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(SharWriter, "write", full)
    with pytest.raises(InputError, match="shards cannot be written .No space left on device."):
        write_shar(load_corpus(tiny_corpus), tmp_path / "shards")
    assert list(tmp_path.iterdir()) == []


def test_ids_twice_and_splits_that_are_no_names_are_refused(tmp_path):
    with pytest.raises(InputError, match="two utterances have the id a:"):
        write_shar([utterance("a", 1.0), utterance("./a", 1.0)], tmp_path / "shards")
    cut = utterance("a", 1.0)
    cut.custom = {"split": "../train"}
    with pytest.raises(InputError, match="utterance a: its split '../train' cannot be the name of a folder"):
        write_shar([cut], tmp_path / "shards")
    assert list(tmp_path.iterdir()) == []


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


def test_an_empty_corpus_writes_nothing(tmp_path):
    with pytest.raises(InputError, match="has no utterances"):
        write_shar([], tmp_path / "shards")
    with pytest.raises(InputError, match="a: its audio cannot be read"):
        write_shar([utterance("a", 1.0, path=tmp_path / "gone.wav")], tmp_path / "shards")
    assert list(tmp_path.iterdir()) == []
