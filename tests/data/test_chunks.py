"""asrlib.data.chunks: words wholly inside, every word once, lengths that double while batches halve."""

from itertools import pairwise

import numpy as np
import pytest
import soundfile
import tiny
import torch
from cuts import utterance
from lhotse import CutSet
from recordings import write_recordings

from asrlib.data.audio import cut_audio
from asrlib.data.audio_cache import AudioCache
from asrlib.data.chunks import ChunkLengths, ChunkSampler, chunk, chunks
from asrlib.data.corpora import load_corpus
from asrlib.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_recordings(tmp_path_factory.mktemp("long") / "corpus", train=8, words=30)


@pytest.fixture(scope="module")
def cuts(folder):
    return load_corpus(folder, "train")


def text(cut):
    return cut.supervisions[0].text


def times(cut):
    return [at for _, *both in cut.words for at in both]


def test_a_chunk_has_the_words_wholly_inside_and_their_sound(cuts):
    cut = cuts[0]
    words = cut.words
    start, end = words[3][1] + 0.01, words[7][2]  # the first is cut in two, the last just fits
    part = chunk(cut, start, end)
    assert text(part) == " ".join(word for word, *_ in words[4:8])
    assert times(part) == pytest.approx([at - start for _, *both in words[4:8] for at in both])
    assert part.speaker == cut.speaker and part.start == pytest.approx(start)
    first = round(start * tiny.RATE)
    assert np.array_equal(cut_audio(part), cut_audio(cut)[first : first + part.num_samples])
    without_last = chunk(cut, start, end - 0.01)
    assert text(without_last) == " ".join(word for word, *_ in words[4:7])
    assert text(cut) == " ".join(word for word, *_ in words)  # the recording stays as it was


def test_a_chunk_of_a_chunk_is_a_chunk(cuts):
    again = chunk(chunk(cuts[0], 1.0, 5.0), 0.5, 3.0)
    direct = chunk(cuts[0], 1.5, 4.0)
    assert text(again) == text(direct) and np.array_equal(cut_audio(again), cut_audio(direct))
    assert times(again) == pytest.approx(times(direct))


def test_consecutive_chunks_cover_a_recording(cuts):
    parts = chunks(cuts, 2.0)
    mine = [part for part in parts if part.recording.id == cuts[0].recording.id]
    assert [part.start for part in mine] == [2.0 * n for n in range(len(mine))]
    assert mine[-1].end == pytest.approx(cuts[0].duration)
    heard = sum(len(text(part).split()) for part in mine)
    cut_in_two = sum(
        any(start < edge < end for edge in np.arange(2.0, cuts[0].duration, 2.0))
        for _, start, end in cuts[0].words
    )
    assert heard == len(text(cuts[0]).split()) - cut_in_two
    assert [text(part) for part in chunks(cuts, 1e6)] == [text(cut) for cut in cuts]


def test_a_chunk_without_a_word_is_left_out():
    cut = spoken(6.0, [("low", 0.2, 0.4), ("high", 2.9, 3.1), ("mid", 5.0, 5.5)])
    assert [(part.start, text(part)) for part in chunks([cut], 1.0)] == [(0.0, "low"), (5.0, "mid")]


def spoken(seconds, words, key="long"):
    from asrlib.data.manifest import alignment_items

    cut = utterance(key, seconds)
    cut.supervisions[0].alignment = alignment_items({"word": words})
    return cut


def test_lengths_double_and_stop_at_the_longest():
    lengths = ChunkLengths(longest=3600.0, first=5.12, double_every=5000)
    assert [lengths.after(n) for n in (0, 4999, 5000, 10_000, 49_999)] == [5.12, 5.12, 10.24, 20.48, 2621.44]
    assert lengths.after(50_000) == lengths.after(10**12) == 3600.0
    assert ChunkLengths(20.0).after(0) == 20.0


