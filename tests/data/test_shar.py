"""asrlib.data.shar: what comes back from shards, and what is wrong with them."""

import errno
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny
from cuts import utterance
from lhotse import CutSet, Recording, SupervisionSegment
from lhotse.cut import MonoCut
from lhotse.shar import SharWriter
from soundfiles import encoded, mp3, speechlike

from asrlib.data import shar
from asrlib.data.audio import cut_audio
from asrlib.data.corpora import load_corpus
from asrlib.data.shar import count_shard, load_shar, shards_of, without_audio, write_shar
from asrlib.data.shard_sampler import ShardBatchSampler
from asrlib.errors import InputError

# lhotse leaves it to Python to close the files of a shard
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_what_comes_back_is_what_was_written(tiny_shards, tiny_corpus):
    for split in ("train", "dev", "test"):
        before = {cut.id: cut for cut in load_corpus(tiny_corpus, split)}
        after = {cut.id: cut for cut in load_corpus(tiny_shards, split)}
        assert before.keys() == after.keys()
        for name, cut in after.items():
            assert cut.supervisions[0].text == before[name].supervisions[0].text
            assert cut.custom["split"] == split
            np.testing.assert_array_equal(cut_audio(cut), cut_audio(before[name]))
    assert len(list(load_corpus(tiny_shards))) == 78
    texts = [cut for cut in without_audio(load_shar(tiny_shards, "train"))]
    assert len(texts) == 60 and all(cut.supervisions[0].text for cut in texts)


def test_shards_have_two_hours_or_as_many_utterances(tiny_corpus, tmp_path, monkeypatch):
    cuts = load_corpus(tiny_corpus, "train")
    monkeypatch.setattr(shar, "SHARD_SECONDS", sum(cut.duration for cut in cuts) / 2.5)
    write_shar(cuts, tmp_path / "a")
    sizes = [count_shard(shard) for shard in shards_of(load_shar(tmp_path / "a"))]
    assert sizes == [20, 20, 20]
    write_shar(cuts, tmp_path / "b", shard_size=59)
    sizes = [count_shard(shard) for shard in shards_of(load_shar(tmp_path / "b"))]
    assert sizes == [30, 30]


def test_a_piece_of_a_recording_and_a_channel_of_it_are_stored_alone(tmp_path):
    path = tmp_path / "stereo.wav"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (16000, 2))
    soundfile.write(path, noise, 8000)
    recording = Recording.from_file(path)
    supervision = SupervisionSegment("a", recording.id, 0.0, 0.5, channel=1, text="low")
    cut = MonoCut("a", 1.25, 0.5, channel=1, supervisions=[supervision], recording=recording)
    write_shar(CutSet.from_cuts([cut]), tmp_path / "shards")
    (after,) = load_shar(tmp_path / "shards", "train")
    assert after.duration == 0.5 and after.recording.num_samples == 4000
    np.testing.assert_allclose(cut_audio(after), noise[10000:14000, 1], atol=1 / 32768)
    np.testing.assert_allclose(cut_audio(cut), noise[10000:14000, 1], atol=1 / 32768)


@pytest.mark.parametrize("name", ["./a.wav", "b//a.wav", "/data/a.wav", "ü é.wav", "n" * 150, "a.b.c"])
def test_ids_that_are_paths(tmp_path, name):
    path = tmp_path / "a.wav"
    soundfile.write(path, tiny.tones("low"), 8000)
    write_shar([utterance(name, 0.4, path=path)], tmp_path / "shards")
    (after,) = load_shar(tmp_path / "shards")
    assert after.id == str(Path(name)) and len(cut_audio(after)) == 3200


@pytest.mark.parametrize("name", ["a.mp3", "a.flac"])
def test_files_of_which_lhotse_reads_a_part_are_stored_whole(tmp_path, name):
    one = mp3(speechlike(1.0)) if name == "a.mp3" else encoded(speechlike(1.0), format="FLAC")
    (tmp_path / name).write_bytes(one + one)
    (tmp_path / "manifest.tsv").write_text(f"path\ttext\tspeaker\n{name}\tlow\tann\n")
    (before,) = cuts = load_corpus(tmp_path)
    write_shar(cuts, tmp_path / "shards")
    (after,) = load_shar(tmp_path / "shards", "train")
    assert (after.id, after.num_samples) == (before.id, 32_000)
    assert (after.supervisions[0].text, after.supervisions[0].speaker) == ("low", "ann")
    np.testing.assert_allclose(cut_audio(after), cut_audio(before), atol=1 / 32768)


# ---- what can be wrong -----------------------------------------------------------------------------------


def test_an_unknown_split_is_named(tiny_shards):
    with pytest.raises(InputError, match="no split 'other'; it has train, dev, test"):
        load_corpus(tiny_shards, "other")


def test_shards_without_folders_for_splits_are_train(tiny_shards):
    assert len(list(load_corpus(tiny_shards / "dev", "train"))) == 6


def test_a_missing_tar_is_named(tiny_shards, tmp_path):
    shutil.copytree(tiny_shards, tmp_path / "copy")
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
def test_a_shard_that_was_cut_off_is_named(tiny_shards, tmp_path, name, size):
    shutil.copytree(tiny_shards, tmp_path / "copy")
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


def test_a_tar_that_ends_after_some_utterances_is_named(tiny_shards, tmp_path):
    """lhotse takes the rest of the manifest for not there."""
    shutil.copytree(tiny_shards / "dev", tmp_path / "copy")
    path = tmp_path / "copy" / "recording.000000.tar"
    with tarfile.open(path) as tar:
        end = tar.getmembers()[4].offset  # behind two of them
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(InputError, match="cannot be read .audio of 2 of 6 utterances."):
        list(load_shar(tmp_path / "copy"))


def test_damaged_bytes_are_found(tiny_shards, tmp_path):
    shutil.copytree(tiny_shards, tmp_path / "copy")
    for name in ("cuts.000000.jsonl.gz", "recording.000000.tar"):
        path = tmp_path / "copy" / "dev" / name
        content = bytearray(path.read_bytes())
        content[len(content) // 3 :][:200] = bytes(200)
        content[100:300] = bytes(200)
        path.write_bytes(content)
        with pytest.raises(InputError, match="dev/cuts.000000.jsonl.gz: this shard cannot be read"):
            list(load_shar(tmp_path / "copy", "dev"))
        shutil.copy(tiny_shards / "dev" / name, path)
    (tmp_path / "copy" / "shards.json").write_text("{")
    with pytest.raises(InputError, match="shards.json is not valid JSON"):
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


def test_an_empty_corpus_writes_nothing(tmp_path):
    with pytest.raises(InputError, match="has no utterances"):
        write_shar([], tmp_path / "shards")
    with pytest.raises(InputError, match="a: its audio cannot be read"):
        write_shar([utterance("a", 1.0, path=tmp_path / "gone.wav")], tmp_path / "shards")
    assert list(tmp_path.iterdir()) == []
