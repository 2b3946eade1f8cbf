"""Batches of few shapes, for XLA."""

import pytest
import tiny
import torch
from lhotse import CutSet

from asrlib.data.batches import AudioCache, StaticBatchSampler, collate
from asrlib.data.corpora import load_corpus
from asrlib.signal.augment import change_speed, longest_after

pytestmark = pytest.mark.usefixtures("seed")


@pytest.fixture(scope="module")
def cuts(tiny_corpus):
    return load_corpus(tiny_corpus, "train")


@pytest.fixture(scope="module")
def labels(cuts):
    return {cut.id: [1] * len(cut.supervisions[0].text.split()) for cut in cuts}


def ids(batches):
    return [[cut.id for cut in batch] for batch in batches]


def test_few_shapes_and_nothing_left_out(cuts, labels):
    sampler = StaticBatchSampler(cuts, labels, tiny.RATE, batch_seconds=8, seed=0)
    batches = list(sampler.epoch(0))
    shapes = {(len(batch), *sampler.padding(batch)) for batch in batches}
    assert 2 <= len(shapes) <= 4
    assert {cut.id for batch in batches for cut in batch} == {cut.id for cut in cuts}
    # only what fills up the last batch of a bucket comes twice
    again = sum(map(len, batches)) - len(cuts)
    assert 0 <= again <= sum(count - 1 for count, *_ in shapes)
    for batch in batches:
        samples, longest = sampler.padding(batch)
        assert len({sampler.padding([cut]) for cut in batch}) == 1
        assert max(cut.duration for cut in batch) * tiny.RATE <= samples
        assert max(len(labels[cut.id]) for cut in batch) <= longest
        assert len(batch) * samples / tiny.RATE <= 8.1


def test_the_order_depends_on_seed_and_epoch_alone(cuts, labels):
    def order(seed, epoch):
        return ids(StaticBatchSampler(cuts, labels, tiny.RATE, 8, seed).epoch(epoch))

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(2, 2) != order(2, 1)


def test_processes_share_each_batch(cuts, labels):
    parts = [list(StaticBatchSampler(cuts, labels, tiny.RATE, 8, 0, rank, 3).epoch(0)) for rank in range(3)]
    sampler = StaticBatchSampler(cuts, labels, tiny.RATE, 8, 0, processes=3)
    seen = set()
    for batches in zip(*parts, strict=True):
        # all of one shape, for they are to be added up
        assert len({(len(batch), sampler.padding(batch)) for batch in batches}) == 1
        seen |= {cut.id for batch in batches for cut in batch}
    assert seen == {cut.id for cut in cuts}


def test_a_bucket_smaller_than_a_batch(cuts, labels):
    few = CutSet.from_cuts(list(cuts)[:3])
    batches = list(StaticBatchSampler(few, labels, tiny.RATE, 60, 0).epoch(0))
    assert {cut.id for batch in batches for cut in batch} == {cut.id for cut in few}
    for rank in range(5):
        shared = list(StaticBatchSampler(few, labels, tiny.RATE, 60, 0, rank, 5, batch_utterances=5).epoch(0))
        assert [len(batch) for batch in shared] == [1] * len(batches)


@pytest.mark.parametrize("speed", [None, 0.9, 1.1])
def test_batches_are_padded_to_their_buckets_size(cuts, labels, speed):
    sampler = StaticBatchSampler(cuts, labels, tiny.RATE, 8, 0, slowest=speed)
    for batch in sampler.epoch(0):
        padding = sampler.padding(batch)
        made = collate(batch, AudioCache(tiny.RATE), labels, speed and [speed] * len(batch), padding)
        assert (made.waveforms.shape[1], made.targets.shape[1]) == padding
        for row, length in zip(made.waveforms, made.lengths, strict=True):
            assert not row[length:].any() and row[:length].any()


def test_longest_after_a_change_of_speed():
    for samples in torch.randint(1, 20000, (200,)).tolist():
        factor = float(torch.empty(()).uniform_(0.7, 1.4))
        changed = change_speed(torch.zeros(samples), factor).shape[0]
        assert changed <= longest_after(samples, factor) <= changed * 1.02 + 20
