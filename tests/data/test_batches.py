"""asrlib.data.batches: from a corpus to batches that can be drawn again."""

import random

import numpy as np
import pytest
import soundfile
import tiny
import torch
from cuts import utterance
from lhotse import CutSet

from asrlib.config.schema import AugmentConfig
from asrlib.data.batches import (
    AudioCache,
    BatchSampler,
    augmented_features,
    collate,
    draw_speed,
    encode_corpus,
)
from asrlib.data.corpora import load_corpus
from asrlib.errors import InputError
from asrlib.signal.features import FrontEnd
from asrlib.text.tokenizers import Tokenizer

TOKENIZER = Tokenizer("words", list(tiny.TONES))
NOTHING = AugmentConfig(time_masks=0, freq_masks=0)


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


def test_audio_is_the_same_from_memory_and_from_disk(tmp_path):
    samples = tiny.tones("low high", 16000)
    soundfile.write(tmp_path / "a.wav", samples, 16000)
    cut = utterance("a", len(samples) / 16000, path=tmp_path / "a.wav", rate=16000)
    forgetful, cache = AudioCache(8000, max_bytes=100), AudioCache(8000)
    first = cache.load(cut)
    assert first.dtype == torch.float32 and first.shape == (len(samples) // 2,)
    assert np.abs(first.numpy() - samples[::2]).mean() < 0.003  # both tones are far below 4 kHz
    assert torch.equal(first, forgetful.load(cut)) and torch.equal(first, forgetful.load(cut))
    (tmp_path / "a.wav").unlink()
    assert torch.equal(first, cache.load(cut))
    with pytest.raises(InputError, match="a.wav"):
        forgetful.load(cut)


def test_loaded_audio_may_be_changed_in_place(tmp_path):
    soundfile.write(tmp_path / "a.wav", tiny.tones("low"), 8000)
    cut = utterance("a", 0.1, path=tmp_path / "a.wav")
    cache = AudioCache(8000)
    before = cache.load(cut).clone()
    cache.load(cut).zero_()
    assert torch.equal(cache.load(cut), before)


@pytest.mark.parametrize(
    "second, message",
    [
        (utterance("b", 1.0, "low loud"), "utterance b: .* the word 'loud' of 'low loud'"),
        (utterance("b", 1.0, "?!"), "utterance b: its transcript '\\?!' has no labels"),
        (utterance("a", 1.0, "high"), "two utterances have the id a"),
    ],
)
def test_what_cannot_be_encoded_is_named(second, message):
    with pytest.raises(InputError, match=message):
        encode_corpus(CutSet.from_cuts([utterance("a", 1.0), second]), TOKENIZER)


def test_labels_are_those_of_the_tokenizer():
    cuts = CutSet.from_cuts([utterance("a", 1.0, "Low, high!"), utterance("b", 1.0, "mid")])
    assert encode_corpus(cuts, TOKENIZER) == {"a": [1, 3], "b": [2]}


@pytest.fixture
def three(tiny_corpus):
    return list(load_corpus(tiny_corpus, "train"))[:3]


def test_collate_pads_and_keeps_lengths(three):
    labels, audio = encode_corpus(CutSet.from_cuts(three), TOKENIZER), AudioCache(tiny.RATE)
    batch = collate(three, audio, labels)
    assert batch.ids == [cut.id for cut in three]
    assert batch.lengths.tolist() == [cut.num_samples for cut in three]
    for row, length, target, count, cut in zip(
        batch.waveforms, batch.lengths, batch.targets, batch.target_lengths, three, strict=True
    ):
        assert torch.equal(row[:length], audio.load(cut)) and not row[length:].any()
        assert target[:count].tolist() == labels[cut.id]
    faster = collate(three, audio, labels, speed=[2.0, 1.0, 1.0])
    assert faster.lengths[0].item() == pytest.approx(batch.lengths[0].item() / 2, rel=0.02)
    assert faster.lengths[1:].tolist() == pytest.approx(batch.lengths[1:].tolist(), rel=0.01)
    with pytest.raises(ValueError):
        collate(three, audio, labels, speed=[1.0])


def test_speed_is_drawn_in_its_range():
    draw = torch.Generator().manual_seed(0)
    assert draw_speed(AugmentConfig(speed=None), 5, draw) is None
    speeds = draw_speed(AugmentConfig(speed=[0.9, 1.3]), 500, draw)
    assert 0.9 <= min(speeds) < 0.92 and 1.28 < max(speeds) <= 1.3


EVERYTHING = AugmentConfig(
    warp=[0.9, 1.1], noise_probability=0.5, channel_db=6.0, room_probability=0.5, freq_width=4, time_masks=2
)


def test_augmented_features_repeat_with_the_generator(three):
    batch = collate(three, AudioCache(tiny.RATE), encode_corpus(CutSet.from_cuts(three), TOKENIZER))
    front_end = FrontEnd(tiny.RATE, mels=20)

    def features(config, seed):
        draw = torch.Generator().manual_seed(seed)
        return augmented_features(batch.waveforms, batch.lengths, front_end, config, draw)

    plain, counts = front_end(batch.waveforms, batch.lengths)
    unchanged, same_counts = features(NOTHING, 0)
    assert torch.equal(plain, unchanged) and torch.equal(counts, same_counts)
    once, _ = features(EVERYTHING, 0)
    assert once.isfinite().all() and once.shape == plain.shape
    assert torch.equal(once, features(EVERYTHING, 0)[0])
    assert not torch.equal(once, features(EVERYTHING, 1)[0])
    assert not torch.equal(once, plain)


@pytest.mark.parametrize(
    "change",
    [{"warp": [1.1, 1.2]}, {"noise_probability": 1.0}, {"channel_db": 6.0}, {"room_probability": 1.0}],
    ids=lambda change: next(iter(change)),
)
def test_each_key_of_the_configuration_changes_every_utterance(three, change):
    batch = collate(three, AudioCache(tiny.RATE), encode_corpus(CutSet.from_cuts(three), TOKENIZER))
    front_end = FrontEnd(tiny.RATE, mels=20)
    config = AugmentConfig(time_masks=0, freq_masks=0, **change)
    draw = torch.Generator().manual_seed(0)
    changed, _ = augmented_features(batch.waveforms, batch.lengths, front_end, config, draw)
    plain, _ = front_end(batch.waveforms, batch.lengths)
    assert ((changed - plain).abs().amax((1, 2)) > 0.05).all()
