"""asrlib.data.samplers: which utterances make a batch, the same ones when drawn again."""

import random

import numpy as np
import pytest
import tiny
import torch
from cuts import utterance
from lhotse import CutSet

from asrlib.data.audio_cache import AudioCache
from asrlib.data.batches import collate
from asrlib.data.corpora import load_corpus
from asrlib.data.samplers import BatchSampler, StaticBatchSampler


def utterances(count, seed=0):
    lengths = np.random.default_rng(seed).uniform(1, 9, count)
    return CutSet.from_cuts(utterance(f"u{n}", float(length)) for n, length in enumerate(lengths))


def ids(batches):
    return [[cut.id for cut in batch] for batch in batches]


def test_an_epoch_has_every_utterance_once_in_batches_of_similar_length():
    cuts = utterances(500)
    batches = list(BatchSampler(cuts, batch_seconds=60.0, seed=0).epoch(0))
    assert sorted(sum(ids(batches), [])) == sorted(cut.id for cut in cuts)
    for batch in batches:
        longest = max(cut.duration for cut in batch)
        assert longest * len(batch) <= 61
    waste = np.mean(
        [1 - np.mean([cut.duration for cut in b]) / max(cut.duration for cut in b) for b in batches]
    )
    assert waste < 0.15  # in batches drawn at random about 0.4 is padding
    means = [np.mean([cut.duration for cut in batch]) for batch in batches]
    assert means != sorted(means)


def test_the_order_depends_on_seed_and_epoch_alone():
    cuts = utterances(200)

    def order(seed, epoch):
        torch.rand(1), random.random()  # must not matter
        return ids(BatchSampler(cuts, 60.0, seed).epoch(epoch))

    assert order(0, 3) == order(0, 3)
    assert order(0, 3) != order(0, 4)
    assert order(0, 3) != order(1, 3)


def test_two_processes_share_an_epoch():
    cuts = utterances(200)
    halves = [sum(ids(BatchSampler(cuts, 60.0, 0, rank, 2).epoch(0)), []) for rank in (0, 1)]
    assert set(halves[0]) | set(halves[1]) == {cut.id for cut in cuts}
    assert len(set(halves[0]) & set(halves[1])) < 30  # the last batch may be shared out twice


def test_a_batch_may_be_so_many_utterances_instead_of_seconds():
    batches = ids(BatchSampler(utterances(50), 1.0, 0, batch_utterances=8).epoch(0))
    assert sorted(map(len, batches), reverse=True)[:4] == [8, 8, 8, 8] and max(map(len, batches)) == 8
    assert len(sum(batches, [])) == 50


@pytest.mark.filterwarnings("ignore:We have exceeded the max_duration")
@pytest.mark.parametrize("seconds", [[2.0], [2.0, 2.0], [1.0] * 5, [3.0, 100.0, 4.0]])
def test_small_and_odd_corpora(seconds):
    """One utterance, all of one length, one longer than a batch may be."""
    cuts = CutSet.from_cuts(utterance(f"u{n}", s) for n, s in enumerate(seconds))
    assert sorted(sum(ids(BatchSampler(cuts, 8.0, 0).epoch(0)), [])) == sorted(cut.id for cut in cuts)


def test_corpora_of_more_than_lhotse_looks_at_are_mixed_and_bucketed():
    first = [utterance(f"a{n}", 1.0 + n % 10 / 10) for n in range(13_000)]
    second = [utterance(f"b{n}", 5.0 + n % 50 / 10) for n in range(300)]
    batches = list(BatchSampler(CutSet.from_cuts(first + second), 60.0, 0).epoch(0))
    where = [n for n, batch in enumerate(batches) if any(cut.id.startswith("b") for cut in batch)]
    assert where[0] < len(batches) / 20  # not only when room is made for what comes after 10,000
    for number in where[:-1]:
        assert len({cut.id[0] for cut in batches[number]}) == 1
        shortest, longest = (f(cut.duration for cut in batches[number]) for f in (min, max))
        assert longest - shortest < 3.5


# ---- batches of few shapes -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tones(tiny_corpus):
    return load_corpus(tiny_corpus, "train")


@pytest.fixture(scope="module")
def labels(tones):
    return {cut.id: [1] * len(cut.supervisions[0].text.split()) for cut in tones}


def test_few_shapes_and_nothing_left_out(tones, labels):
    sampler = StaticBatchSampler(tones, labels, tiny.RATE, batch_seconds=8, seed=0)
    batches = list(sampler.epoch(0))
    shapes = {(len(batch), *sampler.padding(batch)) for batch in batches}
    assert 2 <= len(shapes) <= 4
    assert {cut.id for batch in batches for cut in batch} == {cut.id for cut in tones}
    # only what fills up the last batch of a bucket comes twice
    again = sum(map(len, batches)) - len(tones)
    assert 0 <= again <= sum(count - 1 for count, *_ in shapes)
    for batch in batches:
        samples, longest = sampler.padding(batch)
        assert len({sampler.padding([cut]) for cut in batch}) == 1
        assert max(cut.duration for cut in batch) * tiny.RATE <= samples
        assert max(len(labels[cut.id]) for cut in batch) <= longest
        assert len(batch) * samples / tiny.RATE <= 8.1


def test_the_order_of_buckets_depends_on_seed_and_epoch_alone(tones, labels):
    def order(seed, epoch):
        return ids(StaticBatchSampler(tones, labels, tiny.RATE, 8, seed).epoch(epoch))

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(2, 2) != order(2, 1)


def test_processes_share_each_batch(tones, labels):
    parts = [list(StaticBatchSampler(tones, labels, tiny.RATE, 8, 0, rank, 3).epoch(0)) for rank in range(3)]
    sampler = StaticBatchSampler(tones, labels, tiny.RATE, 8, 0, processes=3)
    seen = set()
    for batches in zip(*parts, strict=True):
        # all of one shape, for they are to be added up
        assert len({(len(batch), sampler.padding(batch)) for batch in batches}) == 1
        seen |= {cut.id for batch in batches for cut in batch}
    assert seen == {cut.id for cut in tones}


def test_a_bucket_smaller_than_a_batch(tones, labels):
    few = CutSet.from_cuts(list(tones)[:3])
    batches = list(StaticBatchSampler(few, labels, tiny.RATE, 60, 0).epoch(0))
    assert {cut.id for batch in batches for cut in batch} == {cut.id for cut in few}
    for rank in range(5):
        shared = list(StaticBatchSampler(few, labels, tiny.RATE, 60, 0, rank, 5, batch_utterances=5).epoch(0))
        assert [len(batch) for batch in shared] == [1] * len(batches)


@pytest.mark.parametrize("speed", [None, 0.9, 1.1])
def test_batches_are_padded_to_their_buckets_size(tones, labels, speed):
    sampler = StaticBatchSampler(tones, labels, tiny.RATE, 8, 0, slowest=speed)
    for batch in sampler.epoch(0):
        padding = sampler.padding(batch)
        made = collate(batch, AudioCache(tiny.RATE), labels, speed and [speed] * len(batch), padding)
        assert (made.waveforms.shape[1], made.targets.shape[1]) == padding
        for row, length in zip(made.waveforms, made.lengths, strict=True):
            assert not row[length:].any() and row[:length].any()
