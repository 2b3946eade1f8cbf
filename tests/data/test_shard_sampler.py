"""asrlib.data.shard_sampler: every utterance once, by one process or several, one shard at a time."""

import random

import numpy as np
import pytest

from asrlib.data import shard_sampler
from asrlib.data.corpora import load_corpus
from asrlib.data.shar import load_shar, parts, without_audio, write_shar
from asrlib.data.shard_sampler import ShardBatchSampler, plan_batches
from asrlib.errors import InputError

# lhotse leaves it to Python to close the files of a shard
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def epoch(folder, *arguments, number=0, **keywords):
    batches = ShardBatchSampler(load_shar(folder, "train"), *arguments, **keywords).epoch(number)
    return [[cut.id for cut in batch] for batch in batches]


def test_every_utterance_once_in_batches_of_similar_length(tiny_shards):
    batches = epoch(tiny_shards, 4.0, 0)
    durations = {cut.id: cut.duration for cut in load_shar(tiny_shards, "train")}
    assert sorted(sum(batches, [])) == sorted(durations)
    for batch in batches:
        assert len(batch) == 1 or sum(durations[name] for name in batch) <= 4.0
    assert batches == epoch(tiny_shards, 4.0, 0)
    assert batches != epoch(tiny_shards, 4.0, 0, number=1) and batches != epoch(tiny_shards, 4.0, 1)
    sampler = ShardBatchSampler(load_shar(tiny_shards, "train"), 4.0, 0)
    assert sampler.count(0) == len(batches)


def test_an_epoch_has_batches_of_its_own():
    """Not those of the epoch before in another order, and of utterances that are similarly long."""
    seconds = np.random.default_rng(0).uniform(1, 9, 300)
    durations = {f"u{n}": float(length) for n, length in enumerate(seconds)}
    first, second = (plan_batches(durations, random.Random(n), 60.0, None) for n in (0, 1))
    assert sorted(sum(first, [])) == sorted(durations)
    assert len(set(map(frozenset, first)) & set(map(frozenset, second))) < len(first) / 4
    lengths = [[durations[name] for name in batch] for batch in first]
    assert all(sum(batch) <= 60 for batch in lengths)
    waste = np.mean([1 - np.mean(batch) / max(batch) for batch in lengths])
    assert waste < 0.15  # in batches drawn at random about 0.4 is padding


def test_so_many_utterances_instead_of_seconds(tiny_shards):
    assert sorted(map(len, epoch(tiny_shards, 1.0, 0, batch_utterances=4))) == [4] * 15


@pytest.mark.parametrize("processes", [2, 3, 5, 8, 11])
@pytest.mark.parametrize("seconds", [0.5, 4.0, 100.0])
def test_processes_share_the_shards(tiny_shards, processes, seconds):
    """Also where shards are fewer than processes, the last one is smaller, or batches are tiny."""
    shares = [epoch(tiny_shards, seconds, 0, rank, processes) for rank in range(processes)]
    assert len({len(share) for share in shares}) == 1
    assert all(batch for share in shares for batch in share)
    used = sum((sum(share, []) for share in shares), [])
    assert len(used) == 60 and len(set(used)) == 60


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
        used = sum((sum(share, []) for share in shares), [])
        assert sorted(used) == sorted(cut.id for cut in cuts[:25])


def test_more_processes_than_utterances_are_refused(tiny_shards):
    with pytest.raises(InputError, match="80 processes cannot share the 60 utterances of .*cuts.00"):
        epoch(tiny_shards, 4.0, 0, 0, 80)


def test_each_process_opens_its_own_shards(tiny_shards, monkeypatch):
    opened = []
    read = shard_sampler.read_shard
    monkeypatch.setattr(shard_sampler, "read_shard", lambda shard: opened.append(shard) or read(shard))
    epoch(tiny_shards, 4.0, 0, 0, 2)
    audio = [shard["recording"] for shard in opened if "recording" in shard]
    assert len(audio) == len(set(audio)) == 4


def test_from_the_middle_of_an_epoch(tiny_shards, monkeypatch):
    whole = epoch(tiny_shards, 3.0, 0)
    opened = []
    read = shard_sampler.read_shard
    monkeypatch.setattr(shard_sampler, "read_shard", lambda shard: opened.append(shard) or read(shard))
    sampler = ShardBatchSampler(load_shar(tiny_shards, "train"), 3.0, 0)
    for first in (1, 7, len(whole) - 1, len(whole)):
        opened.clear()
        assert [[cut.id for cut in batch] for batch in sampler.epoch(0, first)] == whole[first:]
        unread = 8 - len([shard for shard in opened if "recording" in shard])
        assert unread >= first * 8 // len(whole) - 1


def test_an_epoch_holds_one_shard_at_a_time(tiny_shards):
    """What is held when a batch comes is what is left of its shard."""
    sampler = ShardBatchSampler(load_shar(tiny_shards, "train"), 3.0, 0)
    batches = sampler.epoch(0)
    for _ in range(20):
        next(batches)
        held = batches.gi_frame.f_locals["held"]
        assert len(held) < 8


def test_a_cut_set_that_lhotse_opened_streams_too(tiny_shards):
    from lhotse import CutSet

    cuts = CutSet.from_shar(in_dir=tiny_shards / "train")
    batches = ShardBatchSampler(cuts, 4.0, 0).epoch(0)
    assert len(sum((list(batch) for batch in batches), [])) == 60
    assert len(parts(cuts)) == 8 and len(without_audio(cuts)) == 60