def test_an_epoch_uses_all_sound_and_batches_halve_as_chunks_double(cuts):
    sampler = ChunkSampler(cuts, ChunkLengths(4.0, 1.0, double_every=2), batch_seconds=8.0, seed=0)
    batches = list(sampler.epoch(0))
    assert len(batches) == sampler.count(0)
    longest = [max(part.duration for part in batch) for batch in batches]
    # 2 recordings each with chunks of 1 and 2 s, then 4 with 4 s
    for length, most in ((1.0, 8), (2.0, 4), (4.0, 2)):
        sizes = [len(b) for b, top in zip(batches, longest, strict=True) if top == pytest.approx(length)]
        assert sizes and max(sizes) == most
    for cut in cuts:
        mine = [part for batch in batches for part in batch if part.recording.id == cut.recording.id]
        mine.sort(key=lambda part: part.start)
        assert all(a.end <= b.start + 1e-3 for a, b in pairwise(mine))
        said, edges = text(cut).split(), len(mine) + 1
        assert len(said) - edges <= len(" ".join(map(text, mine)).split()) <= len(said)
    assert all(
        part.duration == pytest.approx(4.0) or part.duration < 4.0 for part in sum(sampler.epoch(1), [])
    )
    assert max(part.duration for part in sum(sampler.epoch(1), [])) == pytest.approx(4.0)


def test_the_order_depends_on_seed_and_epoch_alone_and_can_be_entered_in_its_middle(cuts):
    def ids(seed, epoch, first=0):
        torch.rand(1)  # must not matter
        sampler = ChunkSampler(cuts, ChunkLengths(2.0, 1.0, 3), 6.0, seed)
        return [[part.id for part in batch] for batch in sampler.epoch(epoch, first)]

    assert ids(0, 0) == ids(0, 0) and ids(0, 0)[5:] == ids(0, 0, 5)
    assert len({str(ids(*which)) for which in ((0, 0), (0, 1), (1, 0))}) == 3


def test_processes_share_every_batch(cuts):
    lengths = ChunkLengths(1e6, 1.0, 4)  # half the recordings whole: a batch of each
    shares = [list(ChunkSampler(cuts, lengths, 4.0, 0, rank, 3).epoch(0)) for rank in range(3)]
    assert len({len(share) for share in shares}) == 1 and all(batch for share in shares for batch in share)
    alone = list(ChunkSampler(cuts, lengths, 12.0, 0).epoch(0))
    everything = sorted(part.id for share in shares for batch in share for part in batch)
    assert {*everything} == {part.id for batch in alone for part in batch}
    assert len(everything) <= len({*everything}) + 2


def test_more_processes_than_chunks_share_them_all(cuts):
    shares = [list(ChunkSampler(cuts[:2], ChunkLengths(1e6), 4.0, 0, rank, 5).epoch(0)) for rank in range(5)]
    assert [len(share) for share in shares] == [1] * 5 and all(share[0] for share in shares)


def test_recordings_without_word_times_are_named():
    for make in (lambda cuts: chunks(cuts, 2.0), lambda cuts: ChunkSampler(cuts, ChunkLengths(2.0), 8.0, 0)):
        with pytest.raises(InputError, match="recording u1: it has no word times.*alignments.json"):
            make(CutSet.from_cuts([utterance("u1", 5.0)]))


def test_chunks_shorter_than_every_word_are_refused(cuts):
    with pytest.raises(InputError, match="no word lies wholly inside a chunk of 0.05 s"):
        list(ChunkSampler(cuts, ChunkLengths(0.05), 8.0, 0).epoch(0))


@pytest.mark.parametrize("rate", [8000, 4000])
def test_recordings_that_fit_are_decoded_once(cuts, monkeypatch, rate):
    opened = []
    original = soundfile.SoundFile
    monkeypatch.setattr(soundfile, "SoundFile", lambda file: opened.append(file) or original(file))
    sampler = ChunkSampler(cuts, ChunkLengths(1.0), 8.0, 0)
    parts = sum(sampler.epoch(0), [])
    whole, alone = AudioCache.of_recordings(rate, sampler.seconds), AudioCache.of_recordings(rate, 1e9)
    sounds = [whole.load(part) for part in parts]
    assert len(opened) == whole.cached == len(cuts)
    assert [len(sound) for sound in sounds] == [round(part.duration * rate) for part in parts]
    again = [alone.load(part) for part in parts]
    assert len(opened) == len(cuts) + len(parts) and alone.cached == 0
    if rate == 8000:  # not resampled
        assert all(torch.equal(a, b) for a, b in zip(sounds, again, strict=True))
